//! What the lock of the group commit protects.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use super::cuts::Cuts;
use super::wakeups::Wakeups;
use crate::epoch::Epoch;
use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, Instant};
use crate::target::Target;
use crate::watermark::Mark;

/// Entries of one write, while they are collected and written.
pub(super) struct WriteGroup<T: Target> {
    pub(super) frame: T::Frame,
    /// The number of this frame. A caller in it sleeps on the word of that number.
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// The highest durability that was asked for in it.
    pub(super) asked: Durability,
    /// An entry in it was promised to be buffered, and its caller has returned.
    pub(super) promised: bool,
    /// A caller in it waits for the write alone.
    pub(super) waits_for_write: bool,
    /// A ticket of it waits for the write or for the sync.
    pub(super) has_tickets: bool,
    /// Callers who wait until it is durable.
    pub(super) waiters: u64,
    /// When it was begun, of frames whose time is taken.
    pub(super) begun: Option<Instant>,
}

/// Entries that could not be written and keep their numbers, and why.
pub(super) type Kept<T> = (Box<WriteGroup<T>>, Error<<T as Target>::Error>);

/// A frame that is written and waits for a sync.
pub(super) struct Unsynced<E> {
    /// Its epoch, if that has ended.
    pub(super) epoch: Option<Arc<Epoch<E>>>,
    pub(super) number: u64,
    pub(super) end: u64,
    pub(super) bytes: u64,
    /// Callers who wait until it is durable.
    pub(super) waiters: u64,
    pub(super) begun: Option<Instant>,
}

/// A task that waits for a watermark.
pub(super) struct Watcher {
    pub(super) id: u64,
    pub(super) mark: Mark,
    pub(super) sequence: u64,
    pub(super) waker: Waker,
}

pub(super) struct State<T: Target> {
    /// Where entries join.
    pub(super) open: Box<WriteGroup<T>>,
    /// The epoch of the entries that join now.
    pub(super) epoch: Arc<Epoch<T::Error>>,
    /// Ended epochs with entries that are written and wait for a sync.
    pub(super) ended: Vec<Arc<Epoch<T::Error>>>,
    /// Buffered entries whose write failed: they are written before anything else.
    pub(super) held_back: Option<Kept<T>>,
    /// What waits for room, and why. As long as it does, no thread has the turn to write and it counts as taken, so
    /// that all who want it wait; but for a truncation, which may make room.
    pub(super) deferred: Option<Kept<T>>,
    /// An empty one, to be used again.
    pub(super) idle: Option<Box<WriteGroup<T>>>,
    /// The number of the next entry that joins.
    pub(super) next: u64,
    pub(super) written: u64,
    /// A write has failed, and none has succeeded since: the target may hold something after what is written.
    pub(super) rest_in_doubt: bool,
    pub(super) durable: u64,
    /// Syncs have covered so much, whether or not it is known to be written.
    pub(super) covered: u64,
    /// A thread has the turn to write.
    pub(super) writing: bool,
    /// A thread has the turn to sync.
    pub(super) syncing: bool,
    /// The caller that leads to the next sync, named by the end of its entries.
    pub(super) leader: Option<u64>,
    /// The leader waits for siblings in the open frame.
    pub(super) waits_for_siblings: bool,
    /// Nothing joins before a truncation has ended.
    pub(super) truncating: bool,
    /// Where the end of the log was cut off, and which numbers failed writes gave back.
    pub(super) cuts: Cuts,
    pub(super) unsynced: VecDeque<Unsynced<T::Error>>,
    /// Bytes accepted but not yet as durable as their caller asked for.
    pub(super) in_flight_bytes: u64,
    /// Blocked callers wait until all entries before this number are durable.
    pub(super) awaited: u64,
    /// Tickets wait until all entries before this number are durable.
    pub(super) wanted: u64,
    /// The target asked for a sync.
    pub(super) sync_soon: bool,
    /// Since when something is not durable, while something is not.
    pub(super) pending_since: Option<Instant>,
    pub(super) siblings: Siblings,
    pub(super) failure: Option<Error<T::Error>>,
    /// Nothing joins any more.
    pub(super) closed: bool,
    /// Closed, and nothing is written or synced any more.
    pub(super) over: bool,
    pub(super) watchers: Vec<Watcher>,
    /// The waiters that the thread with the lock wakes once it has released it.
    pub(super) wakeups: Wakeups<T::Error>,
    pub(super) next_watcher: u64,
    /// How often the turn to write was taken.
    pub(super) writes: u64,
}

impl<T: Target> State<T> {
    pub(super) fn new(frame: T::Frame, next: u64) -> State<T> {
        State {
            open: Box::new(WriteGroup::new(frame, 0, next)),
            epoch: Epoch::new(next, next),
            ended: Vec::new(),
            held_back: None,
            deferred: None,
            idle: None,
            next,
            written: next,
            rest_in_doubt: false,
            durable: next,
            covered: next,
            writing: false,
            syncing: false,
            leader: None,
            waits_for_siblings: false,
            truncating: false,
            cuts: Cuts::default(),
            unsynced: VecDeque::new(),
            in_flight_bytes: 0,
            awaited: next,
            wanted: next,
            sync_soon: false,
            pending_since: None,
            siblings: Siblings::default(),
            failure: None,
            closed: false,
            over: false,
            watchers: Vec::new(),
            wakeups: Wakeups::new(),
            next_watcher: 0,
            writes: 0,
        }
    }

    /// Takes the turn to write, which is free.
    pub(super) fn take_turn_to_write(&mut self) {
        self.writing = true;
        self.writes += 1;
    }

