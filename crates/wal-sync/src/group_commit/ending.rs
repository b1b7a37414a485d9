//! Closing, and being dropped.

use super::{GroupCommit, Locked};
use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, Ordering};
use crate::target::{Alone, Fault, Target};

impl<T: Target> GroupCommit<T> {
    /// Takes nothing more, writes what has joined, and ends the target with `finish`, which makes
    /// everything durable. Every caller that waits is told how that went.
    ///
    /// # Errors
    /// [`Error::Closed`] when it was closed before; the latched failure; the failure of a write of something
    /// that had joined; what `finish` said: [`Fault::Passing`] when everything is durable and only the
    /// ending failed, [`Fault::Final`] when nothing is known any more. The log is closed all the same.
    pub fn close(
        &self,
        finish: impl FnOnce(&Alone<'_, T>) -> Result<(), Fault<T::Error>>,
    ) -> Result<(), Error<T::Error>> {
        let mut locked = self.lock();
        if locked.closed {
            return Err(Error::Closed);
        }
        locked.closed = true;
        self.refuses.store(true, Ordering::Release);
        self.room.notify_all();
        self.work.notify_all();
        let (locked, given_up) = self.write_rest(locked);
        let mut locked = self.take_both_turns(locked);
        if let Some(failure) = locked.failure.clone() {
            (locked.writing, locked.syncing) = (false, false);
            self.end(locked);
            return Err(failure);
        }
        drop(locked);
        let panics = self.panic_fails();
        let ended = finish(&Alone(&self.target));
        let turns = panics.passed();

        let mut locked = self.lock();
        self.give_back(&mut locked, turns);
        let outcome = match (locked.failure.clone(), ended) {
            (Some(failure), _) => Err(failure),
            (None, Err(Fault::Final(error))) => {
                self.latch(&mut locked, Error::Failed(error.clone()));
                Err(Error::Failed(error))
            }
            (None, ended) => {
                let written = locked.written;
                self.became_durable(&mut locked, written);
                match ended {
                    Err(Fault::Passing(error) | Fault::CapReached(error)) => Err(Error::Failed(error)),
                    _ => given_up.map_or(Ok(()), Err),
                }
            }
        };
        self.end(locked);
        outcome
    }

    /// Takes nothing more, and writes what has joined: nothing is synced. A caller that waits for more is told
    /// [`Error::Closed`], once the write or sync that is in flight has ended.
    pub fn abandon(&self) {
        let mut locked = self.lock();
        locked.closed = true;
        self.refuses.store(true, Ordering::Release);
        self.room.notify_all();
        self.work.notify_all();
        let (locked, _) = self.write_rest(locked);
        let mut locked = self.take_both_turns(locked);
        (locked.writing, locked.syncing) = (false, false);
        self.end(locked);
    }

    /// Writes what has joined, once. Returns why something is given up: it was buffered and cannot be
    /// written, or its write failed and the callers that waited were told.
    fn write_rest<'a>(&'a self, locked: Locked<'a, T>) -> (Locked<'a, T>, Option<Error<T::Error>>) {
        let (end, epoch) = (locked.next, Arc::clone(&locked.epoch));
        let (mut locked, full) = self.give_up_deferred(locked);
        while locked.failure.is_none() && (locked.writing || locked.has_unwritten()) {
            if locked.writing {
                locked = self.turn.wait(locked);
                continue;
            }
            locked = self.write_next(locked);
            if let Some((_, error)) = &locked.held_back {
                let error = error.clone();
                return (locked, Some(error));
            }
        }
        // Nothing joins any more, so only what was taken back is missing.
        let lost = locked.next < end;
        let why = full.or_else(|| epoch.outcome(Durability::Written, end).and_then(Result::err));
        // What a truncation has dropped is not lost.
        (locked, why.filter(|why| lost && !matches!(why, Error::Truncated { .. })))
    }

    /// From here on nothing changes. Tells every caller that still waits.
    fn end(&self, mut locked: Locked<'_, T>) {
        locked.over = true;
        self.fail_all(&mut locked, &Error::Closed);
        self.unlock_and_wake(locked);
    }

    fn take_both_turns<'a>(&'a self, mut locked: Locked<'a, T>) -> Locked<'a, T> {
        while locked.writing || locked.syncing {
            locked = self.turn.wait(locked);
        }
        locked.take_turn_to_write();
        locked.syncing = true;
        locked
    }
}
