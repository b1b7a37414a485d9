//! Orders for the next segment: when, and of which size.

use wal_format::{Link, SegmentNumber, seal_frame_bytes};

use super::{State, Writer};
use crate::error::Error;
use crate::rules::Rule;
use crate::spares::source::SpareSource;
use crate::spares::spare::{Order, Spare};

/// The first segment is at most this long, and each later one at most four times as long as what the one
/// before it holds, up to the configured size: a log of one line stays small.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENT_GROWTH: u64 = 4;

/// The next segment is ordered when this one is half full: in time, and not at all for a small log.
const ORDERED_AT: u64 = 2;

#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) ordered: Option<SegmentNumber>,
    /// The last segment in which the writer asked for a spare from a pool file.
    pub(super) asked: Option<SegmentNumber>,
    /// A write to the last spare failed: its file is not used again.
    pub(super) spare_refused: bool,
    /// The next segment, from the end of the last one until its LINK. `None` while a segment is open.
    pub(super) kept: Option<Spare>,
}

pub(super) fn needed_bytes(frame_bytes: u64) -> u64 {
    Link::end_offset() + frame_bytes + seal_frame_bytes(2)
}

impl Writer {
    /// Orders the next segment once the LINK of this one is durable, and this one is half full or a pool file
    /// is ready.
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
        // If the numbers are used up, the append that needs one reports it.
        let Ok(order) = self.next_order(0) else { return };
        if self.refuse_above_cap(self.log_bytes(), order).is_err() {
            return;
        }
        if is_half_full {
            let zeroed = open.has_small_syncs(self.segments.end.offset);
            self.orders.ordered = Some(order.number);
            spares.order(Order { zeroed, ..order });
        } else {
            // How much this segment will hold is unknown: the next one gets the same size.
            let bytes = self.settings.segment_bytes.min(open.capacity).max(order.needed_bytes);
            self.orders.asked = Some(segment);
            if spares.order_if_waiting(Order { bytes, ..order }) {
                self.orders.ordered = Some(order.number);
            }
        }
    }

    pub(super) fn next_order(&self, frame_bytes: u64) -> Result<Order, Error> {
        self.order_after(self.segments.end.offset, frame_bytes)
    }

    /// For a last segment that ends at `end_offset`.
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

    pub(super) fn take_spare(&mut self, order: Order, spares: &dyn SpareSource) -> Result<Spare, Error> {
        let spare = match self.orders.kept.take().filter(|spare| spare.suits(order)) {
            Some(spare) => spare,
            None => spares.spare(order)?,
        };
        match spare.watched.check(spares.directory()) {
            _ if !self.rules.keeps(Rule::NamesChecked) => Ok(spare),
            // The log does not depend on it yet: prepare another one.
            Err(Error::Exchanged { .. }) => spares.spare(order),
            checked => checked.map(|()| spare),
        }
    }
}
