//! Holds: which consumers still need the front of the log, and how far it may be dropped.
//!
//! ```text
//!  truncation, retention ──▶ limit_to_holds ──▶ anchor ──▶ begins_at: holds below it are invalidated
//!                            no new hold below      └─ failed ──▶ begins_at: the old log start, no hold is invalidated
//! ```
//!
//! Invariant: a valid hold is never below the log start. The thread that drops the front has both turns, and raises the
//! log start under the lock before it drops, so a hold below it is refused. A hold that keeps too much is below the log
//! start meanwhile, and is invalidated only once the drop has succeeded.
//!
//! Lock: `state`, for a moment; a leaf.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wal_segment::Span;
use wal_sync::primitives::{Condvar, Mutex, now, since};

use crate::error::{Error, closed};
use crate::report::stats::{LowestHold, Stats};
use crate::retention::limits::kept_bytes;
use crate::retention::maintenance::Maintenance;

/// The holds of one log.
#[derive(Debug)]
pub(crate) struct Holds {
    limit_bytes: Option<u64>,
    maintenance: Arc<Maintenance>,
    state: Mutex<State>,
    /// A hold was invalidated, or the log is over.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    holds: BTreeMap<u64, HoldState>,
    next_id: u64,
    /// The log may begin here any moment: nothing below can be held.
    log_start: u64,
    /// A hold that passes this may let retention drop a segment.
    wakes_at: Option<u64>,
    invalidated: u64,
    over: bool,
}

#[derive(Debug)]
struct HoldState {
    name: Arc<str>,
    sequence: u64,
    invalidated: bool,
}

impl Holds {
    /// For a log that begins with `log_start`. A hold of more than `limit_bytes` may be invalidated.
    pub(crate) fn new(log_start: u64, limit_bytes: Option<u64>, maintenance: Arc<Maintenance>) -> Holds {
        let state = State {
            holds: BTreeMap::new(),
            next_id: 0,
            log_start,
            wakes_at: None,
            invalidated: 0,
            over: false,
        };
        Holds { limit_bytes, maintenance, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Keeps everything from `sequence` on, and returns the id of the hold. Below the log start, returns that as the
    /// error.
    pub(crate) fn hold(&self, name: &str, sequence: u64) -> Result<u64, u64> {
        let mut state = self.state.lock_whole();
        if sequence < state.log_start {
            return Err(state.log_start);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.holds.insert(id, HoldState { name: name.into(), sequence, invalidated: false });
        Ok(id)
    }

    /// The first entry that a hold keeps, and whether it is invalidated.
    pub(crate) fn get(&self, id: u64) -> (u64, bool) {
        let state = self.state.lock_whole();
        state.holds.get(&id).map_or((0, true), |hold| (hold.sequence, hold.invalidated))
    }

    /// Moves a hold forward, never back. Returns whether it is valid.
    pub(crate) fn advance(&self, id: u64, sequence: u64) -> bool {
        let mut state = self.state.lock_whole();
        let wakes_at = state.wakes_at;
        let Some(hold) = state.holds.get_mut(&id).filter(|hold| !hold.invalidated) else { return false };
        let before = hold.sequence;
        hold.sequence = before.max(sequence);
        drop(state);
        if wakes_at.is_some_and(|wakes_at| before < wakes_at && wakes_at <= sequence) {
            self.maintenance.ring();
        }
        true
    }

    pub(crate) fn release(&self, id: u64) {
        let mut state = self.state.lock_whole();
        let wakes_at = state.wakes_at;
        let released = state.holds.remove(&id);
        drop(state);
        if released.is_some_and(|hold| wakes_at.is_some_and(|wakes_at| hold.sequence < wakes_at)) {
            self.maintenance.ring();
        }
    }

    /// Blocks until a hold is invalidated, and returns `true`; or until `limit` has passed.
    pub(crate) fn until_invalidated(&self, id: u64, limit: Duration) -> Result<bool, Error> {
        let begun = now();
        let mut state = self.state.lock_whole();
        loop {
            if state.holds.get(&id).is_none_or(|hold| hold.invalidated) {
                return Ok(true);
            }
            if state.over {
                return Err(closed());
            }
            let left = limit.saturating_sub(since(begun));
            if left.is_zero() {
                return Ok(false);
            }
            state = self.changed.wait_for(&self.state, state, left);
        }
    }

    /// How far the front may be dropped when it is to be dropped up to `wanted`: to the lowest hold that does not keep
    /// too much. Invalidates no hold, as nothing is dropped yet, but none can be taken below that place. For the
    /// thread that has both turns; followed by [`Holds::begins_at`].
    pub(crate) fn limit_to_holds(&self, spans: &[Span], wanted: u64) -> u64 {
        let mut state = self.state.lock_whole();
        let place = self.lowest_allowed(&state, spans, wanted);
        state.log_start = state.log_start.max(place);
        place
    }

    /// The log begins with `first`, after a drop or a failed one. Holds below that are invalidated.
    pub(crate) fn begins_at(&self, first: u64) {
        let mut state = self.state.lock_whole();
        state.log_start = first;
        let mut invalidated = 0;
        for hold in state.holds.values_mut().filter(|hold| !hold.invalidated && hold.sequence < first) {
            hold.invalidated = true;
            invalidated += 1;
        }
        state.invalidated += invalidated;
        if invalidated > 0 {
            self.changed.notify_all();
        }
    }

    /// How many of the segments below `wanted` no hold keeps. When a hold keeps some of them, retention is woken once
    /// it has moved far enough.
    pub(crate) fn count_unheld(&self, spans: &[Span], wanted: u64) -> usize {
        let mut state = self.state.lock_whole();
        let place = self.lowest_allowed(&state, spans, wanted);
        let unheld = spans.partition_point(|span| span.start.next.value() <= place).saturating_sub(1);
        state.wakes_at =
            (place < wanted).then(|| spans.get(unheld + 1).map(|span| span.start.next.value())).flatten();
        unheld
    }

    /// The valid hold that keeps most.
    pub(crate) fn lowest(&self) -> Option<LowestHold> {
        let state = self.state.lock_whole();
        let lowest = state.lowest()?;
        Some(LowestHold { name: lowest.name.to_string(), sequence: lowest.sequence })
    }

    /// The log is over: no call waits any more.
    pub(crate) fn stop(&self) {
        self.state.lock_whole().over = true;
        self.changed.notify_all();
    }

    pub(crate) fn fill(&self, stats: &mut Stats, spans: &[Span]) {
        stats.lowest_hold = self.lowest();
        let state = self.state.lock_whole();
        stats.holds = state.holds.len() as u64;
        stats.held_bytes = state.lowest().map_or(0, |hold| kept_bytes(spans, hold.sequence, u64::MAX));
        stats.invalidated_holds = state.invalidated;
    }

    /// The lowest hold that does not keep too much, or `wanted` if that is lower.
    fn lowest_allowed(&self, state: &State, spans: &[Span], wanted: u64) -> u64 {
        let is_too_much = |hold: &HoldState| {
            self.limit_bytes.is_some_and(|most| kept_bytes(spans, hold.sequence, wanted) > most)
        };
        let allowed = state.holds.values().filter(|hold| !hold.invalidated && !is_too_much(hold));
        allowed.map(|hold| hold.sequence).min().map_or(wanted, |lowest| lowest.min(wanted))
    }
}

impl State {
    fn lowest(&self) -> Option<&HoldState> {
        self.holds.values().filter(|hold| !hold.invalidated).min_by_key(|hold| hold.sequence)
    }
}
