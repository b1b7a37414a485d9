//! The policies that are tried.

use std::time::Duration;

use wal::{Durability, Options, SyncPolicy};

/// When a log syncs, and what an append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Policy {
    None,
    Immediate,
    Grouped,
    /// By count alone: the interval is too long to pass.
    Periodic,
    /// None, and entries gather in memory.
    Buffered,
}

impl Policy {
    pub(crate) const ALL: [Policy; 5] =
        [Policy::None, Policy::Immediate, Policy::Grouped, Policy::Periodic, Policy::Buffered];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Immediate => "immediate",
            Policy::Grouped => "grouped",
            Policy::Periodic => "periodic",
            Policy::Buffered => "buffered",
        }
    }

    pub(crate) fn options(self, options: Options) -> Options {
        match self {
            Policy::None => options.sync(SyncPolicy::None),
            Policy::Immediate => options.sync(SyncPolicy::Immediate),
            Policy::Grouped => options.sync(SyncPolicy::grouped(WINDOW)),
            Policy::Periodic => options.sync(SyncPolicy::periodic(PERIOD_ENTRIES, INTERVAL)),
            Policy::Buffered => options.sync(SyncPolicy::None).buffered(BUFFERED_BYTES),
        }
    }

    /// What an append that returned has promised.
    pub(crate) fn promise(self) -> Durability {
        match self {
            Policy::Immediate | Policy::Grouped => Durability::Durable,
            Policy::None | Policy::Periodic => Durability::Written,
            Policy::Buffered => Durability::Buffered,
        }
    }

    pub(crate) fn waits(self) -> bool {
        self.promise() == Durability::Durable
    }
}

const WINDOW: Duration = Duration::from_millis(1);
const INTERVAL: Duration = Duration::from_secs(3600);

/// So many entries that are not durable ask for a sync.
pub(crate) const PERIOD_ENTRIES: u64 = 4;

/// A few small entries.
const BUFFERED_BYTES: u64 = 256;
