//! The events of a log, and their callbacks.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tracing")]
use wal_segment::Recovery;

#[cfg(feature = "tracing")]
use crate::error::Error;

/// A rollover: the log goes on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rollover {
    /// The number of the previous segment; `None` for the first segment of a log.
    pub from: Option<u64>,
    /// The number of the new segment.
    pub to: u64,
    /// The sequence number of the first entry in the new segment.
    pub first: u64,
    /// Whether the log was cut before the new segment, after a torn write, a failed write, or by a truncation.
    pub cut: bool,
}

impl Rollover {
    pub(crate) fn of(rolled: wal_segment::Rolled) -> Rollover {
        Rollover {
            from: rolled.from.map(wal_format::SegmentNumber::value),
            to: rolled.to.value(),
            first: rolled.first.value(),
            cut: rolled.cut,
        }
    }
}

/// A finished fsync that took [`slow_sync`](crate::Options::slow_sync) or longer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowSync {
    /// How long it took.
    pub took: Duration,
    /// The sequence numbers of the entries that it was to make durable.
    pub sequences: Range<u64>,
    /// Whether it failed, and so poisoned the log.
    pub failed: bool,
}

/// An event for a callback or for tracing.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Rollover(Rollover),
    SlowSync(SlowSync),
    #[cfg(feature = "tracing")]
    Trace(Trace),
}

/// An event that is only traced, without a callback.
#[cfg(feature = "tracing")]
#[derive(Clone, Debug)]
pub(crate) enum Trace {
    /// The log is open.
    Opened { recovery: Box<Recovery>, took: Duration },
    /// A write failed: the entries from this one on are not in the log.
    WriteFailed { first: u64, error: Error },
    /// A sync failed: the log is poisoned.
    SyncFailed { error: Error },
    /// The directory itself cannot be locked.
    DirectoryNotLocked {},
    /// The system failed a memory mapping: segments are read by position from now on.
    MappingRefused { error: Error },
    /// The path of the directory leads to another one.
    Displaced {},
    /// Another program replaced a file of the log, which is poisoned.
    Exchanged { error: Error },
    /// The entries before `first` were dropped, or the truncation failed.
    TruncatedBefore { first: u64, failed: Option<Error> },
    /// The entries after `last` were dropped, or the truncation failed.
    TruncatedAfter { last: u64, failed: Option<Error> },
    /// The next segment could not be prepared.
    SpareFailed { error: Error },
    /// The anchor could not be written.
    AnchorFailed { error: Error },
    /// The log is closed.
    Closed { written: u64, durable: u64, failed: Option<Error> },
}

/// Queues an event that is only traced; does nothing without the feature `tracing`.
macro_rules! note {
    ($listener:expr, $trace:ident { $($field:tt)* }) => {
        #[cfg(feature = "tracing")]
        if let Some(listener) = $listener {
            listener.tell($crate::report::event::Event::Trace($crate::report::event::Trace::$trace { $($field)* }));
        }
    };
    (when $pattern:pat = $value:expr => $listener:expr, $trace:ident { $($field:tt)* }) => {
        #[cfg(feature = "tracing")]
        if let $pattern = $value {
            $crate::report::event::note!($listener, $trace { $($field)* });
        }
    };
}
pub(crate) use note;

/// The callback for one kind of event.
pub(crate) type Callback<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// The callbacks of the options.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_rollover: Option<Callback<Rollover>>,
    pub(crate) on_slow_sync: Option<Callback<SlowSync>>,
}

impl Callbacks {
    /// Whether there is no callback.
    pub(super) fn is_empty(&self) -> bool {
        self.on_rollover.is_none() && self.on_slow_sync.is_none()
    }

    /// Calls the one for this event, if there is one, and catches its panics.
    pub(super) fn call(&self, event: &Event) {
        let call = || match event {
            Event::Rollover(rollover) => self.on_rollover.iter().for_each(|callback| callback(rollover)),
            Event::SlowSync(sync) => self.on_slow_sync.iter().for_each(|callback| callback(sync)),
            #[cfg(feature = "tracing")]
            Event::Trace(_) => {}
        };
        catch_unwind(AssertUnwindSafe(call)).ok();
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rollover, slow_sync) = (self.on_rollover.is_some(), self.on_slow_sync.is_some());
        write!(f, "Callbacks {{ on_rollover: {rollover}, on_slow_sync: {slow_sync} }}")
    }
}
