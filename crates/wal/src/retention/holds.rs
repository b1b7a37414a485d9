//! Holds: who still needs the front of the log, and how far it may be dropped.
//!
//! ```text
//!  truncation, retention ──▶ limit_to_holds ──▶ anchor ──▶ begins_at: holds below it are overrun
//!                            no new hold below      └─ failed ──▶ begins_at: the old beginning, no hold is overrun
//! ```
//!
//! Invariant: a hold that is not overrun is never below where the log begins. The thread that drops the front has both
//! turns, and lifts the floor under the lock before it does, so a hold below the floor is refused. A hold that keeps too
//! much is below the floor meanwhile, and is overrun only once the log begins above it.

use std::sync::Arc;
use std::time::Duration;

use wal_sync::primitives::{now, since};

use crate::error::Error;
use crate::report::stats::LowestHold;
use crate::retention::limits::{Piece, kept_bytes};
use crate::retention::{Keeper, State};

#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: Arc<str>,
    pub(super) sequence: u64,
    overrun: bool,
}

impl Keeper {
    /// Keeps everything from `sequence` on; `None` when that may be gone.
    pub(crate) fn hold(&self, name: &str, sequence: u64) -> Result<u64, u64> {
        let mut state = self.lock();
        if sequence < state.floor {
            return Err(state.floor);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.holds.insert(id, Held { name: name.into(), sequence, overrun: false });
        Ok(id)
    }

    /// Where a hold is, and whether it is overrun.
    pub(crate) fn held(&self, id: u64) -> (u64, bool) {
        self.lock().holds.get(&id).map_or((0, true), |held| (held.sequence, held.overrun))
    }

    /// Moves a hold forward, never back. Returns whether it holds.
    pub(crate) fn advance(&self, id: u64, sequence: u64) -> bool {
        let mut state = self.lock();
        let wakes_at = state.wakes_at;
        let Some(held) = state.holds.get_mut(&id).filter(|held| !held.overrun) else { return false };
        let before = held.sequence;
        held.sequence = before.max(sequence);
        if wakes_at.is_some_and(|wakes_at| before < wakes_at && wakes_at <= sequence) {
            self.ring(state);
        }
        true
    }

    pub(crate) fn release(&self, id: u64) {
        let mut state = self.lock();
        let gone = state.holds.remove(&id);
        if gone.is_some_and(|held| state.wakes_at.is_some_and(|wakes_at| held.sequence < wakes_at)) {
            self.ring(state);
        }
    }

    /// Blocks until a hold is overrun, and then says so; or until it is over, or `limit` has passed.
    pub(crate) fn until_overrun(&self, id: u64, limit: Duration) -> Result<bool, Error> {
        let begun = now();
        let mut state = self.lock();
        loop {
            if state.holds.get(&id).is_none_or(|held| held.overrun) {
                return Ok(true);
            }
            if state.over {
                return Err(crate::error::closed());
            }
            let left = limit.saturating_sub(since(begun));
            if left.is_zero() {
                return Ok(false);
            }
            state = self.overrun.wait_for(&self.state, state, left);
        }
    }

    /// How far the front may be dropped when it is to be dropped up to `wanted`: to the lowest hold that does not
    /// keep too much. Changes no hold, as nothing is dropped yet; but none can be taken below that place. For the
    /// thread that has both turns; followed by [`Keeper::begins_at`].
    pub(crate) fn limit_to_holds(&self, pieces: &[Piece], wanted: u64) -> u64 {
        let mut state = self.lock();
        let place = self.lowest_allowed(&state, pieces, wanted);
        state.floor = state.floor.max(place);
        place
    }

    /// Where the log begins, now that something was dropped, or could not be. Holds below that were passed, and are
    /// overrun.
    pub(crate) fn begins_at(&self, first: u64) {
        let mut state = self.lock();
        state.floor = first;
        let mut overrun = 0;
        for held in state.holds.values_mut().filter(|held| !held.overrun && held.sequence < first) {
            held.overrun = true;
            overrun += 1;
        }
        state.overruns += overrun;
        if overrun > 0 {
            self.overrun.notify_all();
        }
    }

    /// The lowest hold that does not keep too much, or `wanted` if that is lower.
    pub(super) fn lowest_allowed(&self, state: &State, pieces: &[Piece], wanted: u64) -> u64 {
        let holds = state.holds.values().filter(|held| !held.overrun);
        let allowed = holds.filter(|held| !self.is_too_much(pieces, held.sequence, wanted));
        allowed.map(|held| held.sequence).min().map_or(wanted, |lowest| lowest.min(wanted))
    }

    fn is_too_much(&self, pieces: &[Piece], sequence: u64, wanted: u64) -> bool {
        self.keeping.hold_limit_bytes.is_some_and(|most| kept_bytes(pieces, sequence, wanted) > most)
    }

    /// What the lowest hold is called, and where it is.
    pub(crate) fn lowest_hold(&self) -> Option<LowestHold> {
        self.lock().lowest().map(LowestHold::of)
    }
}

impl State {
    pub(super) fn lowest(&self) -> Option<&Held> {
        self.holds.values().filter(|held| !held.overrun).min_by_key(|held| held.sequence)
    }
}

impl LowestHold {
    pub(super) fn of(held: &Held) -> LowestHold {
        LowestHold { name: held.name.to_string(), sequence: held.sequence }
    }
}
