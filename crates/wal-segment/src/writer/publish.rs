//! Publishes a LINK: the only place where a segment becomes part of the log.
//!
//! ```text
//! with a frame   LINK + frame in one write                              rollover, or after an open
//! alone          LINK ─▶ sync ─▶ anchor ─▶ frames                       a cut: what it leaves out must not come back
//! ```
//!
//! Everything that the LINK states was synced before. Until the LINK is written, the log is unchanged,
//! whatever fails.

use std::sync::Arc;

use wal_format::{
    FIRST_FRAME_OFFSET, FrameHeader, LINK_FRAME_BYTES, Link, LinkReason, SegmentName, SegmentNumber, Sequence,
};

use super::open_segment::OpenSegment;
use super::segments::{Dropped, point, predecessor};
use super::{Detached, Rolled, State, Writer, sync_once};
use crate::error::Error;
use crate::files::named::{remove, sync_directory};
use crate::files::watched::WatchedFile;
use crate::io::Directory;
use crate::recovery::obsolete::remove_obsolete;
use crate::rules::Rule;
use crate::segment::frame_builder::FrameBuilder;
use crate::segment::span::{Span, Tip};
use crate::spares::source::SpareSource;
use crate::spares::spare::Spare;

/// How the log goes on in another segment.
pub(super) struct Switch<'a> {
    pub(super) reason: LinkReason,
    pub(super) spare: Spare,
    /// The segments to keep, the last one ended where a truncation ends the log; `None` where the log goes on
    /// at its end.
    pub(super) kept: Option<Vec<Span>>,
    /// The first frame, written together with the LINK; `None` where the LINK must be durable first.
    pub(super) frame: Option<&'a mut FrameBuilder>,
}

impl Writer {
    /// Begins the next segment where none is open: with `frame` as its first one, or with a LINK alone.
    pub(super) fn begin_next(
        &mut self,
        frame_bytes: u64,
        frame: Option<&mut FrameBuilder>,
        spares: &dyn SpareSource,
    ) -> Result<(), Error> {
        let State::Detached(Detached { reason, .. }) = &self.state else {
            unreachable!("a segment is begun only when none is open")
        };
        let reason = *reason;
        if self.rules.keeps(Rule::LinkAfterSync) {
            self.sync_all(spares)?;
        }
        let spare = self.take_spare(self.next_order(frame_bytes)?, spares)?;
        let has_frame = frame.is_some();
        self.publish(Switch { reason, spare, kept: None, frame }, spares)?;
        // Two files without a durable LINK would look like a missing segment.
        if has_frame && !self.rules.keeps(Rule::SpareAfterLink) {
            spares.order(self.next_order(frame_bytes)?);
        }
        Ok(())
    }

