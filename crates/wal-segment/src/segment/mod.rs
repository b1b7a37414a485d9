//! One segment: the part of the log in it, its header and LINK, its frames in order, and its index.

pub(crate) mod check;
pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod genuine;
pub(crate) mod head;
pub(crate) mod index;
pub(crate) mod locate;
pub(crate) mod snapshot;
pub(crate) mod span;
pub(crate) mod walk;
