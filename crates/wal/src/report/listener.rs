//! Taking note of what whoever wants to know is told later.
//!
//! ```text
//!  under a turn or a lock              under none
//!    tell ──▶ noted, in order ──▶ wal-events, or where there is no thread a call: the callback
//! ```

use std::path::Path;

use wal_sync::primitives::channel::{Receiver, Sender, unbounded};
use wal_sync::primitives::{AtomicBool, Ordering};

use crate::report::event::{Callbacks, Event};
#[cfg(feature = "tracing")]
use crate::report::trace;

/// Takes note of events while turns and locks are held; the callback runs behind them, in order: on a
/// thread of its own, or where there is none in a call, mostly the one that met the event.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    noted: Sender<Option<Event>>,
    /// Not the callbacks: one that keeps the log would be kept by it.
    tells_rollovers: bool,
    tells_slow_syncs: bool,
}

/// The other end: runs the callbacks.
#[derive(Debug)]
pub(crate) struct Caller {
    noted: Receiver<Option<Event>>,
    callbacks: Callbacks,
    /// Whose events they are.
    #[cfg(feature = "tracing")]
    log: String,
    /// Where no thread of its own calls: somebody calls, and others leave it to them.
    busy: AtomicBool,
}

impl Listener {
    /// Both ends, for the log in this directory; none where nobody will want to know anything.
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "callbacks know whose they are"))]
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
        let wanted = wanted || event.is_traced();
        if wanted {
            // Nobody listens once the log is closed.
            self.noted.send(Some(event)).ok();
        }
    }

    /// The thread ends when it has told what was noted.
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

    /// The callback comes last: an event is traced in front of those that it causes.
    fn call(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        trace::emit(&self.log, event);
        self.callbacks.call(event);
    }

    /// Calls for everything that was noted, unless somebody is at it: another thread, or this one, in a call
    /// that the callback makes. They come to it.
    pub(crate) fn call_all(&self) {
        while !self.noted.is_empty() && !self.busy.swap(true, Ordering::SeqCst) {
            while let Ok(Some(event)) = self.noted.try_recv() {
                self.call(&event);
            }
            self.busy.store(false, Ordering::SeqCst);
        }
    }
}
