//! Taking note of what whoever wants to know is told later.
//!
//! ```text
//!  under a turn or a lock              under none
//!    tell ──▶ noted, in order ──▶ wal-events, or where there is no thread a call: the callback
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use wal_sync::primitives::channel::{Receiver, Sender, unbounded};
use wal_sync::primitives::{AtomicBool, Ordering};

use crate::report::event::Rollover;
use crate::report::health::SlowSync;
#[cfg(feature = "tracing")]
use crate::report::trace::{self, Trace};

/// Something that somebody may want to know.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Rollover(Rollover),
    SlowSync(SlowSync),
    #[cfg(feature = "tracing")]
    Trace(Trace),
}

/// Takes note of what is traced alone; without the feature, of nothing.
macro_rules! note {
    ($listener:expr, $trace:ident { $($field:tt)* }) => {
        #[cfg(feature = "tracing")]
        if let Some(listener) = $listener {
            listener.tell($crate::report::listener::Event::Trace($crate::report::trace::Trace::$trace { $($field)* }));
        }
    };
    (when $pattern:pat = $value:expr => $listener:expr, $trace:ident { $($field:tt)* }) => {
        #[cfg(feature = "tracing")]
        if let $pattern = $value {
            $crate::report::listener::note!($listener, $trace { $($field)* });
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
    fn is_empty(&self) -> bool {
        self.on_rollover.is_none() && self.on_slow_sync.is_none()
    }

    fn call(&self, event: &Event) {
        match event {
            Event::Rollover(rollover) => self.on_rollover.iter().for_each(|callback| callback.call(rollover)),
            Event::SlowSync(sync) => self.on_slow_sync.iter().for_each(|callback| callback.call(sync)),
            #[cfg(feature = "tracing")]
            Event::Trace(_) => {}
        }
    }
}

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
