//! The next segment, prepared ahead: ordered, made or taken from the pool, zeroed, handed out.

use wal_segment::{Error as SegmentError, Operation, Order, Spare, SpareSource, prepare};

use crate::report::event::note;
use crate::supply::{Stores, Wanted};

#[derive(Debug)]
pub(super) enum Slot {
    Empty,
    Ordered(Order),
    /// It is worked at; once it can be used, its file is so long.
    InHand(Option<u64>),
    /// It can be used, and is better if it need not be yet.
    Zeroing(Spare),
    Ready(Spare),
    Failed(SegmentError),
}

impl Stores {
    pub(super) fn take_spare(&self, order: Order) -> Result<Spare, SegmentError> {
        if self.bell.is_none() {
            return self.spare_here(order);
        }
        let mut asked = false;
        let mut wanted = self.wanted.lock_whole();
        loop {
            let again = match std::mem::replace(&mut wanted.spare, Slot::Empty) {
                Slot::Ready(spare) | Slot::Zeroing(spare) if spare.suits(order) => {
                    wanted.awaited = false;
                    return Ok(spare);
                }
                Slot::Failed(error) if asked => {
                    wanted.awaited = false;
                    return Err(error);
                }
                slot @ (Slot::Ordered(_) | Slot::InHand(_)) => slot,
                // What there is does not suit: its file makes room for another.
                Slot::Ready(_) | Slot::Zeroing(_) | Slot::Failed(_) | Slot::Empty => Slot::Ordered(order),
            };
            wanted.awaited = true;
            asked |= matches!(again, Slot::Ordered(_));
            wanted.spare = again;
            if wanted.over {
                // Nobody is there any more to do it.
                drop(wanted);
                return self.spare_here(order);
            }
            if asked {
                self.ring();
            }
            wanted = self.changed.wait(wanted);
        }
    }

    pub(super) fn order_spare(&self, order: Order) {
        if self.bell.is_none() {
            self.order_here(order);
            return;
        }
        let mut wanted = self.wanted.lock_whole();
        wanted.refill = Some(order);
        if matches!(wanted.spare, Slot::Empty | Slot::Failed(_)) {
            wanted.spare = Slot::Ordered(order);
        }
        drop(wanted);
        self.ring();
    }

    pub(super) fn order_spare_if_waiting(&self, order: Order) -> bool {
        let mut wanted = self.wanted.lock_whole();
        if wanted.pool.is_empty() || !matches!(wanted.spare, Slot::Empty) {
            return false;
        }
        if self.bell.is_some() {
            wanted.spare = Slot::Ordered(order);
            drop(wanted);
            self.ring();
        } else {
            drop(wanted);
            let slot = self.made(order);
            self.wanted.lock_whole().spare = slot;
        }
        true
    }

    fn make(&self, order: Order) -> Result<Spare, SegmentError> {
        let made = self.reuse_or_prepare(order);
        note!(when Err(error) = &made => &self.listener, SpareFailed { error: error.clone().into() });
        made
    }

    /// From a file that waits, if there is one that serves. Not where the names lead elsewhere: what has the name of the
    /// next segment may be another log's.
    fn reuse_or_prepare(&self, order: Order) -> Result<Spare, SegmentError> {
        let directory = self.directory.as_ref();
        self.check_names()?;
        self.prove_anchor()?;
        let mut next = self.reclaim(order).or_else(|| self.wanted.lock_whole().pool.take());
        while let Some(waiting) = next {
            // What does not serve is removed, and its space is free.
            if let Ok(spare) = waiting.prepare(directory, order, self.supply.rules) {
                self.wanted.lock_whole().recycled += u64::from(spare.is_recycled());
                return Ok(spare);
            }
            next = self.wanted.lock_whole().pool.take();
        }
        prepare(directory, order, self.supply.rules)
    }

    pub(super) fn made(&self, order: Order) -> Slot {
        match self.guarded(Operation::Create, || self.make(order)) {
            Ok(spare) if self.supply.zero_ahead && order.wants_zeros() => Slot::Zeroing(spare),
            Ok(spare) => Slot::Ready(spare),
            Err(error) => Slot::Failed(error),
        }
    }

    /// One step. A spare that failed is given up; whoever needs one gets another.
    pub(super) fn zero(&self, mut spare: Spare) -> Slot {
        match self.guarded(Operation::Write, || spare.zero_some()) {
            Ok(true) => Slot::Zeroing(spare),
            Ok(false) => Slot::Ready(spare),
            Err(error) => {
                // What cannot be removed stays a prepared segment, which the next attempt removes.
                spare.discard(self.directory.as_ref()).ok();
                Slot::Failed(error)
            }
        }
    }

    pub(super) fn put(&self, slot: Slot) {
        self.wanted.lock_whole().settle(slot);
        self.changed.notify_all();
    }

    fn order_here(&self, order: Order) {
        let mut slot = self.made(order);
        while let Slot::Zeroing(spare) = slot {
            slot = self.zero(spare);
        }
        let mut wanted = self.wanted.lock_whole();
        wanted.settle(slot);
        wanted.refill = Some(order);
        while let Some(task) = wanted.pool_task(self.supply) {
            drop(wanted);
            self.fill(task);
            wanted = self.wanted.lock_whole();
        }
    }

    fn spare_here(&self, order: Order) -> Result<Spare, SegmentError> {
        let slot = std::mem::replace(&mut self.wanted.lock_whole().spare, Slot::Empty);
        match slot {
            Slot::Ready(spare) | Slot::Zeroing(spare) if spare.suits(order) => Ok(spare),
            unsuited => {
                // Its space is given back with its last handle, and may be the last there is.
                drop(unsuited);
                let made = self.make(order);
                self.wanted.lock_whole().spare_failure = made.as_ref().err().cloned();
                made
            }
        }
    }
}

impl Wanted {
    /// An attempt at a spare has ended so.
    fn settle(&mut self, slot: Slot) {
        self.spare_failure = if let Slot::Failed(error) = &slot { Some(error.clone()) } else { None };
        self.spare = slot;
    }

    pub(super) fn take_zeroing(&mut self) -> Option<Spare> {
        let Slot::Zeroing(spare) = &self.spare else { return None };
        let in_hand = Slot::InHand(Some(spare.file_bytes()));
        match std::mem::replace(&mut self.spare, in_hand) {
            Slot::Zeroing(spare) => Some(spare),
            _ => None,
        }
    }
}
