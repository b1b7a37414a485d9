//! The policies: what an append that returned has promised.

/// When a sync runs, and what an append waits for.
///
/// | policy | a sync runs | an append that returned survives |
/// |---|---|---|
/// | [`None`](SyncPolicy::None) | when asked for, and between segments | the death of the process |
/// | [`Immediate`](SyncPolicy::Immediate) | in every append | a power cut |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Never by itself: an append returns when the operating system has the entry. What was not
    /// written back is lost in a power cut; `sync` makes everything durable that was appended before.
    None,
    /// At once, by whoever appends: an append returns when the entry is durable. Appends that were
    /// written while another one's sync ran share the next.
    #[default]
    Immediate,
}

impl SyncPolicy {
    /// Whether an append waits until its entry is durable.
    #[must_use]
    pub const fn waits(self) -> bool {
        match self {
            SyncPolicy::None => false,
            SyncPolicy::Immediate => true,
        }
    }

    /// The name that options and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SyncPolicy::None => "none",
            SyncPolicy::Immediate => "immediate",
        }
    }
}
