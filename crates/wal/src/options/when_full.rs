//! What an append does that finds no room under the cap.

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
