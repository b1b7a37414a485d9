//! Segments: reading, and syncs ahead of a rollover.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

#[path = "../common/mod.rs"]
mod common;

mod early_sync;
mod reading;
