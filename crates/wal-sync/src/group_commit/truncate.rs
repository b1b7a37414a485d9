//! Dropping the front of the log, or its end.
//!
//! ```text
//!  write what joined before the place ─▶ both turns ─▶ nothing joins ─▶ act ─▶ all callers are told
//! ```
//!
//! While it runs nothing is written, synced or numbered, so the thread that acts has the target for itself. What
//! joined after the place of a cut and is not written is never written.

use super::turns::Turns;
use super::{GroupCommit, Locked, OnDeferred};
use crate::error::Error;
use crate::target::{Alone, Fault, Target};

/// What is left when something was to be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped<E> {
    /// The number of the next entry: less than before when the end was cut off.
    pub next: u64,
    /// The number of the first entry that is not durable.
    pub durable: u64,
    /// Whether all was done. With [`Fault::Passing`] the log goes on with `next`.
    pub outcome: Result<(), Fault<E>>,
}

impl<T: Target> GroupCommit<T> {
    /// Lets `act` drop what is before `first`. Everything before it that has joined is written
    /// first.
    ///
    /// # Errors
    /// [`Error::Closed`]; the failure of a write of something that had joined, and then nothing was dropped;
    /// what `act` said; the latched failure.
    pub fn drop_before(
        &self,
        first: u64,
        act: impl FnOnce(&Alone<'_, T>) -> Dropped<T::Error>,
    ) -> Result<(), Error<T::Error>> {
        let locked = self.take_all_turns(first)?;
        self.act(locked, None, act)
    }

    /// Lets `act` cut off what is at or beyond `from`. Everything before it that has joined is written
    /// first. A caller that waits for an entry that is cut off gets [`Error::Truncated`], and so does one that waits
    /// for a watermark to pass one. If nothing is numbered there, and no write of it has failed, nothing is done.
    /// Nothing is done either when an entry before it waits for room; the error says why.
    ///
    /// # Errors
    /// As [`GroupCommit::drop_before`].
    pub fn drop_from(
        &self,
        from: u64,
        act: impl FnOnce(&Alone<'_, T>) -> Dropped<T::Error>,
    ) -> Result<(), Error<T::Error>> {
        let locked = self.take_all_turns(from)?;
        if let Some((_, why)) = locked.deferred.as_ref().filter(|_| from > locked.written) {
            // What is to stay waits for room.
            let why = why.clone();
            self.give_all_turns_back(locked);
            return Err(why);
        }
        let nothing_left = from > locked.next || from == locked.next && !locked.rest_in_doubt;
        if nothing_left {
            self.give_all_turns_back(locked);
            return Ok(());
        }
        self.act(locked, Some(from), act)
    }

    /// Lets `act` have the target for itself, once everything that had joined is written.
    ///
    /// # Errors
    /// As [`GroupCommit::drop_before`].
    pub fn alone(&self, act: impl FnOnce(&Alone<'_, T>) -> Dropped<T::Error>) -> Result<(), Error<T::Error>> {
        let joined = self.next();
        let locked = self.take_all_turns(joined)?;
        self.act(locked, None, act)
    }

    /// Writes what has joined before `end`, takes both turns, and lets nothing join.
    fn take_all_turns(&self, end: u64) -> Result<Locked<'_, T>, Error<T::Error>> {
        let mut locked = self.lock();
        locked.refuse_if_closed()?;
        loop {
            locked = self.write_up_to(locked, end, OnDeferred::Return)?;
            // A deferred write may wait for the room that this truncation makes, so the truncation takes over its turn.
            if locked.deferred.is_some() && !locked.truncating {
                break;
            }
            if locked.writing {
                locked = self.turn.wait(locked);
            } else if locked.written >= end.min(locked.next) {
                break;
            }
        }
        // From here on nothing joins: it could be before `end`, and there is no thread to write it.
        locked.take_turn_to_write();
        locked.truncating = true;
        while locked.syncing {
            locked = self.turn.wait(locked);
        }
        locked.syncing = true;
        match locked.refuse_if_closed() {
            Ok(()) => Ok(locked),
            Err(refused) => {
                self.give_all_turns_back(locked);
                Err(refused)
            }
        }
    }

    fn give_all_turns_back(&self, mut locked: Locked<'_, T>) {
        (locked.writing, locked.syncing, locked.truncating) = (locked.deferred.is_some(), false, false);
        self.wake_all(locked);
        self.retry();
    }

    fn act(
        &self,
        locked: Locked<'_, T>,
        from: Option<u64>,
        act: impl FnOnce(&Alone<'_, T>) -> Dropped<T::Error>,
    ) -> Result<(), Error<T::Error>> {
        drop(locked);
        let panics = self.panic_fails();
        let Dropped { next, durable, outcome } = act(&Alone(&self.target));
        let turns: Turns = panics.passed();

        let mut locked = self.lock();
        self.give_back(&mut locked, turns);
        locked.truncating = false;
        if let Some(failure) = locked.failure.clone() {
            self.wake_all(locked);
            return Err(failure);
        }
        if !matches!(outcome, Err(Fault::Final(_))) {
            self.became_durable(&mut locked, durable.min(next));
            // It may be that only what is not written was to be cut off.
            locked.rest_in_doubt &= from.is_none() || outcome.is_err();
            let cut = next < locked.written || outcome.is_ok() && next < locked.next;
            if from.is_some() && cut {
                self.cut_off(&mut locked, next);
            }
        }
        let told = match outcome {
            Ok(()) => Ok(()),
            Err(Fault::Passing(error) | Fault::CapReached(error)) => Err(Error::Failed(error)),
            Err(Fault::Final(error)) => {
                self.latch(&mut locked, Error::Failed(error.clone()));
                Err(Error::Failed(error))
            }
        };
        // What waits for room has the turn again, until it is written.
        locked.writing = locked.deferred.is_some();
        self.wake_all(locked);
        self.retry();
        told
    }

    /// The log ends before `next`. Tells every caller that waits for more.
    fn cut_off(&self, locked: &mut Locked<'_, T>, next: u64) {
        (locked.next, locked.written) = (next, next);
        (locked.durable, locked.covered) = (locked.durable.min(next), locked.covered.min(next));
        self.written.set(next);
        self.durable.set(locked.durable);
        locked.pending_since = locked.pending_since.filter(|_| locked.durable < next);
        locked.cuts.add(next);
        self.cuts.set(locked.cuts.count());
        locked.lose(next, &Error::Truncated { from: next });
        self.empty_open(locked);
        let dropped = locked.deferred.take().into_iter().chain(locked.held_back.take());
        for (dropped, _) in dropped {
            self.put_away(locked, dropped);
        }
        // A frame in which the log was cut: what it keeps is durable.
        while locked.unsynced.back().is_some_and(|unsynced| unsynced.end > next) {
            let Some(unsynced) = locked.unsynced.pop_back() else { break };
            locked.in_flight_bytes -= unsynced.bytes;
        }
        // They look again: some wait for what is before the cut.
        locked.wake_watchers(|_| true);
    }

    fn wake_all(&self, locked: Locked<'_, T>) {
        self.turn.notify_all();
        self.room.notify_all();
        self.work.notify_all();
        self.unlock_and_wake(locked);
    }
}
