//! The turn to write and the turn to sync.

use std::cell::Cell;

use super::finished::Finished;
use super::state::{Gathering, State, Unsynced};
use super::{GroupCommit, Locked};
use crate::error::Error;
use crate::group::Group;
use crate::policy::Durability;
use crate::primitives::{Arc, Ordering, now, since};
use crate::target::{Fault, Target, Wrote};

impl<T: Target> GroupCommit<T> {
    /// Takes the turn to write, which is free, and writes what is next. The lock is given up meanwhile.
    pub(super) fn write_next<'a>(&'a self, mut locked: Locked<'a, T>) -> Locked<'a, T> {
        debug_assert!(!locked.writing, "at most one frame is written at a time");
        if !locked.has_unwritten() {
            return locked;
        }
        let mut next = locked.take_next(&self.target);
        locked.take_turn_to_write();
        if next.gathers_for.is_some() {
            // Its leader need not wait for company any longer.
            self.gathered.notify_all();
        }
        drop(locked);
        let panics =
            PanicFails::new(self, Turns { writes: true, syncs: false }, Some((&next.group, next.bytes)));
        // If it takes a sync and one has failed, it is not written: there is no second sync.
        let may = !self.target.syncs_to_write(&next.frame) || self.take_turn_to_sync(&panics);
        let wrote = may.then(|| self.target.write(&mut next.frame, next.first));
        if let Some(Ok(wrote)) = &wrote {
            debug_assert_eq!(wrote.next, next.first + next.entries, "the target counts as we do");
        }
        let turns = panics.passed();

        let mut locked = self.lock();
        turns.give_back(&mut locked);
        let mut finished = Finished::new();
        match (locked.failure.clone(), wrote) {
            (None, Some(Ok(wrote))) => self.wrote(&mut locked, next, wrote, &mut finished),
            (None, Some(Err(Fault::CapReached(error)))) if !locked.closed => {
                self.starve(&mut locked, next, Error::Failed(error));
            }
            (None, Some(Err(Fault::Passing(error) | Fault::CapReached(error)))) => {
                self.take_back(&mut locked, next, &Error::Failed(error), &mut finished);
            }
            (None, Some(Err(Fault::Final(error)))) => {
                let failure = Error::Failed(error);
                self.fail(&mut locked, next, &failure, &mut finished);
                self.latch(&mut locked, failure, &mut finished);
            }
            (failure, _) => {
                let failure = failure.expect("what may be written was written");
                self.fail(&mut locked, next, &failure, &mut finished);
            }
        }
        self.turn.notify_all();
        self.room.notify_all();
        if turns.syncs && locked.pending_since.is_some() || self.has_work(&locked) {
            // The ticker looks at no clock while somebody else has the turn to sync.
            self.work.notify_one();
        }
        if finished.is_empty() {
            return locked;
        }
        self.tell(locked, finished);
        self.lock()
    }

    /// Takes the turn to sync, which is free, and syncs everything that is written. After a failure there
    /// is no other sync.
    pub(super) fn sync_now(&self, mut locked: Locked<'_, T>) {
        debug_assert!(!locked.syncing, "at most one sync is in flight");
        if locked.is_over() {
            return;
        }
        locked.syncing = true;
        drop(locked);
        let panics = PanicFails::new(self, Turns { writes: false, syncs: true }, None);
        let begun = now();
        let synced = self.target.sync();
        let took = since(begun);
        let turns = panics.passed();

        let mut locked = self.lock();
        turns.give_back(&mut locked);
        let mut finished = Finished::new();
        // What became durable before a failure is durable, but nobody may rely on the log any more.
        if locked.failure.is_none() {
            match synced {
                Ok(covered) => {
                    locked.sync_soon = false;
                    let waiters = self.became_durable(&mut locked, covered, &mut finished);
                    let joined = locked.open.waiters;
                    locked.company.synced(waiters, joined, took, self.policy);
                }
                Err(error) => self.latch(&mut locked, Error::Failed(error), &mut finished),
            }
        }
        self.turn.notify_all();
        self.room.notify_all();
        // A leader that was relieved may still be where it waited.
        self.gathered.notify_all();
        // The ticker looks at no clock while somebody else syncs.
        if locked.pending_since.is_some() || self.has_work(&locked) {
            self.work.notify_one();
        }
        self.tell(locked, finished);
    }

