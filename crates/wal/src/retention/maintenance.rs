//! The signal that background maintenance is due, and the errors of it. The work itself is in `engine/maintenance.rs`.
//!
//! Lock: `state`, for a moment; a leaf.

use std::time::Duration;

use wal_sync::primitives::{AtomicBool, Condvar, Mutex, Ordering, now, since};

use crate::error::{Error, ErrorKind};
use crate::report::stats::Stats;

/// Wakes the thread `wal-retention`; without threads, tells the next call that maintenance is due.
#[derive(Debug)]
pub(crate) struct Maintenance {
    state: Mutex<State>,
    /// Maintenance is due, or the log is over.
    work: Condvar,
    /// The same as `State::due`, for calls that do the work where there is no thread.
    due: AtomicBool,
}

#[derive(Debug)]
struct State {
    due: bool,
    over: bool,
    /// An append is about to wait for room.
    write_deferred: bool,
    errors: u64,
    last_error: Option<String>,
}

impl Maintenance {
    /// Due at once: an open may find something to drop.
    pub(crate) fn new() -> Maintenance {
        let state = State { due: true, over: false, write_deferred: false, errors: 0, last_error: None };
        Maintenance { state: Mutex::new(state), work: Condvar::new(), due: AtomicBool::new(true) }
    }

    /// There is something to do.
    pub(crate) fn ring(&self) {
        self.state.lock_whole().due = true;
        self.due.store(true, Ordering::Release);
        self.work.notify_one();
    }

    /// An append is about to wait for room under the cap.
    pub(crate) fn write_deferred(&self) {
        self.state.lock_whole().write_deferred = true;
        self.ring();
    }

    /// Whether an append has begun to wait, which the group commit may not show yet.
    pub(crate) fn take_deferred(&self) -> bool {
        std::mem::take(&mut self.state.lock_whole().write_deferred)
    }

    /// Counts a failure of maintenance.
    pub(crate) fn failed(&self, error: &Error) {
        // A truncation of the end that came first is no failure: what was to be ended is gone.
        if !matches!(error.kind(), ErrorKind::Closed | ErrorKind::Truncated) {
            let mut state = self.state.lock_whole();
            state.errors += 1;
            state.last_error = Some(error.to_string());
        }
    }

    /// Blocks until maintenance is due, or `limit` has passed. Returns `false` once the log is over.
    pub(crate) fn until_due(&self, limit: Duration) -> bool {
        let begun = now();
        let mut state = self.state.lock_whole();
        loop {
            if state.over {
                return false;
            }
            let left = limit.saturating_sub(since(begun));
            if std::mem::take(&mut state.due) || left.is_zero() {
                return true;
            }
            state = self.work.wait_for(&self.state, state, left);
        }
    }

    /// Without the thread: whether the caller has to do what is due. Costs a load when nothing is.
    pub(crate) fn take_due(&self) -> bool {
        self.due.load(Ordering::Acquire) && self.due.swap(false, Ordering::AcqRel)
    }

    /// The thread ends.
    pub(crate) fn stop(&self) {
        self.state.lock_whole().over = true;
        self.work.notify_all();
    }

    pub(crate) fn fill(&self, stats: &mut Stats) {
        let state = self.state.lock_whole();
        (stats.maintenance_errors, stats.last_maintenance_error) = (state.errors, state.last_error.clone());
    }
}
