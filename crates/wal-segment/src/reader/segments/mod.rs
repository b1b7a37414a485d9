//! Segments open for reading, and their bytes.

pub(crate) mod bytes;
pub(crate) mod reader;
pub(crate) mod recent;
pub(crate) mod source;