    /// Gives up the lock, and wakes those whose wait is over.
    pub(super) fn tell(&self, locked: Locked<'_, T>, finished: Finished<T::Error>) {
        let took = finished.took;
        let calls_out = !finished.wakers.is_empty();
        if calls_out {
            // In front of what joins next.
            self.calling_out.fetch_add(1, Ordering::Relaxed);
        }
        drop(locked);
        finished.wake();
        if calls_out {
            self.calling_out.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(took) = took {
            // Others may rest on what this thread does next.
            let panics = PanicFails::new(self, Turns::default(), None);
            self.target.acknowledged(took);
            panics.passed();
        }
    }

    /// Latches a failure: the first one stays, and everybody who waits for anything is told.
    pub(super) fn latch(
        &self,
        locked: &mut State<T>,
        failure: Error<T::Error>,
        finished: &mut Finished<T::Error>,
    ) {
        let failure = locked.failure.get_or_insert(failure).clone();
        self.fail_all(locked, &failure, finished);
    }

    /// Fails everything that has not reached what was asked for.
    pub(super) fn fail_all(
        &self,
        locked: &mut State<T>,
        failure: &Error<T::Error>,
        finished: &mut Finished<T::Error>,
    ) {
        self.fail_open(locked, failure, finished);
        if let Some((starved, _)) = locked.end_starved() {
            self.fail(locked, starved, failure, finished);
        }
        if let Some((held, _)) = locked.held_back.take() {
            self.fail(locked, held, failure, finished);
        }
        while let Some(unsynced) = locked.unsynced.pop_front() {
            Self::fail_group(locked, unsynced.group, unsynced.bytes, failure, finished);
        }
        finished.wakers.extend(locked.watchers.drain(..).map(|watcher| watcher.waker));
        self.turn.notify_all();
        self.room.notify_all();
        self.gathered.notify_all();
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

    fn wrote(
        &self,
        locked: &mut State<T>,
        next: Gathering<T>,
        wrote: Wrote,
        finished: &mut Finished<T::Error>,
    ) {
        locked.written = wrote.next;
        locked.rest_in_doubt = false;
        self.written.advance(wrote.next);
        locked.sync_soon = wrote.sync_soon;
        let Gathering { frame, group, bytes, begun, waiters, .. } = next;
        self.put_away(locked, frame);
        group.reach(Durability::Written);
        if next.asked == Durability::Durable {
            if next.waits_for_write {
                finished.push(Arc::clone(&group));
            }
            locked.unsynced.push_back(Unsynced { group, end: wrote.next, bytes, waiters, begun });
        } else {
            finished.took = begun.map(since);
            locked.end(&group, bytes);
            finished.push(group);
        }
        self.became_durable(locked, wrote.durable, finished);
    }

    /// A write failed: nothing that is numbered behind it can be part of the log under its number.
    ///
    /// Either the numbers are given back, and a watch of one of them ends; or entries among them were promised
    /// to be buffered. Then all entries keep their numbers and are written later, so a watch of one waits on:
    /// what it waits for is still this entry.
    pub(super) fn take_back(
        &self,
        locked: &mut State<T>,
        mut next: Gathering<T>,
        error: &Error<T::Error>,
        finished: &mut Finished<T::Error>,
    ) {
        locked.rest_in_doubt = true;
        if next.promised || locked.open.promised {
            // Callers have gone on with these numbers. All entries stay; only who waits is told.
            let fresh = [locked.fresh_group(), locked.fresh_group()];
            for (gathering, fresh) in [&mut next, &mut locked.open].into_iter().zip(fresh) {
                let group = gathering.let_go(fresh);
                group.fail(error);
                finished.push(group);
            }
            next.promised = true;
            locked.held_back = Some((next, error.clone()));
            // The ticker tries again in an interval.
            locked.pending_since = locked.pending_since.map(|_| now());
        } else {
            if !locked.closed {
                // After a close no other entry gets them, and a watch is told that the log ended.
                let until = locked.next;
                self.give_back_numbers(locked, next.first, until, finished);
            }
            locked.next = next.first;
            locked.wanted = locked.wanted.min(next.first);
            locked.pending_since = locked.pending_since.filter(|_| locked.durable < locked.next);
            self.fail(locked, next, error, finished);
            self.fail_open(locked, error, finished);
        }
        self.gathered.notify_all();
    }

    /// For whoever has both turns.
    pub(super) fn panic_fails(&self) -> PanicFails<'_, T> {
        PanicFails::new(self, Turns { writes: true, syncs: true }, None)
    }

    /// Fails who is in this write.
    pub(super) fn fail(
        &self,
        locked: &mut State<T>,
        failed: Gathering<T>,
        error: &Error<T::Error>,
        finished: &mut Finished<T::Error>,
    ) {
        Self::fail_group(locked, failed.group, failed.bytes, error, finished);
        self.put_away(locked, failed.frame);
    }

    /// Empties the open frame and fails who is in it.
    pub(super) fn fail_open(
        &self,
        locked: &mut State<T>,
        error: &Error<T::Error>,
        finished: &mut Finished<T::Error>,
    ) {
        let fresh = locked.fresh_group();
        let open = &mut locked.open;
        let group = open.let_go(fresh);
        let bytes = std::mem::take(&mut open.bytes);
        (open.first, open.entries, open.promised, open.begun) = (locked.next, 0, false, None);
        self.target.clear(&mut open.frame);
        Self::fail_group(locked, group, bytes, error, finished);
    }

    pub(super) fn fail_group(
        locked: &mut State<T>,
        group: Arc<Group<T::Error>>,
        bytes: u64,
        error: &Error<T::Error>,
        finished: &mut Finished<T::Error>,
    ) {
        group.fail(error);
        locked.end(&group, bytes);
        finished.push(group);
    }

    /// A frame that is done with is used again.
    fn put_away(&self, locked: &mut State<T>, mut frame: T::Frame) {
        self.target.clear(&mut frame);
        locked.idle_frame = Some(frame);
    }

    /// Everything in front of `covered` is durable. Returns how many threads waited for that.
    pub(super) fn became_durable(
        &self,
        locked: &mut State<T>,
        covered: u64,
        finished: &mut Finished<T::Error>,
    ) -> u64 {
        let mut waiters = 0;
        // A sync may have covered a write that has not come back to say so.
        locked.covered = locked.covered.max(covered);
        let covered = locked.covered.min(locked.written);
        if covered > locked.durable {
            locked.durable = covered;
            self.durable.advance(covered);
            // What joined while a sync ran is as old as the sync, at most.
            locked.pending_since = self.interval().filter(|_| locked.durable < locked.next).map(|_| now());
        }
        while locked.unsynced.front().is_some_and(|unsynced| unsynced.end <= locked.durable) {
            let Some(unsynced) = locked.unsynced.pop_front() else { break };
            unsynced.group.reach(Durability::Durable);
            waiters += unsynced.waiters;
            finished.took = finished.took.or_else(|| unsynced.begun.map(since));
            locked.end(&unsynced.group, unsynced.bytes);
            finished.push(unsynced.group);
        }
        self.take_reached(locked, finished);
        waiters
    }
}

/// Which turns a thread has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    writes: bool,
    syncs: bool,
}

