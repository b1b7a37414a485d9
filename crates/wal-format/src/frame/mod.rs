//! Frames: the header that all of them have, and what stands after it in each kind.

pub(crate) mod data;
pub(crate) mod header;
pub(crate) mod link;
pub(crate) mod seal;
