//! How long a leader waits for company before it writes and syncs.
//!
//! Threads that append over and over come back shortly after the sync that they shared. Under `grouped` a leader waits until
//! as many are there as shared the last one, so that one sync serves all; but for no longer than pays: if nobody comes, that
//! is a third of a sync more, once.

use std::time::Duration;

use super::{GroupCommit, Locked};
use crate::policy::SyncPolicy;
use crate::primitives::{now, yield_now};
use crate::target::Target;

/// The company that appenders had lately.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// So many callers shared the last frame that some waited for.
    expected: u64,
    sync_takes: Duration,
}

impl Company {
    /// A frame is written that so many callers wait for.
    pub(super) fn wrote(&mut self, waiters: u64) {
        if waiters > 0 {
            self.expected = waiters;
        }
    }

    pub(super) fn synced(&mut self, took: Duration) {
        self.sync_takes = took;
    }
}

impl<T: Target> GroupCommit<T> {
    /// Waits for company in this frame, while it is open. The lock is given up meanwhile.
    pub(super) fn gather<'a>(&'a self, mut locked: Locked<'a, T>, frame: u64) -> Locked<'a, T> {
        let SyncPolicy::Grouped { window } = self.policy else { return locked };
        let expected = locked.company.expected;
        if locked.open.number != frame || locked.open.waiters >= expected {
            return locked;
        }
        let deadline = now() + window.min(locked.company.sync_takes / 3);
        while locked.open.number == frame && locked.open.waiters < expected && !locked.closed {
            if locked.failure.is_some() || now() >= deadline {
                break;
            }
            drop(locked);
            yield_now();
            locked = self.lock();
        }
        locked
    }
}
