//! The events of a log, and the callbacks that are told of them.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tracing")]
use wal_segment::Recovery;

#[cfg(feature = "tracing")]
use crate::error::Error;

/// The log went on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rollover {
    /// The number of the segment that it ended in; none at the beginning of a log.
    pub from: Option<u64>,
    /// The number of the segment that it goes on in.
    pub to: u64,
    /// The number of the first entry that is appended there.
    pub first: u64,
    /// Whether the log was cut in front of it: behind a torn tail, a failed write, or by a truncation.
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

/// A sync that took longer than [`slow_sync`](crate::Options::slow_sync) allows, and has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowSync {
    /// How long it took.
    pub took: Duration,
    /// The numbers of the entries that it was to make durable.
    pub sequences: Range<u64>,
    /// Whether it failed in the end: the log is poisoned then.
    pub failed: bool,
}

/// Something that somebody may want to know.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Rollover(Rollover),
    SlowSync(SlowSync),
    #[cfg(feature = "tracing")]
    Trace(Trace),
}

/// What is traced and no callback is told.
#[cfg(feature = "tracing")]
#[derive(Clone, Debug)]
pub(crate) enum Trace {
    /// The log is open.
    Opened { recovery: Box<Recovery>, took: Duration },
    /// A write failed: the entries from this one on are no part of the log.
    WriteFailed { first: u64, error: Error },
    /// A sync failed: the log is poisoned.
    SyncFailed { error: Error },
    /// The directory itself cannot be locked.
    DirectoryNotLocked {},
    /// The system refused a mapping: segments are read by position from now on.
    MappingRefused { error: Error },
    /// The path of the directory leads elsewhere.
    Displaced {},
    /// A file was exchanged under the log: it is poisoned.
    Exchanged { error: Error },
    /// Everything in front of `first` was to be dropped.
    TruncatedBefore { first: u64, failed: Option<Error> },
    /// Everything behind `last` was to be dropped.
    TruncatedAfter { last: u64, failed: Option<Error> },
    /// The next segment could not be prepared.
    SpareFailed { error: Error },
    /// The anchor could not be written.
    AnchorFailed { error: Error },
    /// The log is closed.
    Closed { written: u64, durable: u64, failed: Option<Error> },
}

/// Takes note of what is traced alone; without the feature, of nothing.
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

/// What is called for one kind of event.
pub(crate) struct Callback<T>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T> Callback<T> {
    pub(crate) fn new(call: impl Fn(&T) + Send + Sync + 'static) -> Callback<T> {
        Callback(Arc::new(call))
    }

    /// A panic in there stays in there.
    fn call(&self, event: &T) {
        catch_unwind(AssertUnwindSafe(|| (self.0)(event))).ok();
    }
}

impl<T> Clone for Callback<T> {
    fn clone(&self) -> Callback<T> {
        Callback(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(..)")
    }
}

/// All that may be called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_rollover: Option<Callback<Rollover>>,
    pub(crate) on_slow_sync: Option<Callback<SlowSync>>,
}

impl Callbacks {
    /// Whether nobody wants to know anything.
    pub(super) fn is_empty(&self) -> bool {
        self.on_rollover.is_none() && self.on_slow_sync.is_none()
    }

    pub(super) fn call(&self, event: &Event) {
        match event {
            Event::Rollover(rollover) => self.on_rollover.iter().for_each(|callback| callback.call(rollover)),
            Event::SlowSync(sync) => self.on_slow_sync.iter().for_each(|callback| callback.call(sync)),
            #[cfg(feature = "tracing")]
            Event::Trace(_) => {}
        }
    }
}
