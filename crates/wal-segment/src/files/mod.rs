//! Files of a log together with their paths, so that every error names its file.

pub(crate) mod anchor;
pub(crate) mod named;
pub(crate) mod names;
pub(crate) mod watched;
pub(crate) mod window;
pub(crate) mod writer_lock;