    /// Writes the LINK, after which the log goes on in the new segment. Everything before it is durable.
    ///
    /// # Errors
    /// Before the LINK is written: the log is unchanged, and the next attempt makes the file anew with
    /// another salt. After that: why the anchor could not be written. The log goes on in the new segment, and
    /// the next append writes the anchor.
    pub(super) fn publish(&mut self, switch: Switch<'_>, spares: &dyn SpareSource) -> Result<(), Error> {
        let Switch { reason, spare, kept, frame } = switch;
        let before = kept.as_ref().map_or(self.segments.last(), |kept| kept.last().copied());
        let end = before.map_or(self.segments.end, |span| span.end);
        let link = Link {
            reason,
            predecessor: before.map(predecessor),
            chain: end.chain,
            next: end.next,
            begun_unix_ns: self.now_unix_ns(spares.directory()),
        };
        let (mut open, room) = OpenSegment::begin(spare, link.begun_unix_ns);
        let segment = open.header.life.segment;
        let encoded = link.encode(open.header.life);
        let start = after_link(&encoded, link.next);
        let is_alone = frame.is_none();
        let after = match self.write_first(&mut open, &encoded, start, frame) {
            Ok(after) => after,
            Err(error) => {
                // A part of the write may be on the device.
                self.orders.spare_refused = !error.is_out_of_space();
                self.rest_in_doubt |= !is_alone;
                if kept.is_some() && self.rules.keeps(Rule::FailedLinkVoided) {
                    self.void(segment, &open.watched, spares.directory());
                }
                return Err(error);
            }
        };
        if is_alone && self.rules.keeps(Rule::CutSynced) {
            sync_once(&open.watched.file, self.rules).map_err(|error| self.poison(error))?;
        }
        let dropped = kept.map_or_else(Dropped::default, |kept| {
            self.shrink.forget_from(kept.last().map(|span| span.life.segment));
            self.segments.cut(kept)
        });
        spares.entered(open.watched.clone());
        let from = self.segments.last_number();
        self.rolled = Some(Rolled { from, to: segment, first: start.next, cut: reason.is_cut() });
        self.enter(open, start, room);
        self.segments.end = after;
        if !self.rules.keeps(Rule::AnchorBeforeRemove) {
            remove_obsolete(spares.directory(), &dropped.segments);
        }
        if is_alone {
            self.durability.anchor_owed = self.rules.keeps(Rule::CutAnchored);
            if self.rules.keeps(Rule::CutSynced) {
                self.synced(point(segment, start), spares);
            }
            if self.durability.anchor_owed {
                // If this fails, the older anchor may still need what was dropped; the next open removes it.
                self.write_owed_anchor(spares)?;
            }
        }
        self.obsolete.add(dropped);
        Ok(())
    }

    /// Writes the LINK, and the frame after it, with one write. Returns where the log ends then.
    fn write_first(
        &self,
        open: &mut OpenSegment,
        link: &[u8; LINK_FRAME_BYTES],
        start: Tip,
        frame: Option<&mut FrameBuilder>,
    ) -> Result<Tip, Error> {
        let Some(frame) = frame else {
            return open.watched.file.write_all(link, FIRST_FRAME_OFFSET).map(|()| start);
        };
        let next = start.next.advance(frame.entries()).ok_or(Error::OutOfNumbers)?;
        let offset = start.offset + frame.frame_bytes();
        let header = open.frame_header(start, self.durability.point);
        let (bytes, chain) = frame.encode(link, header, open.header.life, start.offset);
        open.watched.file.write_all(bytes, FIRST_FRAME_OFFSET)?;
        open.index.note(start.offset, start.next, open.index.since_unix_ns);
        Ok(Tip { offset, chain, next })
    }

    /// The LINK of `open` is written, from `start` on it takes frames. `room` came with the spare: nothing is allocated.
    fn enter(&mut self, open: OpenSegment, start: Tip, room: Arc<Vec<Span>>) {
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
        let shortened = self.shrink.take_shortened(self.segments.last_number());
        self.segments.enter(span, shortened, room);
        self.durability.closed = false;
        self.rest_in_doubt = false;
        self.shrink.begun = true;
        self.orders.spare_refused = false;
        self.state = State::Open(open);
    }

    /// Removes the file of a LINK whose write failed: the LINK may be there all the same, and would cut off
    /// later entries. If the removal fails, the next append makes the file anew, which removes it for
    /// certain.
    fn void(&mut self, segment: SegmentNumber, link: &WatchedFile, directory: &dyn Directory) {
        if let State::Open(open) = &self.state {
            let unsynced = open.unsynced.then(|| open.watched.file.clone());
            self.state = State::Detached(Detached { reason: LinkReason::Reopen, unsynced });
        }
        let removed =
            link.check(directory).and_then(|()| remove(directory, SegmentName::of(segment).as_str()));
        removed.and_then(|()| sync_directory(directory)).ok();
    }
}

fn after_link(encoded: &[u8; LINK_FRAME_BYTES], next: Sequence) -> Tip {
    let chain = encoded.first_chunk().map(FrameHeader::chain_value).expect("a LINK begins with a header");
    Tip { offset: Link::end_offset(), chain, next }
}
