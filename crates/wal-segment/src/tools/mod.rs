//! A full check, and a copy.

pub(crate) mod copy;
pub(crate) mod verify;
