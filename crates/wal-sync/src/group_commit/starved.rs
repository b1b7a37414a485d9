//! Waiting for room in the target.
//!
//! ```text
//!  write says full ──▶ starved: the turn to write counts as taken, and nobody has it
//!                        │ others join while they may, and wait
//!                        ├─ truncation: takes the turn over, acts ──▶ whoever did it writes what waited
//!                        ├─ retry: there may be room again ─────────▶ whoever says so writes it
//!                        └─ close, failure: whoever waits is told
//! ```
//!
//! Nothing that waits loses its number. No lock and no turn is held meanwhile, so syncs and truncations go on.

use super::state::{Gathering, Kept, State};
use super::woken::Woken;
use super::{GroupCommit, Locked};
use crate::error::Error;
use crate::target::Target;

impl<T: Target> GroupCommit<T> {
    /// Whether something waits for room.
    pub fn is_starved(&self) -> bool {
        self.lock().starved.is_some()
    }

    /// Why what waits for room found none.
    pub fn starved(&self) -> Option<Error<T::Error>> {
        self.lock().starved.as_ref().map(|(_, why)| why.clone())
    }

    /// There may be room again: writes what waits for it.
    pub fn retry(&self) {
        let mut locked = self.lock();
        if locked.starved.is_some() && !locked.truncating {
            // For a moment nobody has it, under the lock.
            locked.writing = false;
            drop(self.write_next(locked));
        }
    }

    /// Keeps what the target had no room for, and the turn from everybody.
    pub(super) fn starve(&self, locked: &mut State<T>, next: Box<Gathering<T>>, error: Error<T::Error>) {
        locked.starved = Some((next, error));
        locked.writing = true;
    }

    /// At the end: whoever waits for room waits in vain. Returns why there was none.
    pub(super) fn give_up_starved<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
    ) -> (Locked<'a, T>, Option<Error<T::Error>>) {
        while locked.truncating && locked.starved.is_some() {
            locked = self.turn.wait(locked);
        }
        let Some((starved, why)) = locked.end_starved() else { return (locked, None) };
        let mut woken = Woken::new();
        self.take_back(&mut locked, starved, &Error::Closed, &mut woken);
        self.turn.notify_all();
        self.room.notify_all();
        self.tell(locked, woken);
        (self.lock(), Some(why))
    }
}

impl<T: Target> State<T> {
    /// Nothing waits for room any more.
    pub(super) fn end_starved(&mut self) -> Option<Kept<T>> {
        let starved = self.starved.take()?;
        // While a truncation runs, the turn is its.
        self.writing &= self.truncating;
        Some(starved)
    }
}
