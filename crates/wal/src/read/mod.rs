//! Reading, for the log and its views: entries, iterators, and the cache of open segments.

pub(crate) mod cache;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod lent;
pub(crate) mod open_segments;
pub(crate) mod read_counter;
pub(crate) mod reader;
