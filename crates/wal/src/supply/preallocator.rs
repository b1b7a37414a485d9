//! Prepares the next segment ahead of the log, as etcd's file pipeline does: ordered, made new or of a used file, zeroed,
//! handed out. This is when; how is `spares/spare` of wal-segment.
//!
//! ```text
//!  Empty ──order──▶ Ordered ──▶ Working ──▶ Zeroing ⇄ Working ──▶ Ready ──take──▶ Empty
//!                                  └─────▶ Failed: the append that needs it orders again
//! ```

use std::sync::Arc;

use wal_segment::{Error as SegmentError, Operation, Order, Spare, prepare};
use wal_sync::primitives::{Condvar, Mutex};

use super::anchor::AnchorWriter;
use super::bell::Bell;
use super::names::NameWatch;
use super::used_files::UsedFiles;
use super::{Kind, guarded};
use crate::report::event::note;

/// The segment to come. Without a thread the caller that orders it prepares it.
#[derive(Debug)]
pub(crate) struct Preallocator {
    kind: Arc<Kind>,
    names: Arc<NameWatch>,
    anchor: Arc<AnchorWriter>,
    used: Arc<UsedFiles>,
    bell: Bell,
    state: Mutex<State>,
    /// The slot has changed.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    slot: Slot,
    /// An append waits for the segment.
    awaited: bool,
    /// Segments that were made of a used file.
    recycled: u64,
    /// The thread ends, or has ended.
    over: bool,
    /// Why the last attempt has failed, if it has.
    failure: Option<SegmentError>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Ordered(Order),
    /// The thread is at it; once it can be used, its file is so long.
    Working(Option<u64>),
    /// It can be used, and is better if it need not be yet.
    Zeroing(Spare),
    Ready(Spare),
    Failed(SegmentError),
}

impl Preallocator {
    pub(super) fn new(
        kind: Arc<Kind>,
        names: Arc<NameWatch>,
        anchor: Arc<AnchorWriter>,
        used: Arc<UsedFiles>,
        bell: Bell,
    ) -> Preallocator {
        let slot = Slot::Empty;
        let state = Mutex::new(State { slot, awaited: false, recycled: 0, over: false, failure: None });
        Preallocator { kind, names, anchor, used, bell, state, changed: Condvar::new() }
    }

    /// The ordered segment. Waits until the thread has prepared it; one that is being zeroed can be had after the next step.
    pub(super) fn take(&self, order: Order) -> Result<Spare, SegmentError> {
        if !self.bell.has_thread() {
            return self.take_here(order);
        }
        let mut asked = false;
        let mut state = self.state.lock_whole();
        loop {
            let again = match std::mem::replace(&mut state.slot, Slot::Empty) {
                Slot::Ready(spare) | Slot::Zeroing(spare) if spare.suits(order) => {
                    state.awaited = false;
                    return Ok(spare);
                }
                Slot::Failed(error) if asked => {
                    state.awaited = false;
                    return Err(error);
                }
                slot @ (Slot::Ordered(_) | Slot::Working(_)) => slot,
                // What there is does not suit: its file makes room for another.
                Slot::Ready(_) | Slot::Zeroing(_) | Slot::Failed(_) | Slot::Empty => Slot::Ordered(order),
            };
            state.awaited = true;
            asked |= matches!(again, Slot::Ordered(_));
            state.slot = again;
            if state.over {
                // The thread is gone.
                drop(state);
                return self.take_here(order);
            }
            if asked {
                self.bell.ring();
            }
            state = self.changed.wait(state);
        }
    }

    fn take_here(&self, order: Order) -> Result<Spare, SegmentError> {
        let slot = std::mem::replace(&mut self.state.lock_whole().slot, Slot::Empty);
        match slot {
            Slot::Ready(spare) | Slot::Zeroing(spare) if spare.suits(order) => Ok(spare),
            unsuited => {
                // Its space is given back with its last handle, and may be the last there is.
                drop(unsuited);
                let made = self.make(order);
                self.state.lock_whole().failure = made.as_ref().err().cloned();
                made
            }
        }
    }

    /// The segment will be asked for before long.
    pub(super) fn order(&self, order: Order) {
        if self.bell.has_thread() {
            let mut state = self.state.lock_whole();
            if matches!(state.slot, Slot::Empty | Slot::Failed(_)) {
                state.slot = Slot::Ordered(order);
            }
            drop(state);
            self.bell.ring();
        } else {
            let mut slot = self.made(order);
            while let Slot::Zeroing(spare) = slot {
                slot = self.zero(spare);
            }
            self.settle(slot);
        }
    }

