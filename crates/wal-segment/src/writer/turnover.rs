//! From one segment to the next: SEAL, LINK, cut.
//!
//! ```text
//! rollover   SEAL ─▶ sync ─▶ next segment prepared ─▶ LINK + first frame in one write
//! reopen                     next segment prepared ─▶ LINK + first frame in one write
//! cut        sync ─▶         next segment prepared ─▶ LINK alone ─▶ sync ─▶ anchor ─▶ frames
//! ```
//!
//! Whatever fails before the LINK is written leaves the log where it was.

use std::sync::Arc;

use wal_format::{
    FIRST_FRAME_OFFSET, FrameHeader, INDEX_SPACING_BYTES, LINK_FRAME_BYTES, Link, LinkReason, Predecessor,
    Sequence, encode_data_frame, encode_seal_frame, seal_frame_bytes,
};

use super::open_segment::OpenSegment;
use super::{Detached, Payloads, Tail, Writer, frame_buffer, point, sync_once};
use crate::anchor_file::AnchorFile;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::named::Named;
use crate::rules::Rule;
use crate::span::{Span, Tip};
use crate::spare::{self, Order};

/// The first segment of a log is no longer than this, and each later one at most four times as long as
/// what its predecessor held, until they reach the configured size: a log of one line stays small.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENT_GROWTH: u64 = 4;

/// A prepared segment and the LINK that will begin it.
struct Begun {
    link: Link,
    open: OpenSegment,
}

/// How long a segment must be to hold a frame of this size.
pub(super) fn needed_bytes(frame_bytes: u64) -> u64 {
    Link::end_offset() + frame_bytes + seal_frame_bytes(2)
}

impl Writer {
    /// Seals the full segment and makes all of it durable.
    pub(super) fn seal(&mut self) -> Result<(), Error> {
        let file = self.write_seal()?;
        if self.rules.keeps(Rule::LinkAfterSync)
            && let Some(file) = file
        {
            sync_once(&file, self.rules).map_err(|error| self.poison(error))?;
            let segment = self.spans.last().map(|span| span.life.segment);
            self.synced(point(segment.expect("a sealed segment is in the log"), self.end));
        }
        if let Tail::Detached(detached) = &mut self.tail {
            detached.unsynced = None;
        }
        Ok(())
    }

    /// Writes the SEAL; from then on the log is detached. Returns the file, which is to be synced.
    pub(super) fn write_seal(&mut self) -> Result<Option<Named>, Error> {
        let Tail::Open(open) = &mut self.tail else { return Ok(None) };
        let offset = self.end.offset;
        let header = open.frame_header(self.end, self.durable);
        let seal_bytes = seal_frame_bytes(open.index.len());
        let buffer = frame_buffer(&mut self.buffer, seal_bytes);
        let chain = encode_seal_frame(buffer, header, open.header.life, offset, &open.index);
        if let Err(error) = open.file.write_all(buffer, offset) {
            self.write_failed();
            return Err(error);
        }
        let file = open.file.clone();
        self.end = Tip { offset: offset + seal_bytes, chain, next: self.end.next };
        self.end_last_span(Some(offset));
        let unsynced = Some(file.clone());
        self.tail = Tail::Detached(Detached { reason: LinkReason::Rollover, unsynced });
        Ok(Some(file))
    }