impl Turns {
    pub(super) fn give_back<T: Target>(self, locked: &mut State<T>) {
        locked.writing &= !self.writes;
        locked.syncing &= !self.syncs;
    }
}

/// Whoever panics with a turn, or where others rest on what it does next, fails everybody, and the log.
pub(super) struct PanicFails<'a, T: Target> {
    commit: &'a GroupCommit<T>,
    turns: Cell<Turns>,
    /// The group that is being written, and its bytes.
    group: Option<(&'a Arc<Group<T::Error>>, u64)>,
    passed: Cell<bool>,
}

impl<'a, T: Target> PanicFails<'a, T> {
    pub(super) fn new(
        commit: &'a GroupCommit<T>,
        turns: Turns,
        group: Option<(&'a Arc<Group<T::Error>>, u64)>,
    ) -> PanicFails<'a, T> {
        PanicFails { commit, turns: Cell::new(turns), group, passed: Cell::new(false) }
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
        let mut finished = Finished::new();
        let mut locked = self.commit.lock();
        self.turns.get().give_back(&mut locked);
        self.commit.latch(&mut locked, Error::Panicked, &mut finished);
        if let Some((group, bytes)) = self.group {
            GroupCommit::<T>::fail_group(
                &mut locked,
                Arc::clone(group),
                bytes,
                &Error::Panicked,
                &mut finished,
            );
        }
        drop(locked);
        finished.wake();
    }
}
