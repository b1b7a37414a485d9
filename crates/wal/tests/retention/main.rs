//! What is kept: rollover, retention, holds, the cap, truncations, files that are used again.

#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod cap;
mod holds;
mod recycle;
mod retention;
mod roll;
mod rollover;
mod truncate_after;
mod truncate_before;