    /// Begins a segment whose LINK and first frame are one write.
    pub(super) fn begin_with<'a>(
        &mut self,
        payloads: impl Payloads<'a>,
        frame_bytes: u64,
    ) -> Result<Sequence, Error> {
        let begun = self.prepare_next(frame_bytes)?;
        let Begun { link, mut open } = begun;
        let life = open.header.life;
        let encoded = link.encode(life);
        let after_link = Tip {
            offset: Link::end_offset(),
            chain: encoded.first_chunk().map(FrameHeader::chain_value).expect("a LINK begins with a header"),
            next: self.end.next,
        };
        let buffer = frame_buffer(&mut self.buffer, LINK_FRAME_BYTES as u64 + frame_bytes);
        let (link_part, frame_part) = buffer.split_at_mut(LINK_FRAME_BYTES);
        link_part.copy_from_slice(&encoded);
        let header = open.frame_header(after_link, self.durable);
        let count = payloads.clone().count() as u64;
        let chain =
            encode_data_frame(frame_part, header, life, after_link.offset, open.header.checksum, payloads);
        // If this fails the log stays detached, and the next attempt prepares the file with a new salt.
        open.file.write_all(buffer, FIRST_FRAME_OFFSET)?;
        let first = self.end.next;
        open.note(after_link.offset, first);
        self.enter(open, after_link);
        let next = first.advance(count).ok_or(Error::OutOfNumbers)?;
        self.end = Tip { offset: after_link.offset + frame_bytes, chain, next };
        if !self.rules.keeps(Rule::SpareAfterLink) {
            let order = self.order(frame_bytes)?;
            spare::prepare(self.directory.as_ref(), order, self.rules)?;
        }
        Ok(first)
    }

    /// Publishes that the log ends where it ends, by a LINK that is durable, and anchored, before
    /// anything behind it is accepted.
    pub(super) fn publish_cut(&mut self, frame_bytes: u64) -> Result<(), Error> {
        let Begun { link, open } = self.prepare_next(frame_bytes)?;
        let encoded = link.encode(open.header.life);
        open.file.write_all(&encoded, FIRST_FRAME_OFFSET)?;
        sync_once(&open.file, self.rules).map_err(|error| self.poison(error))?;
        let after_link = Tip {
            offset: Link::end_offset(),
            chain: encoded.first_chunk().map(FrameHeader::chain_value).expect("a LINK begins with a header"),
            next: self.end.next,
        };
        let segment = open.header.life.segment;
        self.enter(open, after_link);
        self.anchor_owed = self.rules.keeps(Rule::CutAnchored);
        self.synced(point(segment, after_link));
        if self.anchor_owed { self.write_anchor() } else { Ok(()) }
    }

    /// Prepares the next segment and the LINK that will begin it.
    fn prepare_next(&mut self, frame_bytes: u64) -> Result<Begun, Error> {
        let Tail::Detached(Detached { reason, unsynced }) = &self.tail else {
            unreachable!("a segment is begun only when none is open")
        };
        let reason = *reason;
        if self.rules.keeps(Rule::LinkAfterSync)
            && let Some(file) = unsynced.clone()
        {
            sync_once(&file, self.rules).map_err(|error| self.poison(error))?;
            if let Some(span) = self.spans.last() {
                self.synced(point(span.life.segment, self.end));
            }
        }
        if !self.anchor_proven {
            let catalog = Catalog::read(self.directory.as_ref())?;
            self.anchor = AnchorFile::remake(self.directory.as_ref(), &catalog, *self.anchor.last())?;
            self.anchor_proven = true;
        }
        let order = self.order(frame_bytes)?;
        let spare = spare::prepare(self.directory.as_ref(), order, self.rules)?;
        let link = Link {
            reason,
            predecessor: self.spans.last().map(|span| Predecessor {
                segment: span.life.segment,
                end_offset: self.end.offset,
                seal_offset: span.seal_offset,
            }),
            chain: self.end.chain,
            next: self.end.next,
        };
        let points = usize::try_from(spare.capacity / INDEX_SPACING_BYTES).unwrap_or(usize::MAX);
        let open = OpenSegment {
            file: spare.file,
            header: spare.header,
            capacity: spare.capacity,
            // A point for each stretch, and no allocation while frames are appended.
            index: Vec::with_capacity(points + 2),
            unsynced: true,
        };
        Ok(Begun { link, open })
    }

    /// What the next segment must be like to take a frame of this size.
    fn order(&self, frame_bytes: u64) -> Result<Order, Error> {
        let last = self.spans.last();
        let number = match last {
            None => self.first_segment,
            Some(span) => span.life.segment.next().ok_or(Error::OutOfNumbers)?,
        };
        let grown = self.end.offset.saturating_mul(SEGMENT_GROWTH).max(FIRST_SEGMENT_BYTES);
        let bytes = self.settings.segment_bytes.min(grown).max(needed_bytes(frame_bytes));
        Ok(Order { log: self.log, number, bytes, checksum: self.settings.checksum })
    }

    /// The LINK of `open` is written: the log goes on there.
    fn enter(&mut self, open: OpenSegment, start: Tip) {
        self.end_last_span(None);
        let span = Span {
            life: open.header.life,
            checksum: open.header.checksum,
            start,
            end: start,
            seal_offset: None,
            closed: false,
        };
        Arc::make_mut(&mut self.spans).push(span);
        self.end = start;
        self.tail = Tail::Open(open);
    }
}
