//! The commands, a file each. Each takes parsed arguments and returns how the process exits.

pub(crate) mod append;
pub(crate) mod cat;
pub(crate) mod info;
pub(crate) mod truncate;
pub(crate) mod verify;
