//! Readers, views and followers.

#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod follow;
mod lent;
mod ranges;
mod reading;
mod view_follow;
mod view_follow_durable;
