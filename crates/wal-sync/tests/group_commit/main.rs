//! The group commit on a target that does, and fails, as it is told.

#![cfg(not(wal_loom))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

#[path = "../fake/mod.rs"]
mod fake;

mod close;
mod deferred;
mod failures;
mod mixed;
mod panics;
mod policies;
mod room;
mod siblings;
mod stress;
mod tickets;
mod truncate;
mod watermarks;
