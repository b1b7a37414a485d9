//! One segment: the part of the log in it, its header and LINK, its frames in order, and its index.

pub(crate) mod check;
pub(crate) mod entry_end;
pub(crate) mod file;
pub(crate) mod find_headers;
pub(crate) mod frame;
pub(crate) mod frame_builder;
pub(crate) mod head;
pub(crate) mod index;
pub(crate) mod snapshot;
pub(crate) mod span;
pub(crate) mod walk;
