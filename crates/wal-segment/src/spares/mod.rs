//! Segments that are prepared before they are needed, and pool files to make them from.

pub(crate) mod pool_file;
pub(crate) mod source;
pub(crate) mod spare;
