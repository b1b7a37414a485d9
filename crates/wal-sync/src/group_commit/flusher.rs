//! The flusher: writes and syncs for callers that do not wait. A thread of its own, or without one the next caller that waits.

use std::time::Duration;

use super::{GroupCommit, Locked, State};
use crate::policy::SyncPolicy;
use crate::primitives::now;
use crate::target::Target;

impl<T: Target> GroupCommit<T> {
    /// Writes and syncs what no other thread will, until the log is closed or fails. For one thread.
    pub fn run_flusher(&self) {
        let mut locked = self.lock();
        while locked.refuse_if_closed().is_ok() {
            let mut idle = true;
            if locked.open.has_tickets && !locked.writing {
                locked = self.write_next(locked);
                idle = false;
            }
            // What has joined meanwhile, or was only buffered, shares the sync.
            if locked.has_unwritten() && !locked.writing && !locked.syncing && self.sync_is_due(&locked) {
                locked = self.write_next(locked);
                idle = false;
            }
            if self.sync_has_something(&locked) && self.sync_is_due(&locked) {
                locked = self.sync_now(locked);
            } else if idle {
                // Nothing has changed since it was found that there is nothing to do, but the time.
                locked = match self.until_due(&locked) {
                    Some(left) if !left.is_zero() && !locked.syncing => {
                        self.work.wait_for(&self.state, locked, left)
                    }
                    Some(_) if self.can_do_something(&locked) => locked,
                    _ => self.work.wait(locked),
                };
            }
        }
    }

    /// Without a flusher: one step of what is due for a thread that waits, or a wait for the thread that does it already.
    pub(super) fn do_what_is_due<'a>(&'a self, locked: Locked<'a, T>) -> Locked<'a, T> {
        // What cannot be written, or waits for room, must not keep what is written from its sync.
        let is_held_up = locked.held_back.is_some() || locked.deferred.is_some();
        let may_sync = !locked.unsynced.is_empty() && !locked.syncing;
        if may_sync && is_held_up && !locked.is_over() {
            return self.sync_now(locked);
        }
        if locked.has_unwritten() && !locked.writing {
            return self.write_next(locked);
        }
        if may_sync && !locked.writing {
            return self.sync_now(locked);
        }
        if locked.writing || locked.syncing { self.turn.wait(locked) } else { locked }
    }

    /// Without a flusher, a thread that comes when a sync is due runs it.
    pub(super) fn sync_if_due(&self) {
        if self.limits.flusher || !matches!(self.policy, SyncPolicy::Periodic { .. }) {
            return;
        }
        let mut locked = self.lock();
        if locked.syncing || !self.sync_is_due(&locked) {
            return;
        }
        // Should one of these fail, it is kept or latched; what was promised of this entry is true.
        if locked.has_unwritten() && !locked.writing {
            locked = self.write_next(locked);
        }
        if self.sync_has_something(&locked) {
            drop(self.sync_now(locked));
        }
    }

    /// Whether the flusher would find something to do.
    pub(super) fn has_work(&self, locked: &State<T>) -> bool {
        locked.open.has_tickets && !locked.writing || !locked.syncing && self.sync_is_due(locked)
    }

    /// How old the oldest entry that is not durable may get.
    pub(super) fn interval(&self) -> Option<Duration> {
        match self.policy {
            SyncPolicy::Periodic { interval, .. } => Some(interval),
            _ => None,
        }
    }

    /// Whether a sync may begin, and would make something durable.
    fn sync_has_something(&self, locked: &State<T>) -> bool {
        locked.written > locked.durable && !locked.syncing
    }

    /// Whether a sync is due, and it, or the write before it, may begin.
    fn can_do_something(&self, locked: &State<T>) -> bool {
        let something = locked.written > locked.durable || locked.has_unwritten() && !locked.writing;
        something && !locked.syncing && self.sync_is_due(locked)
    }

    /// Whether the policy, or a caller that waits, wants a sync of what is written, or of what is buffered
    /// and can be written for it.
    pub(super) fn sync_is_due(&self, locked: &State<T>) -> bool {
        let written = locked.written > locked.durable;
        // A caller that leads syncs everything.
        if written && (locked.wanted > locked.durable && locked.leader.is_none() || locked.sync_soon) {
            return true;
        }
        (written || locked.has_unwritten() && !locked.writing)
            && (self.has_many(locked) || self.until_due(locked) == Some(Duration::ZERO))
    }

    /// Whether so many entries are not durable that they ask for a sync. What could not be written is not
    /// tried again for its number, only for its age.
    pub(super) fn has_many(&self, locked: &State<T>) -> bool {
        let SyncPolicy::Periodic { entries, .. } = self.policy else { return false };
        locked.next - locked.durable >= entries && locked.held_back.is_none() && !locked.syncing
    }

    /// How long until the oldest entry that is not durable asks for a sync.
    fn until_due(&self, locked: &State<T>) -> Option<Duration> {
        let since = locked.pending_since?;
        Some(self.interval()?.saturating_sub(now().saturating_duration_since(since)))
    }
}
