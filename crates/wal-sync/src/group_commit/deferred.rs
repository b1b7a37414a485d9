//! Waiting for room in the target.
//!
//! ```text
//!  no room for it  ──▶ deferred: the turn to write counts as taken, and no thread has it
//!                        │ others join while they may, and wait
//!                        ├─ truncation: takes the turn over, acts ──▶ the truncating thread writes what waited
//!                        ├─ retry: there may be room again ─────────▶ the calling thread writes it
//!                        └─ close, failure: callers that wait are told
//! ```
//!
//! Nothing that waits loses its number. No lock and no turn is held meanwhile, so syncs and truncations go on.

use super::state::{Kept, State, WriteGroup};
use super::{GroupCommit, Locked};
use crate::error::Error;
use crate::target::Target;

impl<T: Target> GroupCommit<T> {
    /// Whether something waits for room.
    pub fn is_deferred(&self) -> bool {
        self.lock().deferred.is_some()
    }

    /// Why what waits for room found none.
    pub fn deferred(&self) -> Option<Error<T::Error>> {
        self.lock().deferred.as_ref().map(|(_, why)| why.clone())
    }

    /// There may be room again: writes what waits for it.
    pub fn retry(&self) {
        let mut locked = self.lock();
        if locked.deferred.is_some() && !locked.truncating {
            // The turn to write is free for a moment, under the lock.
            locked.writing = false;
            drop(self.write_next(locked));
        }
    }

    /// Keeps a write that the target had no room for. Until it is written, the turn to write counts as taken.
    pub(super) fn defer(&self, locked: &mut State<T>, next: Box<WriteGroup<T>>, error: Error<T::Error>) {
        locked.deferred = Some((next, error));
        locked.writing = true;
    }

    /// At the end: fails the callers that wait for room. Returns why there was none.
    pub(super) fn give_up_deferred<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
    ) -> (Locked<'a, T>, Option<Error<T::Error>>) {
        while locked.truncating && locked.deferred.is_some() {
            locked = self.turn.wait(locked);
        }
        let Some((deferred, why)) = locked.end_deferred() else { return (locked, None) };
        self.take_back(&mut locked, deferred, &Error::Closed);
        self.turn.notify_all();
        self.room.notify_all();
        self.unlock_and_wake(locked);
        (self.lock(), Some(why))
    }
}

impl<T: Target> State<T> {
    /// Nothing waits for room any more.
    pub(super) fn end_deferred(&mut self) -> Option<Kept<T>> {
        let deferred = self.deferred.take()?;
        // While a truncation runs, the turn is its.
        self.writing &= self.truncating;
        Some(deferred)
    }
}
