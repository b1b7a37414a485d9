//! Opens and closes: the modes, the lock, what an open goes on from, and what it cleans up.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod cache_kept;
mod close_timeout;
mod closing;
mod going_on;
mod golden_logs;
mod lock;
mod obsolete;
mod open_expecting;
mod open_mode;
mod refused;
