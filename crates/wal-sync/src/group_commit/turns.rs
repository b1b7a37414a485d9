//! The turn to write and the turn to sync.

use std::cell::Cell;

use super::state::{State, Unsynced, WriteGroup};
use super::wakeups::Wakeups;
use super::{GroupCommit, Locked};
use crate::epoch::{Epoch, WORDS, word_of};
use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, Ordering, now, since};
use crate::target::{Fault, Target, Wrote};

impl<T: Target> GroupCommit<T> {
    /// Takes the turn to write, which is free, and writes what is next. The lock is given up meanwhile.
    pub(super) fn write_next<'a>(&'a self, locked: Locked<'a, T>) -> Locked<'a, T> {
        if locked.has_unwritten() { self.write_frame(locked).0 } else { locked }
    }

    /// The same, of something that is there. Returns what became of it.
    pub(super) fn write_frame<'a>(&'a self, mut locked: Locked<'a, T>) -> (Locked<'a, T>, Fate<T::Error>) {
        debug_assert!(!locked.writing, "at most one frame is written at a time");
        // Its leader need not wait for siblings any longer.
        let leader = std::mem::take(&mut locked.waits_for_siblings).then(|| word_of(locked.open.number));
        let mut next = locked.take_next(&self.target);
        locked.take_turn_to_write();
        drop(locked);
        if let Some(word) = leader {
            self.callers[word].wake_all();
        }
        let panics = PanicFails::new(self, Turns { writes: true, syncs: false }, next.bytes);
        // If it takes a sync and one has failed, it is not written: there is no second sync.
        let may = !self.target.syncs_to_write(&next.frame) || self.take_turn_to_sync(&panics);
        let wrote = may.then(|| self.target.write(&mut next.frame, next.first));
        if let Some(Ok(wrote)) = &wrote {
            debug_assert_eq!(wrote.next, next.first + next.entries, "the target counts as we do");
        }
        let turns = panics.passed();

        let mut locked = self.lock();
        self.give_back(&mut locked, turns);
        let fate = match (&locked.failure, wrote) {
            (None, Some(Ok(wrote))) => {
                self.wrote(&mut locked, next, wrote);
                Fate::Written
            }
            (None, Some(Err(fault))) => self.not_written(&mut locked, next, fault),
            (failure, _) => {
                // All waiters got that failure when it was latched.
                let fate = Fate::Lost(failure.clone().unwrap_or(Error::Panicked));
                self.put_away(&mut locked, next);
                fate
            }
        };
        (self.wake_and_lock(locked), fate)
    }

    fn not_written(
        &self,
        locked: &mut State<T>,
        next: Box<WriteGroup<T>>,
        fault: Fault<T::Error>,
    ) -> Fate<T::Error> {
        match fault {
            Fault::CapReached(error) if !locked.closed => {
                self.defer(locked, next, Error::Failed(error));
                Fate::Deferred(Arc::clone(&locked.epoch))
            }
            Fault::Passing(error) | Fault::CapReached(error) => {
                let error = Error::Failed(error);
                self.take_back(locked, next, &error);
                Fate::Lost(error)
            }
            Fault::Final(error) => {
                let error = Error::Failed(error);
                self.put_away(locked, next);
                self.latch(locked, error.clone());
                Fate::Lost(error)
            }
        }
    }

    /// Takes the turn to sync, which is free, and syncs everything that is written. After a failure there
    /// is no other sync.
    pub(super) fn sync_now<'a>(&'a self, mut locked: Locked<'a, T>) -> Locked<'a, T> {
        debug_assert!(!locked.syncing, "at most one sync is in flight");
        if locked.is_over() {
            return locked;
        }
        locked.syncing = true;
        drop(locked);
        let panics = PanicFails::new(self, Turns { writes: false, syncs: true }, 0);
        let begun = now();
        let synced = self.target.sync();
        let took = since(begun);
        let turns = panics.passed();

        let mut locked = self.lock();
        self.give_back(&mut locked, turns);
        // What became durable before a failure is durable, but no caller may rely on the log any more.
        if locked.failure.is_none() {
            match synced {
                Ok(covered) => {
                    locked.sync_soon = false;
                    locked.siblings.released = 0;
                    self.became_durable(&mut locked, covered);
                    let unsynced: u64 = locked.unsynced.iter().map(|unsynced| unsynced.waiters).sum();
                    let waiters = unsynced + locked.open.waiters;
                    locked.siblings.synced(took, waiters);
                }
                Err(error) => self.latch(&mut locked, Error::Failed(error)),
            }
        }
        self.wake_and_lock(locked)
    }

    /// Releases the lock; then wakes the waiters whose wait is over, and callers that have to write or lead next.
    pub(super) fn unlock_and_wake(&self, mut locked: Locked<'_, T>) {
        let mut wakeups = std::mem::replace(&mut locked.wakeups, Wakeups::new());
        let calls_out = !wakeups.wakers.is_empty();
        if calls_out && locked.leader.take().is_some() {
            // A waker may append and wait, and the leader may be further down on its stack. So any leader gives up the lead; it
            // leads again if it still has to.
            locked.waits_for_siblings = false;
            if self.has_work(&locked) {
                self.work.notify_one();
            }
        }
        // A caller in the open frame has to write it. Callers of an earlier frame may sleep on the same word: so all are woken.
        wakeups.callers[word_of(locked.open.number)] |= locked.wants_writer();
        let next_leaders = if locked.wants_leader() { self.next_leaders(&locked) } else { [false; WORDS] };
        let took = wakeups.took;
        if calls_out {
            // Before the lock is released: a caller that joins next must see that the flusher may be busy in a waker.
            self.calling_out.fetch_add(1, Ordering::Relaxed);
        }
        drop(locked);
        for (word, leads) in self.callers.iter().zip(next_leaders) {
            if leads {
                word.wake_one();
            }
        }
        for (word, is_woken) in self.callers.iter().zip(wakeups.callers) {
            if is_woken {
                word.wake_all();
            }
        }
        wakeups.wake_tickets();
        if calls_out {
            self.calling_out.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(took) = took {
            // This thread may have to write or sync for others, so a panic of the callback fails the log.
            let panics = PanicFails::new(self, Turns::default(), 0);
            self.target.acknowledged(took);
            panics.passed();
        }
    }

    /// Wakes the flusher if it has work. Then as [`GroupCommit::unlock_and_wake`], and takes the lock again; keeps it when there is
    /// no thread to wake.
    pub(super) fn wake_and_lock<'a>(&'a self, locked: Locked<'a, T>) -> Locked<'a, T> {
        if self.has_work(&locked) {
            self.work.notify_one();
        }
        if locked.wakeups.is_empty() && !locked.wants_writer() && !locked.wants_leader() {
            return locked;
        }
        self.unlock_and_wake(locked);
        self.lock()
    }

    /// The words on each of which one caller is to be woken, so that one of them leads. More than one, because a word counts a
    /// sleeper that was woken already until it runs.
    fn next_leaders(&self, locked: &State<T>) -> [bool; WORDS] {
        let newest = locked.open.number;
        let oldest = locked.unsynced.front().map_or(newest, |unsynced| unsynced.number);
        let mut words = [false; WORDS];
        for word in (oldest..=newest).take(WORDS).map(word_of) {
            words[word] = self.callers[word].has_sleepers();
        }
        words
    }

    /// Latches a failure: the first one stays, and every caller that waits for anything is told.
    pub(super) fn latch(&self, locked: &mut State<T>, failure: Error<T::Error>) {
        let failure = locked.failure.get_or_insert(failure).clone();
        self.refuses.store(true, Ordering::Release);
        self.fail_all(locked, &failure);
    }

    /// Fails everything that has not reached what was asked for.
    pub(super) fn fail_all(&self, locked: &mut State<T>, failure: &Error<T::Error>) {
        locked.lose_all(failure);
        self.empty_open(locked);
        let deferred = locked.end_deferred().map(|(deferred, _)| deferred);
        let held = locked.held_back.take().map(|(held, _)| held);
        for dropped in deferred.into_iter().chain(held) {
            self.put_away(locked, dropped);
        }
        while let Some(unsynced) = locked.unsynced.pop_front() {
            locked.in_flight_bytes -= unsynced.bytes;
        }
        locked.wake_watchers(|_| true);
        self.turn.notify_all();
        self.room.notify_all();
        self.work.notify_all();
    }

    /// Waits until no sync is in flight, and sees to it that none begins. Returns whether one may.
    fn take_turn_to_sync(&self, turns: &PanicFails<'_, T>) -> bool {
        let mut locked = self.lock();
        while locked.syncing {
            locked = self.turn.wait(locked);
        }
        locked.syncing = true;
        turns.turns.set(Turns { writes: true, syncs: true });
        locked.failure.is_none()
    }

    fn wrote(&self, locked: &mut State<T>, mut next: Box<WriteGroup<T>>, wrote: Wrote) {
        locked.written = wrote.next;
        locked.rest_in_doubt = false;
        self.written.set(wrote.next);
        locked.epoch.reach(Durability::Written, wrote.next, &mut locked.wakeups.wakers);
        locked.sync_soon = wrote.sync_soon;
        let WriteGroup { number, bytes, waiters, begun, .. } = *next;
        if next.waits_for_write || next.has_tickets {
            self.wake_frame(locked, number);
        }
        if next.asked == Durability::Durable {
            locked.unsynced.push_back(Unsynced {
                epoch: None,
                number,
                end: wrote.next,
                bytes,
                waiters,
                begun,
            });
            // It is in flight until then.
            next.bytes = 0;
        } else {
            locked.wakeups.took = begun.map(since);
        }
        self.put_away(locked, next);
        self.became_durable(locked, wrote.durable);
    }

    /// A write failed: nothing that is numbered after it can be part of the log under its number.
    ///
    /// Either the numbers are given back, and a watch of one of them ends; or entries among them were promised
    /// to be buffered. Then all entries keep their numbers and are written later, so a watch of one waits on:
    /// what it waits for is still this entry.
    pub(super) fn take_back(
        &self,
        locked: &mut State<T>,
        mut next: Box<WriteGroup<T>>,
        error: &Error<T::Error>,
    ) {
        locked.rest_in_doubt = true;
        locked.lose(next.first, error);
        if next.promised || locked.open.promised {
            // Callers have gone on with these numbers. All entries stay; every waiting caller gets the error.
            next.let_go();
            locked.open.let_go();
            next.promised = true;
            locked.held_back = Some((next, error.clone()));
            // The flusher tries again in an interval.
            locked.pending_since = locked.pending_since.map(|_| now());
        } else {
            if !locked.closed {
                // After a close no other entry gets them, and a watch is told that the log ended.
                let until = locked.next;
                self.give_back_numbers(locked, next.first, until);
            }
            locked.next = next.first;
            locked.pending_since = locked.pending_since.filter(|_| locked.durable < locked.next);
            self.put_away(locked, next);
            self.empty_open(locked);
        }
    }

    /// Adds the sleepers of this frame of the current epoch to the wake-ups. A caller looks under the lock before it sleeps.
    fn wake_frame(&self, locked: &mut State<T>, frame: u64) {
        let word = word_of(frame);
        locked.wakeups.callers[word] |= self.callers[word].has_sleepers();
        locked.wakeups.tickets(&locked.epoch, frame);
    }

    /// Gives turns back, and tells those who wait for one, or for room.
    pub(super) fn give_back(&self, locked: &mut State<T>, turns: Turns) {
        locked.writing &= !turns.writes;
        locked.syncing &= !turns.syncs;
        if turns.syncs && locked.pending_since.is_some() {
            // The flusher looks at no clock while another thread has the turn to sync.
            self.work.notify_one();
        }
        self.turn.notify_all();
        self.room.notify_all();
    }

    /// For a thread that has both turns.
    pub(super) fn panic_fails(&self) -> PanicFails<'_, T> {
        PanicFails::new(self, Turns { writes: true, syncs: true }, 0)
    }

    /// What is in the open frame is never written.
    pub(super) fn empty_open(&self, locked: &mut State<T>) {
        let next = locked.next;
        locked.in_flight_bytes -= locked.open.bytes;
        locked.open.clear(&self.target, next);
    }

    /// A frame that is done with, or never written, is used again.
    pub(super) fn put_away(&self, locked: &mut State<T>, mut done: Box<WriteGroup<T>>) {
        locked.in_flight_bytes -= done.bytes;
        done.clear(&self.target, 0);
        locked.idle = Some(done);
    }

    /// All entries before number `covered` are durable.
    pub(super) fn became_durable(&self, locked: &mut State<T>, covered: u64) {
        // A sync may have covered a write that has not come back to say so.
        locked.covered = locked.covered.max(covered);
        let covered = locked.covered.min(locked.written);
        if covered > locked.durable {
            locked.durable = covered;
            self.durable.set(covered);
            locked.epoch.reach(Durability::Durable, covered, &mut locked.wakeups.wakers);
            for ended in &locked.ended {
                let reached = covered.min(ended.lost_from());
                ended.reach(Durability::Durable, reached, &mut locked.wakeups.wakers);
            }
            // What joined while a sync ran is as old as the sync, at most.
            locked.pending_since = self.interval().filter(|_| locked.durable < locked.next).map(|_| now());
        }
        while locked.unsynced.front().is_some_and(|unsynced| unsynced.end <= locked.durable) {
            let Some(unsynced) = locked.unsynced.pop_front() else { break };
            locked.wakeups.took = locked.wakeups.took.or_else(|| unsynced.begun.map(since));
            locked.in_flight_bytes -= unsynced.bytes;
            locked.siblings.released += unsynced.waiters;
            match &unsynced.epoch {
                None => self.wake_frame(locked, unsynced.number),
                Some(ended) => locked.wakeups.epoch(ended),
            }
        }
        locked.ended.retain(|epoch| epoch.awaits_sync());
        locked.wake_reached();
    }
}

