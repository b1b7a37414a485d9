//! Segments on the real disk and on the simulated one.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

#[path = "../common/mod.rs"]
mod common;

mod disk;
mod early_sync;
mod reading;
mod sim;
