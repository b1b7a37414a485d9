//! Files of a log by their names: each with its path, so that every error names its file.

pub(crate) mod anchor;
pub(crate) mod held;
pub(crate) mod named;
pub(crate) mod names;
pub(crate) mod window;
