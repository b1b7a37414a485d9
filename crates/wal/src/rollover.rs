//! Telling whoever wants to know that the log went on in another segment.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wal_sync::primitives::channel::{Receiver, Sender, unbounded};
use wal_sync::primitives::{AtomicBool, Ordering};

/// The log went on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rollover {
    /// The number of the segment that it ended in; none at the beginning of a log.
    pub from: Option<u64>,
    /// The number of the segment that it goes on in.
    pub to: u64,
    /// The number of the first entry that is appended there. What small segments held in front of it may have been
    /// merged into this one.
    pub first: u64,
}

impl Rollover {
    pub(crate) fn of(rolled: wal_segment::Rolled) -> Rollover {
        Rollover {
            from: rolled.from.map(wal_format::SegmentNumber::value),
            to: rolled.to.value(),
            first: rolled.first.value(),
        }
    }
}

/// What is called at each rollover.
#[derive(Clone)]
pub(crate) struct Callback(Arc<dyn Fn(&Rollover) + Send + Sync>);

impl Callback {
    pub(crate) fn new(call: impl Fn(&Rollover) + Send + Sync + 'static) -> Callback {
        Callback(Arc::new(call))
    }

    /// A panic in there stays in there.
    fn call(&self, rollover: &Rollover) {
        catch_unwind(AssertUnwindSafe(|| (self.0)(rollover))).ok();
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(..)")
    }
}

/// Takes note of rollovers while turns and locks are held; the callback runs behind them, in order: on a
/// thread of its own, or where there is none in a call, mostly the one that rolled over.
#[derive(Debug)]
pub(crate) struct Listener {
    noted: Sender<Option<Rollover>>,
}

/// The other end: runs the callback.
#[derive(Debug)]
pub(crate) struct Caller {
    noted: Receiver<Option<Rollover>>,
    callback: Callback,
    /// Where no thread of its own calls: somebody calls, and others leave it to them.
    busy: AtomicBool,
}

impl Listener {
    pub(crate) fn new(callback: Callback) -> (Listener, Caller) {
        let (sender, noted) = unbounded();
        (Listener { noted: sender }, Caller { noted, callback, busy: AtomicBool::new(false) })
    }

    pub(crate) fn tell(&self, rollover: Rollover) {
        // Nobody listens once the log is closed.
        self.noted.send(Some(rollover)).ok();
    }

    /// The thread ends when it has told what was noted.
    pub(crate) fn stop(&self) {
        self.noted.send(None).ok();
    }
}

impl Caller {
    /// The body of the thread `wal-events`.
    pub(crate) fn run(&self) {
        while let Ok(Some(rollover)) = self.noted.recv() {
            self.callback.call(&rollover);
        }
    }

    /// Calls for everything that was noted, unless somebody is at it: another thread, or this one, in a call
    /// that the callback makes. They come to it.
    pub(crate) fn call_all(&self) {
        while !self.noted.is_empty() && !self.busy.swap(true, Ordering::SeqCst) {
            while let Ok(Some(rollover)) = self.noted.try_recv() {
                self.callback.call(&rollover);
            }
            self.busy.store(false, Ordering::SeqCst);
        }
    }
}