    /// Nothing joins a log that failed or is being closed.
    pub(super) fn refuse_if_closed(&self) -> Result<(), Error<T::Error>> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.closed => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Only the next number can be had.
    pub(super) fn refuse_unless_next(&self, expected: u64) -> Result<(), Error<T::Error>> {
        let next = self.next;
        if next == expected { Ok(()) } else { Err(Error::Conflict { expected, next }) }
    }

    /// Nothing changes any more in a log that failed or was closed.
    pub(super) fn refuse_if_over(&self) -> Result<(), Error<T::Error>> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.over => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Whether entries before `end` were cut off by a truncation since there were so many cuts.
    pub(super) fn refuse_if_cut(&self, cuts: u64, end: u64) -> Result<(), Error<T::Error>> {
        match self.cuts.lowest_since(cuts) {
            Some(from) if end > from => Err(Error::Truncated { from }),
            _ => Ok(()),
        }
    }

    /// Whether as many callers wait in the open frame as are expected.
    pub(super) fn siblings_are_complete(&self) -> bool {
        self.open.waiters >= self.siblings.expected
    }

    pub(super) fn is_over(&self) -> bool {
        self.failure.is_some() || self.over
    }

    /// Whether something joined that is not written, and no thread is writing it.
    pub(super) fn has_unwritten(&self) -> bool {
        self.open.entries > 0 || self.held_back.is_some() || self.deferred.is_some()
    }

    /// Takes what is written next, and opens another frame after it.
    pub(super) fn take_next(&mut self, target: &T) -> Box<WriteGroup<T>> {
        if let Some((first, _)) = self.deferred.take().or_else(|| self.held_back.take()) {
            return first;
        }
        let number = self.open.number + 1;
        let fresh = match self.idle.take() {
            Some(mut idle) => {
                (idle.number, idle.first) = (number, self.next);
                idle
            }
            None => Box::new(WriteGroup::new(target.frame(), number, self.next)),
        };
        std::mem::replace(&mut self.open, fresh)
    }

    /// Fails the entries from `from` on that are not as durable as was asked for, and begins a new epoch.
    pub(super) fn lose(&mut self, from: u64, error: &Error<T::Error>) {
        let fresh = Epoch::new(self.written, self.durable);
        let ended = std::mem::replace(&mut self.epoch, fresh);
        for unsynced in &mut self.unsynced {
            unsynced.epoch.get_or_insert_with(|| Arc::clone(&ended));
        }
        self.ended.push(ended);
        for epoch in &self.ended {
            epoch.lose(from, error, &mut self.wakeups.wakers);
            self.wakeups.epoch(epoch);
        }
        self.ended.retain(|epoch| epoch.awaits_sync());
        (self.awaited, self.wanted) = (self.awaited.min(from), self.wanted.min(from));
    }

    /// Fails every entry that is not as durable as was asked for. Of a log that failed or ended: no new epoch begins.
    pub(super) fn lose_all(&mut self, error: &Error<T::Error>) {
        for epoch in self.ended.iter().chain([&self.epoch]) {
            epoch.lose(0, error, &mut self.wakeups.wakers);
            self.wakeups.epoch(epoch);
        }
        self.ended.clear();
    }
}

impl<T: Target> WriteGroup<T> {
    pub(super) fn new(frame: T::Frame, number: u64, first: u64) -> WriteGroup<T> {
        WriteGroup {
            frame,
            number,
            first,
            entries: 0,
            bytes: 0,
            asked: Durability::Buffered,
            promised: false,
            waits_for_write: false,
            has_tickets: false,
            waiters: 0,
            begun: None,
        }
    }

    /// Whether no caller in it needs it to be written.
    pub(super) fn is_only_buffered(&self) -> bool {
        self.entries > 0 && self.asked == Durability::Buffered
    }

    /// Empties it, so that it is used again.
    pub(super) fn clear(&mut self, target: &T, next: u64) {
        self.let_go();
        (self.first, self.entries, self.bytes, self.promised, self.begun) = (next, 0, 0, false, None);
        target.clear(&mut self.frame);
    }

    /// Releases every caller in it, and keeps the entries.
    pub(super) fn let_go(&mut self) {
        self.asked = Durability::Buffered;
        (self.waits_for_write, self.has_tickets, self.waiters) = (false, false, 0);
    }
}

/// How many callers a leader waits for, and how.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    /// How many callers waited for a sync when the last one ended: those that it released, and those that had joined
    /// meanwhile. 0 while leaders do not wait for siblings.
    pub(super) expected: u64,
    /// How many callers were released by the sync that ends now.
    pub(super) released: u64,
    /// After the last leader that waited in vain, leaders do not wait for so many syncs.
    pub(super) in_vain: u32,
    /// How many of those syncs are left.
    pub(super) rests: u32,
    /// How long the last sync took.
    pub(super) sync_takes: Duration,
    /// So many more leaders that wait sleep instead of yielding, because one that yielded came back late.
    pub(super) sleeps: u32,
}

impl Siblings {
    /// Notes that a sync has ended, and how many callers wait for another one.
    pub(super) fn synced(&mut self, took: Duration, waiters: u64) {
        self.sync_takes = took;
        self.expected = if self.rests > 0 { 0 } else { self.released + waiters };
        self.rests = self.rests.saturating_sub(1);
    }

    /// Notes that a leader's wait is over before all came that it expected, and whether any did.
    pub(super) fn gave_up(&mut self, came: bool) {
        const MOST: u32 = 63;
        self.in_vain = if came { 0 } else { (2 * self.in_vain + 1).min(MOST) };
        self.rests = self.in_vain;
    }
}
