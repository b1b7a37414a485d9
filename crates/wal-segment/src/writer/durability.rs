//! What is durable, and what the anchor must state of it.

use wal_format::{Anchor, DurablePoint, SegmentNumber};

use super::Writer;
use super::segments::point;
use crate::error::Error;
use crate::rules::{Rule, Rules};
use crate::segment::span::Span;
use crate::spares::source::SpareSource;

/// Up to where the log is durable, and how far the anchor lags.
#[derive(Debug)]
pub(super) struct Durability {
    /// The furthest place that a sync has covered.
    pub(super) point: Option<DurablePoint>,
    /// A sync was handed out and not reported yet. Until then no other sync runs: if the first of two syncs
    /// fails, the second may wrongly succeed.
    pub(super) in_flight: bool,
    /// The anchor must be written before anything is accepted: it does not know a published cut, or it still
    /// says that the log is closed.
    pub(super) anchor_owed: bool,
    /// The anchor may name a later beginning of the log: a truncation could not write it.
    pub(super) first_in_doubt: bool,
    /// The last segment for which an anchor was requested.
    pub(super) anchored: Option<SegmentNumber>,
    /// The anchor says, or will say, that the log was closed at its end.
    pub(super) closed: bool,
}

impl Durability {
    /// The state after an open: everything that it found is durable.
    pub(super) fn found(last: Option<&Span>, anchor: &Anchor, closed: bool) -> Durability {
        Durability {
            point: last.map(|span| point(span.life.segment, span.end)),
            in_flight: false,
            anchor_owed: false,
            first_in_doubt: false,
            anchored: anchor.active.map(|(segment, _)| segment),
            closed,
        }
    }

    /// A sync covered everything up to `point`. Returns whether that is further than before.
    pub(super) fn advance(&mut self, point: DurablePoint, rules: Rules) -> bool {
        let reached = |point: DurablePoint| (point.segment, point.offset);
        let moves = self.point.is_none_or(|durable| reached(durable) < reached(point));
        if moves && rules.keeps(Rule::DurableMoves) {
            self.point = Some(point);
        }
        moves
    }
}

impl Writer {
    /// Whether the LINK of the last segment is durable.
    pub(super) fn is_linked(&self) -> bool {
        let last = self.segments.last_number();
        last.is_some() && self.durability.point.map(|point| point.segment) == last
    }

    pub(crate) fn is_ahead_of(&self, anchor: &Anchor) -> bool {
        self.anchor_now().durable != anchor.durable
    }

    /// The anchor for the present state: durable facts only.
    pub(crate) fn anchor_now(&self) -> Anchor {
        let durable = self.durability.point;
        let active = durable.and_then(|point| self.segments.span(point.segment));
        // After a close the log is durable up to the SEAL.
        let seal_offset = active.filter(|_| self.durability.closed).and_then(|span| span.seal_offset);
        let closed = durable.zip(seal_offset).filter(|(durable, seal_offset)| durable.offset >= *seal_offset);
        let closed = closed.map(|(durable, offset)| DurablePoint { offset, ..durable });
        Anchor {
            log: self.log,
            generation: 0,
            first: self.segments.first,
            first_segment: self.segments.first_segment,
            active: active.map(|span| (span.life.segment, span.life.salt)),
            durable: closed.or(durable),
            seal_offset: closed.map(|point| point.offset),
            next_segment_bytes: self.settings.segment_bytes,
            next_checksum: self.settings.checksum,
        }
    }

    pub(super) fn write_anchor(&mut self, anchor: Anchor, spares: &dyn SpareSource) -> Result<(), Error> {
        spares.anchor(anchor).map_err(|error| self.poison_if_exchanged(error))
    }

    pub(super) fn write_owed_anchor(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        self.write_anchor(self.anchor_now(), spares)?;
        (self.durability.anchor_owed, self.durability.first_in_doubt) = (false, false);
        Ok(())
    }

    /// After the durable point has moved, requests an anchor: soon for a new segment, so that even the loss
    /// of its whole file is noticed, otherwise when there is time. Appends do not wait for it; `close` writes
    /// it at the latest and reports failures.
    pub(super) fn anchor_durable(&mut self, segment: SegmentNumber, spares: &dyn SpareSource) {
        if !self.rules.keeps(Rule::AnchorPerSegment) {
            return;
        }
        if Some(segment) > self.durability.anchored {
            self.durability.anchored = Some(segment);
            spares.anchor_soon(self.anchor_now());
        } else {
            spares.anchor_at_leisure(self.anchor_now());
        }
    }
}
