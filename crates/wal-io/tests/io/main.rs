//! The seam on the real disk, and on the simulated one.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

mod disk;
mod sim;
