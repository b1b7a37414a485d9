//! Waiting for room in the target.
//!
//! ```text
//!  write says full ──▶ stalled: the turn to write counts as taken, and nobody has it
//!                        │ others join while they may, and wait
//!                        ├─ truncation: takes the turn over, acts ──▶ whoever did it writes what waited
//!                        ├─ retry: there may be room again ─────────▶ whoever says so writes it
//!                        └─ close, failure: whoever waits is told
//! ```
//!
//! Nothing that waits loses its number. No lock and no turn is held meanwhile, so syncs and truncations go on.

use super::finished::Finished;
use super::state::{Gathering, State};
use super::{GroupCommit, Locked};
use crate::error::Error;
use crate::target::Target;

impl<T: Target> GroupCommit<T> {
    /// Whether something waits for room.
    pub fn is_stalled(&self) -> bool {
        self.lock().stalled.is_some()
    }

    /// There may be room again: writes what waits for it.
    pub fn retry(&self) {
        let mut locked = self.lock();
        if locked.stalled.is_some() && !locked.truncating {
            // For a moment nobody has it, under the lock.
            locked.writing = false;
            drop(self.write_next(locked));
        }
    }

    /// Keeps what the target had no room for, and the turn from everybody.
    pub(super) fn stall(&self, locked: &mut State<T>, next: Gathering<T>, error: Error<T::Error>) {
        locked.stalled = Some((next, error));
        locked.writing = true;
    }

    /// The turn is free again, after a truncation: what waited is written before anything else.
    pub(super) fn go_on(&self) {
        let locked = self.lock();
        if locked.stalled.is_some() && !locked.writing {
            drop(self.write_next(locked));
        }
    }

    /// At the end: whoever waits for room waits in vain. Returns why there was none.
    pub(super) fn give_up_stall<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
    ) -> (Locked<'a, T>, Option<Error<T::Error>>) {
        while locked.truncating && locked.stalled.is_some() {
            locked = self.turn.wait(locked);
        }
        let Some((stalled, why)) = locked.end_stall() else { return (locked, None) };
        let mut finished = Finished::new();
        self.take_back(&mut locked, stalled, &Error::Closed, &mut finished);
        self.turn.notify_all();
        self.room.notify_all();
        self.tell(locked, finished);
        (self.lock(), Some(why))
    }
}

impl<T: Target> State<T> {
    /// Nothing waits for room any more.
    pub(super) fn end_stall(&mut self) -> Option<(Gathering<T>, Error<T::Error>)> {
        let stalled = self.stalled.take()?;
        // While a truncation runs, the turn is its.
        self.writing &= self.truncating;
        Some(stalled)
    }
}
