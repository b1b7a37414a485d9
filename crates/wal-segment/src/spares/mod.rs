//! Segments that are prepared before they are needed, and files that wait to be used again.

pub(crate) mod pool_file;
pub(crate) mod source;
pub(crate) mod spare;
