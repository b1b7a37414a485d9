//! Throw-aways: what a log could reach on this machine if appending were all that it has to do.
//!
//! They have no recovery, no segments and no limits, and nothing survives them: the space is set aside before the clock
//! starts, and what was written is checked only because the process still knows where it ends.

mod combine;
mod group;
mod group3;
mod record;
mod word;

pub(super) use combine::COMBINE;
pub(super) use group::{FILE as GROUP_FILE, GROUP, open as open_group};
pub(super) use group3::GROUP3;
pub(super) use record::show_file;
