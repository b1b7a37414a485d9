//! Damage: bytes that changed, files that were exchanged, logs that lie; salvage and copies.

#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod copy;
mod damage;
mod exchange;
mod hostile;
mod lies;
mod losses;
mod mapping;
mod reach;
mod salvage;
