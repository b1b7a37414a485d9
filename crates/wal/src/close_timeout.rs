//! `Wal`: closing a log whose disk may hang.

use std::sync::Arc;
use std::time::Duration;

use wal_sync::primitives::{Condvar, Mutex, now, spawn};

use crate::error::{Error, ErrorKind};
use crate::log::Wal;

/// How the close ended, once it has.
struct Outcome {
    closed: Mutex<Option<Result<(), Error>>>,
    told: Condvar,
}

impl Wal {
    /// Closes the log as [`Wal::close`] does, and waits for it no longer than `limit`. A call to the system that does not
    /// return cannot be ended: the close goes on in a thread of its own, which keeps the log, and its lock, until the system
    /// answers or the process ends.
    ///
    /// Costs a thread. Also a callback of the log may call this; the close waits for that callback then, and so the limit
    /// always passes.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the limit has passed: everything before [`Error::durable_end`] is durable, and more may
    /// become so. [`ErrorKind::Io`] when no thread can be started; then the log ends as when its last handle is dropped. Otherwise as
    /// [`Wal::close`].
    pub fn close_timeout(self, limit: Duration) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let outcome = Arc::new(Outcome { closed: Mutex::new(None), told: Condvar::new() });
        let theirs = Arc::clone(&outcome);
        let begun = now();
        // The handle goes with it, so that it is never dropped here: that waits for the system, too.
        let closing = move || {
            let closed = self.close();
            *theirs.closed.lock_whole() = Some(closed);
            theirs.told.notify_all();
        };
        spawn("wal-close", closing).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the thread wal-close cannot be started: {error}"))
        })?;
        let mut closed = outcome.closed.lock_whole();
        loop {
            if let Some(closed) = closed.take() {
                return closed;
            }
            let left = limit.saturating_sub(now().saturating_duration_since(begun));
            if left.is_zero() {
                return Err(Error::timed_out(limit, core.commits.durable(), core.commits.written()));
            }
            closed = outcome.told.wait_for(&outcome.closed, closed, left);
        }
    }
}
