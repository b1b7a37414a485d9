//! Reading a log: entries in order, lent or owned, from either end, and single entries by number.

pub(crate) mod backward;
pub(crate) mod cursor;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod find_frame;
pub(crate) mod forward;
pub(crate) mod frames;
pub(crate) mod get;
pub(crate) mod lent;
pub(crate) mod open_frame;
pub(crate) mod replay;
pub(crate) mod segments;
