//! Appends: what a caller is told, what others see of it meanwhile, and who waits for what.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod acknowledged;
mod api;
mod append_at;
mod background;
mod buffered;
mod first_sequence;
mod frame_reuse;
mod in_flight;
mod waiters;
mod watermarks;
mod zero_ahead;
