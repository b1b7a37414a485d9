//! What a power cut, a failed write or a failed sync leaves, and what the next open makes of it.

#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod durability;
mod failed_rollover;
mod failed_sync;
mod failed_write;
mod faults;
mod full_disk;
mod gap;
mod read_errors;
mod recovery_crash;
mod torn;
