//! Reading, for the log and for views of it alike: entries, and the segments that stay open for readers.

pub(crate) mod cache;
pub(crate) mod counted;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod open_segments;
