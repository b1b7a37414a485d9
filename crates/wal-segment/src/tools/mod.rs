//! Verifying a log, and copying it.

pub(crate) mod copy;
pub(crate) mod verify;
