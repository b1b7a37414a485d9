//! What a log promises, what callers were told of it, and what a disk says by itself: against this the proofs hold what
//! a log shows.

pub(crate) mod disk;
pub(crate) mod opens;
pub(crate) mod world;
