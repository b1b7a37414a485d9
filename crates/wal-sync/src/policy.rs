//! The policies, as data: who triggers a sync, and what an append that returned has promised.

use std::time::Duration;

/// When a sync runs, and what an append waits for.
///
/// | policy | a sync runs | an append that returned survives |
/// |---|---|---|
/// | [`None`](SyncPolicy::None) | when asked for, and before a segment ends | the death of the process |
/// | [`Immediate`](SyncPolicy::Immediate) | at once, by the appender | a power cut |
/// | [`Periodic`](SyncPolicy::Periodic) | in the background, after so many entries or so much time | the death of the process |
/// | [`Grouped`](SyncPolicy::Grouped) | at once when alone; otherwise one for a group, after a short wait for siblings | a power cut |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Never by itself: an append returns when the operating system has the entry. What was not
    /// written back is lost in a power cut; `sync` makes everything durable that was appended before.
    None,
    /// At once, by the appender: an append returns when the entry is durable. Appends that come
    /// while a sync runs share the next one. Never waits on purpose.
    Immediate,
    /// In the background, after `entries` entries or after `interval`, whichever is first; not at all
    /// while nothing is pending. An append returns when the operating system has the entry. A power cut
    /// loses at most what was appended in one interval and one sync.
    Periodic {
        /// So many entries that are not durable ask for a sync: at least 1.
        entries: u64,
        /// The oldest entry that is not durable asks for one when it is this old: at least 100 us.
        interval: Duration,
    },
    /// As [`Immediate`](SyncPolicy::Immediate), but before it syncs an appender waits until as many callers wait as waited
    /// when the last sync ended, itself included, so that all share one sync: never longer than `window`, nor than a third
    /// of a sync. A lone appender never waits, and where no caller came in time the next appenders do not wait either.
    Grouped {
        /// The longest wait: at least 100 us. An upper bound, not a sleep.
        window: Duration,
    },
}

/// The shortest interval and window: below it a clock and a scheduler cannot keep a promise.
const MIN_WAIT: Duration = Duration::from_micros(100);

/// Longer than a third of a sync on most disks, so it is the sync that bounds the wait.
const DEFAULT_WINDOW: Duration = Duration::from_millis(1);

impl Default for SyncPolicy {
    /// `grouped` with a window of 1 ms.
    fn default() -> SyncPolicy {
        SyncPolicy::Grouped { window: DEFAULT_WINDOW }
    }
}

impl SyncPolicy {
    /// [`SyncPolicy::Grouped`] with this window; one below 100 us becomes 100 us.
    #[must_use]
    pub fn grouped(window: Duration) -> SyncPolicy {
        SyncPolicy::Grouped { window: window.max(MIN_WAIT) }
    }

    /// [`SyncPolicy::Periodic`]; `entries` of 0 becomes 1, and an interval below 100 us becomes 100 us.
    #[must_use]
    pub fn periodic(entries: u64, interval: Duration) -> SyncPolicy {
        SyncPolicy::Periodic { entries: entries.max(1), interval: interval.max(MIN_WAIT) }
    }

    /// The same policy with values that can be kept.
    #[must_use]
    pub fn clamped(self) -> SyncPolicy {
        match self {
            SyncPolicy::Periodic { entries, interval } => SyncPolicy::periodic(entries, interval),
            SyncPolicy::Grouped { window } => SyncPolicy::grouped(window),
            policy => policy,
        }
    }

    /// Whether an append waits until its entry is durable.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self.promise(), Durability::Durable)
    }

    /// What an append that returned has promised.
    #[must_use]
    pub const fn promise(self) -> Durability {
        match self {
            SyncPolicy::None | SyncPolicy::Periodic { .. } => Durability::Written,
            SyncPolicy::Immediate | SyncPolicy::Grouped { .. } => Durability::Durable,
        }
    }

    /// The name that options and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SyncPolicy::None => "none",
            SyncPolicy::Immediate => "immediate",
            SyncPolicy::Periodic { .. } => "periodic",
            SyncPolicy::Grouped { .. } => "grouped",
        }
    }
}

/// What is true of an entry, each including the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Durability {
    /// It is numbered and in this process's memory: lost when the process dies.
    Buffered,
    /// The operating system has it: survives the death of the process.
    Written,
    /// A sync covered it: survives a power cut.
    Durable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_kept_become_the_nearest_that_can() {
        let window = Duration::from_nanos(1);
        assert_eq!(SyncPolicy::Grouped { window }.clamped(), SyncPolicy::Grouped { window: MIN_WAIT });
        let none = SyncPolicy::Periodic { entries: 0, interval: window };
        assert_eq!(none.clamped(), SyncPolicy::Periodic { entries: 1, interval: MIN_WAIT });
        assert_eq!(SyncPolicy::Immediate.clamped(), SyncPolicy::Immediate);
    }

    #[test]
    fn each_promise_includes_the_ones_before() {
        assert!(Durability::Buffered < Durability::Written && Durability::Written < Durability::Durable);
        assert!(SyncPolicy::default().waits() && SyncPolicy::Immediate.waits());
        assert!(!SyncPolicy::None.waits() && !SyncPolicy::periodic(1, MIN_WAIT).waits());
    }
}
