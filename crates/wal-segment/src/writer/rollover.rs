//! From one segment to the next: SEAL, LINK, cut.
//!
//! ```text
//! rollover   LINK durable ─▶ next segment prepared ─▶ SEAL ─▶ sync ─▶ LINK + first frame in one write
//! reopen                     next segment prepared ─▶ LINK + first frame in one write (where an open cannot go on)
//! cut        sync ─▶         next segment prepared ─▶ LINK alone ─▶ sync ─▶ anchor ─▶ frames
//! ```
//!
//! Whatever fails before the LINK is written leaves the log where it was; and where the next segment cannot be had, this one
//! goes on to take frames that it has room for.

use std::sync::Arc;

use wal_format::{
    FIRST_FRAME_OFFSET, FrameHeader, LINK_FRAME_BYTES, Link, LinkReason, Predecessor, SealBody, SealKind,
    Sequence, encode_seal_frame, seal_frame_bytes,
};

use super::open_segment::OpenSegment;
use super::shrink::{Shrinkable, WORTHWHILE_BYTES};
use super::{Detached, Rolled, State, Writer, point, sync_once};
use crate::error::Error;
use crate::files::named::Named;
use crate::io::Directory;
use crate::rules::Rule;
use crate::segment::index::Index;
use crate::segment::span::{Span, Tip};
use crate::spares::source::SpareSource;
use crate::spares::spare::{Order, Spare};
use crate::writer::builder::FrameBuilder;

/// The first segment of a log is no longer than this, and each later one at most four times as long as
/// what its predecessor held, until they reach the configured size: a log of one line stays small.
pub(super) const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENT_GROWTH: u64 = 4;

/// A prepared segment and the LINK that will begin it.
struct Begun {
    link: Link,
    open: OpenSegment,
    /// Room for the log's spans with this one.
    spans: Arc<Vec<Span>>,
}

/// How long a segment must be to hold a frame of this size.
pub(super) fn needed_bytes(frame_bytes: u64) -> u64 {
    Link::end_offset() + frame_bytes + seal_frame_bytes(2)
}

/// A next segment is ordered when this one is half full: early enough to be there in time, and late
/// enough that a small log does without.
const ORDERED_AT: u64 = 2;

