//! The next segment: when it is ordered, how long it gets, and how it is taken.

use wal_format::{Link, SegmentNumber, seal_frame_bytes};

use super::{State, Writer};
use crate::error::Error;
use crate::rules::Rule;
use crate::spares::source::SpareSource;
use crate::spares::spare::{Order, Spare};

/// The first segment of a log is no longer than this, and each later one at most four times as long as
/// what its predecessor held, until they reach the configured size: a log of one line stays small.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENT_GROWTH: u64 = 4;

/// A next segment is ordered when this one is half full: early enough to be there in time, and late
/// enough that a small log does without.
const ORDERED_AT: u64 = 2;

/// What was ordered, and what is held.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// The last segment that was ordered.
    pub(super) ordered: Option<SegmentNumber>,
    /// The last segment in which the writer asked whether a file waits.
    pub(super) asked: Option<SegmentNumber>,
    /// The device has refused a write to the segment that was prepared last: its file is not taken again.
    pub(super) spare_refused: bool,
    /// The next segment, from the end of the last one until it is begun. None while one is open.
    pub(super) kept: Option<Spare>,
}

/// How long a segment must be to hold a frame of this size.
pub(super) fn needed_bytes(frame_bytes: u64) -> u64 {
    Link::end_offset() + frame_bytes + seal_frame_bytes(2)
}

impl Writer {
    /// Orders the next segment once this one is the log's for certain, and is half full, or a file waits.
    pub(super) fn order_early(&mut self, spares: &dyn SpareSource) {
        let State::Open(open) = &self.state else { return };
        let segment = open.header.life.segment;
        if !self.is_linked() || self.orders.ordered > Some(segment) {
            return;
        }
        let is_half_full = self.segments.end.offset >= open.capacity / ORDERED_AT;
        if !is_half_full && self.orders.asked >= Some(segment) {
            return;
        }
        // Numbers that are used up are met by the append that needs one.
        let Ok(order) = self.next_order(0) else { return };
        if self.cap_reached(self.log_bytes(), order).is_some() {
            return;
        }
        if is_half_full {
            let zeroed = open.has_small_syncs(self.segments.end.offset);
            self.orders.ordered = Some(order.number);
            spares.order(Order { zeroed, ..order });
        } else {
            // How much this segment will hold is not known yet: the next one gets as long.
            let bytes = self.settings.segment_bytes.min(open.capacity).max(order.needed_bytes);
            self.orders.asked = Some(segment);
            if spares.order_if_waiting(Order { bytes, ..order }) {
                self.orders.ordered = Some(order.number);
            }
        }
    }

    /// What the next segment must be like to take a frame of this size.
    pub(super) fn next_order(&self, frame_bytes: u64) -> Result<Order, Error> {
        self.order_after(self.segments.end.offset, frame_bytes)
    }

    /// The same, once the last segment ends there.
    pub(super) fn order_after(&self, end_offset: u64, frame_bytes: u64) -> Result<Order, Error> {
        let grown = end_offset.saturating_mul(SEGMENT_GROWTH).max(FIRST_SEGMENT_BYTES);
        let needed_bytes = needed_bytes(frame_bytes);
        Ok(Order {
            log: self.log,
            number: self.segments.next_number()?,
            bytes: self.settings.segment_bytes.min(grown).max(needed_bytes),
            needed_bytes,
            checksum: self.settings.checksum,
            spans: self.segments.spans.len(),
            zeroed: false,
            reclaims: !self.orders.spare_refused,
        })
    }

    /// Takes the prepared segment, by a name that leads to it.
    pub(super) fn take_spare(&mut self, order: Order, spares: &dyn SpareSource) -> Result<Spare, Error> {
        let spare = match self.orders.kept.take().filter(|spare| spare.suits(order)) {
            Some(spare) => spare,
            None => spares.spare(order)?,
        };
        match spare.watched.check(spares.directory()) {
            _ if !self.rules.keeps(Rule::NamesChecked) => Ok(spare),
            // Nothing stands on it yet: another one is made.
            Err(Error::Exchanged { .. }) => spares.spare(order),
            checked => checked.map(|()| spare),
        }
    }
}