/// The outcome of an attempt to write a frame.
pub(super) enum Fate<E> {
    Written,
    Lost(Error<E>),
    /// It waits for room.
    Deferred(Arc<Epoch<E>>),
}

/// Which turns a thread has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    writes: bool,
    syncs: bool,
}

/// A thread that panics with a turn, or where others rest on what it does next, fails every caller and the log.
pub(super) struct PanicFails<'a, T: Target> {
    commit: &'a GroupCommit<T>,
    turns: Cell<Turns>,
    /// What is being written.
    bytes: u64,
    passed: Cell<bool>,
}

impl<'a, T: Target> PanicFails<'a, T> {
    pub(super) fn new(commit: &'a GroupCommit<T>, turns: Turns, bytes: u64) -> PanicFails<'a, T> {
        PanicFails { commit, turns: Cell::new(turns), bytes, passed: Cell::new(false) }
    }

    /// Nothing panicked. The turns are to be given back.
    pub(super) fn passed(self) -> Turns {
        self.passed.set(true);
        self.turns.get()
    }
}

impl<T: Target> Drop for PanicFails<'_, T> {
    fn drop(&mut self) {
        if self.passed.get() {
            return;
        }
        let mut locked = self.commit.lock();
        self.commit.give_back(&mut locked, self.turns.get());
        locked.in_flight_bytes -= self.bytes;
        self.commit.latch(&mut locked, Error::Panicked);
        self.commit.unlock_and_wake(locked);
    }
}
