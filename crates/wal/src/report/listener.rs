//! The queue between an event and its callback, so that no callback runs under a lock of the log.
//!
//! ```text
//!  under a turn or a lock              under none
//!    tell ──▶ queue, in order ──▶ wal-events, or without that thread a call: the callback
//! ```

use std::path::Path;

use wal_sync::primitives::channel::{Receiver, Sender, unbounded};
use wal_sync::primitives::{AtomicBool, Ordering};

use crate::report::event::{Callbacks, Event};
#[cfg(feature = "tracing")]
use crate::report::trace;

/// Queues events while turns and locks are held. The callbacks run later, in order: on a thread of their own, or without
/// one in a call, mostly the one that caused the event.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    noted: Sender<Option<Event>>,
    /// Flags, not the callbacks: a callback that owns a handle of the log would keep it alive.
    tells_rollovers: bool,
    tells_slow_syncs: bool,
}

/// The receiving end of the queue: runs the callbacks.
#[derive(Debug)]
pub(crate) struct Caller {
    noted: Receiver<Option<Event>>,
    callbacks: Callbacks,
    /// The log's directory, for its `tracing` events.
    #[cfg(feature = "tracing")]
    log: String,
    /// Without a thread of its own: set while one caller runs the callbacks, so that others do not.
    busy: AtomicBool,
}

impl Listener {
    /// Both ends, for the log in this directory; `None` when there is no callback and no tracing.
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "only tracing names the log"))]
    pub(crate) fn new(callbacks: &Callbacks, directory: &Path) -> Option<(Listener, Caller)> {
        if callbacks.is_empty() && !cfg!(feature = "tracing") {
            return None;
        }
        let (sender, noted) = unbounded();
        let caller = Caller {
            noted,
            callbacks: callbacks.clone(),
            #[cfg(feature = "tracing")]
            log: directory.display().to_string(),
            busy: AtomicBool::new(false),
        };
        let listener = Listener {
            noted: sender,
            tells_rollovers: callbacks.on_rollover.is_some(),
            tells_slow_syncs: callbacks.on_slow_sync.is_some(),
        };
        Some((listener, caller))
    }

    pub(crate) fn tell(&self, event: Event) {
        let wanted = match &event {
            Event::Rollover(_) => self.tells_rollovers,
            Event::SlowSync(_) => self.tells_slow_syncs,
            #[cfg(feature = "tracing")]
            Event::Trace(_) => false,
        };
        #[cfg(feature = "tracing")]
        let wanted = wanted || trace::is_wanted(&event);
        if wanted {
            // Fails once the log is closed and the receiver is gone.
            self.noted.send(Some(event)).ok();
        }
    }

    /// Ends the thread once it has run the callbacks of every queued event.
    pub(crate) fn stop(&self) {
        self.noted.send(None).ok();
    }
}

impl Caller {
    /// The body of the thread `wal-events`.
    pub(crate) fn run(&self) {
        while let Ok(Some(event)) = self.noted.recv() {
            self.call(&event);
        }
    }

    /// The callback comes last, so that an event is traced before those that its callback causes.
    fn call(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        trace::emit(&self.log, event);
        self.callbacks.call(event);
    }

    /// Runs the callbacks of every queued event, unless another thread is doing so, or this one is, in a call that a
    /// callback makes: that loop gets to the new events, too.
    pub(crate) fn call_all(&self) {
        while !self.noted.is_empty() && !self.busy.swap(true, Ordering::SeqCst) {
            while let Ok(Some(event)) = self.noted.try_recv() {
                self.call(&event);
            }
            self.busy.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::report::event::{Rollover, SlowSync};

    #[test]
    fn an_event_that_nothing_waits_for_is_not_queued() {
        let rollover = || {
            let rolled = wal_segment::Rolled {
                from: None,
                to: wal_format::SegmentNumber::FIRST,
                first: wal_format::Sequence::ZERO,
                cut: true,
            };
            Event::Rollover(Rollover::of(rolled))
        };
        let slow_sync =
            || Event::SlowSync(SlowSync { took: Duration::from_secs(2), sequences: 0..1, failed: false });
        let callbacks = Callbacks { on_slow_sync: Some(Arc::new(|_| {})), ..Callbacks::default() };
        let (listener, caller) = Listener::new(&callbacks, Path::new("log")).expect("there is a callback");
        listener.tell(rollover());
        assert!(caller.noted.is_empty());
        listener.tell(slow_sync());
        assert!(!caller.noted.is_empty());

        let callbacks = Callbacks { on_rollover: Some(Arc::new(|_| {})), ..Callbacks::default() };
        let (listener, caller) = Listener::new(&callbacks, Path::new("log")).expect("there is a callback");
        listener.tell(slow_sync());
        assert!(caller.noted.is_empty());
        listener.tell(rollover());
        assert!(!caller.noted.is_empty());
    }
}
