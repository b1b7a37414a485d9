//! What the background work asks of the options: whether retention drops something, whether appends wait.

use crate::options::Options;

/// What an append does that would take the log above [`Options::max_log_bytes`](crate::Options::max_log_bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "config",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum WhenFull {
    /// It fails with [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace).
    #[default]
    Refuse,
    /// It waits until there is room, or the log is closed.
    Wait,
}

impl Options {
    /// Whether something is dropped without being asked for.
    pub(crate) fn retains(&self) -> bool {
        self.retain_bytes.is_some() || self.retain_entries.is_some() || self.retain_age.is_some()
    }

    /// Whether there is something to be done in the background.
    pub(crate) fn wants_a_thread(&self) -> bool {
        self.retains() || self.roll_after.is_some() || self.waits()
    }

    /// Whether appends wait for room.
    pub(crate) fn waits(&self) -> bool {
        self.max_log_bytes.is_some() && self.when_full == WhenFull::Wait
    }

    /// The longest segment of which the cap has room for two.
    pub(crate) fn longest_segment_bytes(&self) -> Option<u64> {
        self.max_log_bytes.map(|bytes| bytes / 2)
    }
}
