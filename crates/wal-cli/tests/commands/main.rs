//! What the commands print and do on logs that are well.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod copy;
mod follow;
mod going_on;
mod info_json;
mod pipes;
mod round_trip;
mod truncate;