    /// The segment will be asked for, and is prepared now only if a used file waits. Returns whether it is.
    pub(super) fn order_if_waiting(&self, order: Order) -> bool {
        let waiting = self.used.waiting_bytes();
        let mut state = self.state.lock_whole();
        if waiting.is_none() || !matches!(state.slot, Slot::Empty) {
            return false;
        }
        if self.bell.has_thread() {
            state.slot = Slot::Ordered(order);
            drop(state);
            self.bell.ring();
        } else {
            drop(state);
            let slot = self.made(order);
            self.state.lock_whole().slot = slot;
        }
        true
    }

    /// Does one step of what is ordered: prepares it, or writes some zeros. Returns whether there was one. An append that waits
    /// gets what there is without more zeros; `may_zero` says whether zeros have their turn at all.
    pub(super) fn step(&self, may_zero: bool) -> bool {
        let mut state = self.state.lock_whole();
        match std::mem::replace(&mut state.slot, Slot::Empty) {
            Slot::Ordered(order) => {
                state.slot = Slot::Working(None);
                drop(state);
                self.settle(self.made(order));
                true
            }
            Slot::Zeroing(spare) if may_zero && !state.awaited => {
                state.slot = Slot::Working(Some(spare.file_bytes()));
                drop(state);
                self.settle(self.zero(spare));
                true
            }
            slot => {
                state.slot = slot;
                false
            }
        }
    }

    /// The thread ends when it has done what it is at.
    pub(super) fn stop(&self) {
        self.state.lock_whole().over = true;
        self.changed.notify_all();
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock_whole().over
    }

    /// Removes the prepared segment. What cannot be removed is found by the next open.
    pub(super) fn discard(&self) {
        let slot = std::mem::replace(&mut self.state.lock_whole().slot, Slot::Empty);
        if let Slot::Ready(spare) | Slot::Zeroing(spare) = slot {
            spare.discard(self.kind.directory.as_ref()).ok();
        }
    }

    /// How long the prepared segment is, and how many were made of a used file since the open.
    pub(super) fn prepared(&self) -> (Option<u64>, u64) {
        let state = self.state.lock_whole();
        let file_bytes = match &state.slot {
            Slot::Ready(spare) | Slot::Zeroing(spare) => Some(spare.file_bytes()),
            Slot::Working(bytes) => *bytes,
            _ => None,
        };
        (file_bytes, state.recycled)
    }

    /// Why the last attempt has failed, if it has.
    pub(super) fn failure(&self) -> Option<SegmentError> {
        self.state.lock_whole().failure.clone()
    }

    fn make(&self, order: Order) -> Result<Spare, SegmentError> {
        let made = self.reuse_or_prepare(order);
        note!(when Err(error) = &made => &self.kind.listener, SpareFailed { error: error.clone().into() });
        made
    }

    /// Of a used file, if there is one that serves. Not where the names lead elsewhere: the file with the name of the next
    /// segment may be another log's.
    fn reuse_or_prepare(&self, order: Order) -> Result<Spare, SegmentError> {
        self.names.check()?;
        self.anchor.prove()?;
        match self.used.prepare(order) {
            Some(spare) => {
                self.state.lock_whole().recycled += u64::from(spare.is_recycled());
                Ok(spare)
            }
            None => prepare(self.kind.directory.as_ref(), order, self.kind.rules),
        }
    }

    fn made(&self, order: Order) -> Slot {
        match guarded(self.kind.directory.as_ref(), Operation::Create, || self.make(order)) {
            Ok(spare) if self.kind.zero_ahead && order.wants_zeros() => Slot::Zeroing(spare),
            Ok(spare) => Slot::Ready(spare),
            Err(error) => Slot::Failed(error),
        }
    }

    /// Writes some zeros. A segment for which that fails is given up; the append that needs one gets another.
    fn zero(&self, mut spare: Spare) -> Slot {
        match guarded(self.kind.directory.as_ref(), Operation::Write, || spare.zero_some()) {
            Ok(true) => Slot::Zeroing(spare),
            Ok(false) => Slot::Ready(spare),
            Err(error) => {
                // What cannot be removed stays a prepared segment, which the next attempt recycles or replaces.
                spare.discard(self.kind.directory.as_ref()).ok();
                Slot::Failed(error)
            }
        }
    }

    /// An attempt has ended so.
    fn settle(&self, slot: Slot) {
        let mut state = self.state.lock_whole();
        state.failure = if let Slot::Failed(error) = &slot { Some(error.clone()) } else { None };
        state.slot = slot;
        drop(state);
        self.changed.notify_all();
    }
}
