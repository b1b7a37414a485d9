//! Crash recovery: what is on the disk, where the log ends, and what is damaged.

pub(crate) mod chain;
pub(crate) mod decide;
pub(crate) mod evidence;
pub(crate) mod last;
pub(crate) mod obsolete;
pub(crate) mod open;
pub(crate) mod report;
pub(crate) mod settle;
pub(crate) mod stated_end;
pub(crate) mod survey;
pub(crate) mod top;