impl Writer {
    /// Ends the segment if it has no room for a frame of this size, and the next one can be had. Otherwise makes sure that frames
    /// may be written to it.
    pub(super) fn end_if_full(&mut self, frame_bytes: u64, spares: &dyn SpareSource) -> Result<(), Error> {
        match &self.state {
            State::Open(open) if open.has_room(self.end.offset, frame_bytes) => self.state_open(spares),
            State::Open(_) => {
                self.refuse_if_full_once_sealed(frame_bytes)?;
                self.check_names(spares)?;
                // `SpareAfterLink`: two files without a durable LINK would look like a segment that is missing. A log that is to
                // break `LinkAfterSync` does not sync here either.
                if !self.is_linked() && self.rules.keeps(Rule::LinkAfterSync) {
                    self.sync_all(spares)?;
                }
                let spare = self.take_spare(self.next_order(frame_bytes)?, spares)?;
                if let Err(error) = self.seal(spares) {
                    // While a segment is open another one may be ordered, which would use the same file. What cannot be
                    // removed is a prepared segment.
                    spare.discard(spares.directory()).ok();
                    return Err(error);
                }
                self.spare = Some(spare);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the segment and makes all of it durable. Tells whether its file has room for a SEAL, and got one.
    pub(super) fn seal(&mut self, spares: &dyn SpareSource) -> Result<bool, Error> {
        let State::Open(open) = &self.state else { return Ok(false) };
        let file = open.file.clone();
        if self.room_for_seal().is_some() {
            self.state_open(spares)?;
        }
        let sealed = self.write_seal(SealKind::Final)?;
        if self.rules.keeps(Rule::LinkAfterSync) {
            self.sync_all(spares)?;
        }
        if let State::Detached(detached) = &mut self.state {
            detached.unsynced = None;
        }
        // Nothing follows a final SEAL, so what is after it can be given back at once.
        if let Some(span) = self.spans.last()
            && sealed
            && span.file_bytes >= self.end.offset + WORTHWHILE_BYTES
            && file.resize(self.end.offset).is_ok()
        {
            self.shortened = Some(Shrinkable { segment: span.life.segment, end_offset: self.end.offset });
        }
        Ok(sealed)
    }

    /// With how many index points a SEAL fits the file: all, none, or not at all.
    pub(super) fn room_for_seal(&self) -> Option<usize> {
        let State::Open(open) = &self.state else { return None };
        let fits = |points: &usize| self.end.offset + seal_frame_bytes(*points) <= open.file_bytes;
        [open.index.points.len(), 0].into_iter().find(fits)
    }

    /// Writes a SEAL if there is room for one, and tells whether it did. From then on the log is detached.
    pub(super) fn write_seal(&mut self, kind: SealKind) -> Result<bool, Error> {
        let points = self.room_for_seal();
        let State::Open(open) = &mut self.state else { return Ok(false) };
        if let Some(points) = points {
            let offset = self.end.offset;
            let header = open.frame_header(self.end, self.durable);
            let seal_bytes = seal_frame_bytes(points);
            open.seal.clear();
            open.seal.resize(usize::try_from(seal_bytes).expect("an index in memory fits a usize"), 0);
            let Index { previous, points: index, .. } = &open.index;
            let body = SealBody { kind, previous: *previous, points: &index[..points], sections: &[] };
            let chain = encode_seal_frame(&mut open.seal, header, open.header.life, offset, &body);
            if let Err(error) = open.file.write_all(&open.seal, offset) {
                self.write_failed();
                return Err(error);
            }
            open.unsynced = true;
            self.end = Tip { offset: offset + seal_bytes, chain, next: self.end.next };
            self.seal_offset = Some(offset);
        }
        let unsynced = open.unsynced.then(|| open.file.clone());
        self.state = State::Detached(Detached { reason: LinkReason::Rollover, unsynced });
        Ok(points.is_some())
    }

    /// Begins a segment whose LINK and first frame are one write.
    pub(super) fn begin_with(
        &mut self,
        frame: &mut FrameBuilder,
        spares: &dyn SpareSource,
    ) -> Result<Sequence, Error> {
        let frame_bytes = frame.frame_bytes();
        let Begun { link, mut open, spans } = self.prepare_next(frame_bytes, spares)?;
        let life = open.header.life;
        let encoded = link.encode(life);
        let after_link = self.behind(&encoded);
        let header = open.frame_header(after_link, self.durable);
        let (bytes, chain) = frame.encode_behind(&encoded, header, life, after_link.offset);
        // If this fails the log stays detached, and the next attempt prepares the file with a new salt.
        if let Err(error) = open.file.write_all(bytes, FIRST_FRAME_OFFSET) {
            self.rest_in_doubt = true;
            self.spare_refused = !error.is_out_of_space();
            return Err(error);
        }
        let first = self.end.next;
        open.index.note(after_link.offset, first, link.begun_unix_ns);
        self.enter(open, after_link, spans, spares);
        let next = first.advance(frame.entries()).ok_or(Error::OutOfNumbers)?;
        self.end = Tip { offset: after_link.offset + frame_bytes, chain, next };
        if !self.rules.keeps(Rule::SpareAfterLink) {
            spares.order(self.next_order(frame_bytes)?);
        }
        Ok(first)
    }

    /// Publishes that the log ends where it ends, by a LINK that is durable, and anchored, before
    /// anything behind it is accepted.
    pub(super) fn publish_cut(&mut self, frame_bytes: u64, spares: &dyn SpareSource) -> Result<(), Error> {
        let Begun { link, open, spans } = self.prepare_next(frame_bytes, spares)?;
        let encoded = link.encode(open.header.life);
        if let Err(error) = open.file.write_all(&encoded, FIRST_FRAME_OFFSET) {
            self.spare_refused = !error.is_out_of_space();
            return Err(error);
        }
        sync_once(&open.file, self.rules).map_err(|error| self.poison(error))?;
        let after_link = self.behind(&encoded);
        let segment = open.header.life.segment;
        self.enter(open, after_link, spans, spares);
        self.anchor_owed = self.rules.keeps(Rule::CutAnchored);
        self.synced(point(segment, after_link), spares);
        if self.anchor_owed { self.write_owed_anchor(spares) } else { Ok(()) }
    }

    /// Orders the next segment once this one is the log's for certain, and is half full, or a file waits.
    pub(super) fn order_early(&mut self, spares: &dyn SpareSource) {
        let State::Open(open) = &self.state else { return };
        let segment = open.header.life.segment;
        if !self.is_linked() || self.ordered > Some(segment) {
            return;
        }
        let is_half_full = self.end.offset >= open.capacity / ORDERED_AT;
        if !is_half_full && self.asked >= Some(segment) {
            return;
        }
        // Numbers that are used up are met by whoever needs one.
        let Ok(order) = self.next_order(0) else { return };
        if self.fullness(self.log_bytes(), order).is_some() {
            return;
        }
        if is_half_full {
            let zeroed = open.has_small_syncs(self.end.offset);
            self.ordered = Some(order.number);
            spares.order(Order { zeroed, ..order });
        } else {
            // How much this segment will hold is not known yet: the next one gets as long.
            let bytes = self.settings.segment_bytes.min(open.capacity).max(order.needed_bytes);
            self.asked = Some(segment);
            if spares.order_if_waiting(Order { bytes, ..order }) {
                self.ordered = Some(order.number);
            }
        }
    }

    /// Whether the LINK of the last segment is durable.
    pub(super) fn is_linked(&self) -> bool {
        let last = self.spans.last().map(|span| span.life.segment);
        last.is_some() && self.durable.map(|point| point.segment) == last
    }

    /// Prepares the next segment and the LINK that will begin it.
    fn prepare_next(&mut self, frame_bytes: u64, spares: &dyn SpareSource) -> Result<Begun, Error> {
        let State::Detached(Detached { reason, unsynced }) = &self.state else {
            unreachable!("a segment is begun only when none is open")
        };
        let (reason, unsynced) = (*reason, unsynced.clone());
        self.sync_end(unsynced, spares)?;
        let spare = self.take_spare(self.next_order(frame_bytes)?, spares)?;
        let link = Link {
            reason,
            predecessor: self.spans.last().map(|span| Predecessor {
                segment: span.life.segment,
                end_offset: self.end.offset,
                seal_offset: self.seal_offset,
            }),
            chain: self.end.chain,
            next: self.end.next,
            begun_unix_ns: self.now_unix_ns(spares.directory()),
        };
        let (open, spans) = OpenSegment::begin(spare, link.begun_unix_ns);
        Ok(Begun { link, open, spans })
    }

    /// The time for a LINK or an index point, in nanoseconds since 1970. The clock may be set back; what is written keeps its
    /// order.
    pub(super) fn now_unix_ns(&mut self, directory: &dyn Directory) -> u64 {
        self.latest_unix_ns = self.latest_unix_ns.max(directory.now_unix_ns());
        self.latest_unix_ns
    }

    /// The time of an index point for the frame that is written next; none when it gets no point.
    pub(super) fn point_unix_ns(&mut self, directory: &dyn Directory) -> Option<u64> {
        let wanted = matches!(&self.state, State::Open(open) if open.index.wants(self.end.offset));
        wanted.then(|| self.now_unix_ns(directory))
    }

    /// Before a segment is begun: the names still lead to what the log has open.
    pub(super) fn check_names(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        spares.check_names().map_err(|error| self.poison_if_exchanged(error))
    }

    /// Behind an exchange nothing more is accepted; any other error stays what it is.
    pub(super) fn poison_if_exchanged(&mut self, error: Error) -> Error {
        if matches!(error, Error::Exchanged { .. }) { self.poison(error) } else { error }
    }

    /// Takes the prepared segment, by a name that leads to it.
    pub(super) fn take_spare(&mut self, order: Order, spares: &dyn SpareSource) -> Result<Spare, Error> {
        let spare = match self.spare.take().filter(|spare| spare.suits(order)) {
            Some(spare) => spare,
            None => spares.spare(order)?,
        };
        match spare.held.check(spares.directory()) {
            _ if !self.rules.keeps(Rule::NamesChecked) => Ok(spare),
            // Nothing stands on it yet: another one is made.
            Err(Error::Exchanged { .. }) => spares.spare(order),
            checked => checked.map(|()| spare),
        }
    }

    /// Makes the end of the log durable, in `unsynced`, before a LINK stands on it.
    pub(super) fn sync_end(
        &mut self,
        unsynced: Option<Named>,
        spares: &dyn SpareSource,
    ) -> Result<(), Error> {
        if self.rules.keeps(Rule::LinkAfterSync)
            && let Some(file) = unsynced
        {
            sync_once(&file, self.rules).map_err(|error| self.poison(error))?;
            if let Some(span) = self.spans.last() {
                self.synced(point(span.life.segment, self.end), spares);
            }
        }
        Ok(())
    }

    /// What the next segment must be like to take a frame of this size.
    pub(super) fn next_order(&self, frame_bytes: u64) -> Result<Order, Error> {
        self.order_after(self.end.offset, frame_bytes)
    }

    /// The same, once the last segment ends there.
    pub(super) fn order_after(&self, end_offset: u64, frame_bytes: u64) -> Result<Order, Error> {
        let last = self.spans.last();
        let number = match last {
            None => self.first_segment,
            Some(span) => span.life.segment.next().ok_or(Error::OutOfNumbers)?,
        };
        let grown = end_offset.saturating_mul(SEGMENT_GROWTH).max(FIRST_SEGMENT_BYTES);
        let needed_bytes = needed_bytes(frame_bytes);
        let bytes = self.settings.segment_bytes.min(grown).max(needed_bytes);
        let checksum = self.settings.checksum;
        Ok(Order {
            log: self.log,
            number,
            bytes,
            needed_bytes,
            checksum,
            spans: self.spans.len(),
            zeroed: false,
            reclaims: !self.spare_refused,
        })
    }

    /// The end of the log behind this LINK.
    pub(super) fn behind(&self, encoded: &[u8; LINK_FRAME_BYTES]) -> Tip {
        let chain = encoded.first_chunk().map(FrameHeader::chain_value).expect("a LINK begins with a header");
        Tip { offset: Link::end_offset(), chain, next: self.end.next }
    }

    /// The LINK of `open` is written: the log goes on there.
    pub(super) fn enter(
        &mut self,
        open: OpenSegment,
        start: Tip,
        mut spans: Arc<Vec<Span>>,
        spares: &dyn SpareSource,
    ) {
        spares.entered(open.held.clone());
        let from = self.spans.last().map(|span| span.life.segment);
        let to = open.header.life.segment;
        let cut = matches!(&self.state, State::Detached(detached) if detached.reason.is_cut());
        self.rolled = Some(Rolled { from, to, first: start.next, cut });
        let span = Span {
            life: open.header.life,
            checksum: open.header.checksum,
            start,
            end: start,
            cut_inside: false,
            seal_offset: None,
            file_bytes: open.capacity,
            begun_unix_ns: open.index.since_unix_ns,
            closed: false,
        };
        // Readers keep the list that they have; this one is a longer copy.
        let longer = Arc::get_mut(&mut spans).expect("nobody else has seen the room that came with a spare");
        longer.extend_from_slice(&self.spans);
        if let Some(last) = longer.last_mut() {
            (last.end, last.seal_offset) = (self.end, self.seal_offset);
            let shortened = self.shortened.take().filter(|shortened| shortened.segment == last.life.segment);
            last.file_bytes = shortened.map_or(last.file_bytes, |shortened| shortened.end_offset);
        }
        longer.push(span);
        self.spans = spans;
        self.end = start;
        (self.seal_offset, self.closed) = (None, false);
        self.rest_in_doubt = false;
        self.oversized.begin();
        self.spare_refused = false;
        self.state = State::Open(open);
    }
}
