//! Merging: many small segments at the end of the log, which short lives leave, become the beginning of one.
//!
//! ```text
//! before   … │ segment s │ s+1 │ s+2 │ … │ n-1 │
//!
//!                          ┌───── frames, copied ─────┐
//! after    … │ segment s │ n: LINK "s ends at X" │ DATA of s+1 … n-1 │ the next entry
//! ```
//!
//! In this order:
//!
//! ```text
//! small segments read, all of them checked ─▶ next segment prepared ─▶ copies behind the place of the LINK
//!   ─▶ sync ─▶ LINK: "the log before me ended in s; so much behind me is durable" ─▶ sync ─▶ anchor ─▶ files
//! ```
//!
//! Invariant: until the LINK is written the log is what it was, and the file is a prepared segment: its frames
//! claim no more durability than one may. From the LINK on it is the same log, entry for entry, in fewer files.
//!
//! The first segment is never merged. So there is always one that the LINK can name, and where the anchor says
//! that the log begins does not change.

use std::sync::Arc;

use wal_format::{
    ChecksumKind, DataFrame, FIRST_FRAME_OFFSET, FrameFault, FrameHeader, FrameKind, INDEX_SPACING_BYTES,
    Life, Link, LinkReason, MAX_SEGMENT_BYTES, Predecessor, SegmentNumber, seal_frame_bytes,
};

use super::open_segment::OpenSegment;
use super::truncate::file_bytes;
use super::turnover::{FIRST_SEGMENT_BYTES, needed_bytes};
use super::{Detached, Rolled, Tail, Writer, point, sync_once};
use crate::catalog::segment_path;
use crate::depot::Depot;
use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::frame_buffer::FrameBuffer;
use crate::io::Directory;
use crate::leftovers::remove_leftovers;
use crate::rules::Rule;
use crate::shelf::open_span;
use crate::span::{Span, Tip};

/// Fewer segments than this are not worth a copy: the same bytes are copied again with those of the next lives.
const MERGED_SEGMENTS: usize = 8;

impl Writer {
    /// Begins the next segment with the frames of the small ones in front of it, if the log was opened again
    /// and ends in many. Tells whether it did; when anything keeps it from it, the log is as it was, and goes on.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when a sync failed that the log stands on; what kept the anchor from being written
    /// behind a cut, and then the merge stands.
    pub(super) fn merge(&mut self, frame_bytes: u64, depot: &dyn Depot) -> Result<bool, Error> {
        let Tail::Detached(Detached { reason, unsynced }) = &self.tail else { return Ok(false) };
        if !matches!(reason, LinkReason::Reopen | LinkReason::Torn) {
            return Ok(false);
        }
        let (is_cut, unsynced) = (reason.is_cut(), unsynced.clone());
        let small = self.small_segments();
        if small < MERGED_SEGMENTS {
            return Ok(false);
        }
        self.sync_end(unsynced, depot)?;
        let kept = self.spans.len() - small;
        let Ok((open, encoded, spans, end)) = self.copy(kept, frame_bytes, depot) else { return Ok(false) };
        let merged: Vec<_> = self.spans[kept..].iter().map(|span| span.life.segment).collect();
        let merged_bytes = file_bytes(&self.spans[kept..]);
        // A LINK that may be there or not is void: the file is made anew before anything is accepted.
        if open.file.write_all(&encoded, FIRST_FRAME_OFFSET).is_err() {
            return Ok(false);
        }
        if !self.rules.keeps(Rule::MergeBeforeRemove) {
            remove_leftovers(depot.directory(), &merged);
        }
        sync_once(&open.file, self.rules).map_err(|error| self.poison(error))?;
        self.go_on_merged(kept, is_cut, (open, encoded, spans, end), depot);
        self.owe_anchor(merged, merged_bytes, is_cut, depot)?;
        Ok(true)
    }

    /// How many of the last segments are so small that they are merged when there are enough of them.
    fn small_segments(&self) -> usize {
        let most = FIRST_SEGMENT_BYTES.min((self.settings.segment_bytes - FIRST_FRAME_OFFSET) / 2);
        let mut held_bytes = 0;
        let ends = self.spans.iter().rev().enumerate();
        let ends = ends.map(|(age, span)| if age == 0 { self.end.offset } else { span.end.offset });
        let starts = self.spans.iter().rev().map(|span| span.start.offset);
        let small = ends.zip(starts).take_while(|(end, start)| {
            held_bytes += end - start;
            held_bytes <= most
        });
        small.count().min(self.spans.len().saturating_sub(1))
    }

    /// Prepares the next segment with the frames of all segments from `kept` on, durable, and the LINK that is
    /// to be written in front of them.
    fn copy(&self, kept: usize, frame_bytes: u64, depot: &dyn Depot) -> Result<Copied, Error> {
        let checksum = self.settings.checksum;
        let mut frames = Vec::new();
        for (index, span) in self.spans.iter().enumerate().skip(kept) {
            let is_last = index + 1 == self.spans.len();
            let span = if is_last { Span { end: self.end, ..*span } } else { *span };
            read_frames(depot.directory(), &span, checksum, &mut frames)?;
        }
        let copied_bytes: u64 = frames.iter().map(FrameBuffer::frame_bytes).sum();
        let points = usize::try_from(copied_bytes / INDEX_SPACING_BYTES).unwrap_or(usize::MAX);
        let needed = copied_bytes + frame_bytes + seal_frame_bytes(points);
        if needed_bytes(needed) > MAX_SEGMENT_BYTES {
            return Err(Error::OutOfNumbers);
        }
        let order = self.next_order(needed)?;
        if let Some(fullness) = self.fullness(order) {
            return Err(Error::Full(fullness));
        }
        let (mut open, spans) = OpenSegment::begin(self.take_spare(order, depot)?);
        let before = self.spans[kept - 1];
        let link = Link {
            reason: LinkReason::Reopen,
            predecessor: Some(Predecessor {
                segment: before.life.segment,
                end_offset: before.end.offset,
                seal_offset: before.seal_offset,
            }),
            chain: before.end.chain,
            next: before.end.next,
            durable_offset: Link::end_offset() + copied_bytes,
        };
        let encoded = link.encode(open.header.life);
        let mut end = Tip { next: before.end.next, ..self.behind(&encoded) };
        let mut bytes = Vec::with_capacity(usize::try_from(copied_bytes).map_err(|_| Error::OutOfNumbers)?);
        for frame in &mut frames {
            // It claims nothing: until the LINK is there, this is a prepared segment like any other.
            let header = open.frame_header(end, None);
            let next = end.next.advance(frame.entries()).ok_or(Error::OutOfNumbers)?;
            let (encoded, chain) = frame.encode(header, open.header.life, end.offset);
            bytes.extend_from_slice(encoded);
            open.note(end.offset, end.next);
            end = Tip { offset: end.offset + encoded.len() as u64, chain, next };
        }
        if end.next != self.end.next {
            return Err(Error::OutOfNumbers);
        }
        open.file.write_all(&bytes, Link::end_offset())?;
        if self.rules.keeps(Rule::MergeSynced) {
            // Nothing stands on it yet: when this fails, the file is made anew, as any that was prepared.
            sync_once(&open.file, self.rules)?;
        }
        Ok((open, encoded, spans, end))
    }

    /// The log is the segments in front of `kept`, and the one with what the others held.
    fn go_on_merged(&mut self, kept: usize, cut: bool, copied: Copied, depot: &dyn Depot) {
        let (open, encoded, spans, end) = copied;
        let from = self.spans.last().map(|span| span.life.segment);
        let to = open.header.life.segment;
        let before = self.spans[kept - 1];
        self.spans = Arc::new(self.spans[..kept].to_vec());
        (self.end, self.seal_offset) = (before.end, before.seal_offset);
        let after_link = self.behind(&encoded);
        self.enter(open, after_link, spans, depot);
        self.rolled = Some(Rolled { from, to, first: end.next, cut });
        self.end = end;
    }

    /// Writes the anchor; what it does without is not needed any more then. If it cannot be written, the next
    /// open removes that. Appends go on all the same, because the older files still hold the same log should the
    /// LINK be lost; not so behind a cut, because they hold more than that.
    fn owe_anchor(
        &mut self,
        merged: Vec<SegmentNumber>,
        merged_bytes: u64,
        is_cut: bool,
        depot: &dyn Depot,
    ) -> Result<(), Error> {
        self.anchor_owed = true;
        if let Some(span) = self.spans.last() {
            self.synced(point(span.life.segment, self.end), depot);
        }
        match self.write_owed_anchor(depot) {
            Ok(()) => self.unneeded.add(merged, merged_bytes),
            Err(error) if is_cut && self.rules.keeps(Rule::CutAnchored) => return Err(error),
            Err(_) => self.anchor_owed = false,
        }
        Ok(())
    }
}

/// A segment with copied frames and without its LINK; that LINK; room for the log's spans; the end of the copies.
type Copied = (OpenSegment, [u8; wal_format::LINK_FRAME_BYTES], Arc<Vec<Span>>, Tip);

/// The frames of a span, each entry of them checked. What is behind a cut inside the last one is left out.
fn read_frames(
    directory: &dyn Directory,
    span: &Span,
    checksum: ChecksumKind,
    frames: &mut Vec<FrameBuffer>,
) -> Result<(), Error> {
    let file = open_span(directory, span)?;
    let in_memory = |bytes: u64| usize::try_from(bytes).map_err(|_| Error::OutOfNumbers);
    let mut bytes = vec![0; in_memory(span.end.offset - span.start.offset)?];
    let read = file.read_at(&mut bytes, span.start.offset);
    let read = read.place(Operation::Read, || file.path.to_path_buf(), Some(span.start.offset))?;
    let bytes = &bytes[..read];
    let (mut tip, mut last_first) = (span.start, span.start.next);
    while tip.offset < span.end.offset {
        let here = &bytes[in_memory(tip.offset - span.start.offset)?.min(read)..];
        let damaged = |fault| {
            Error::Damaged(Damage {
                file: segment_path(directory, span.life.segment),
                offset: tip.offset,
                sequences: Some(Lost::between(tip.next, span.end.next)),
                kind: DamageKind::Frame(fault),
            })
        };
        let (chain, header) = follower(here, span.life, tip).map_err(damaged)?;
        if header.kind == FrameKind::Data {
            let frame = DataFrame::decode(here, &header, span.checksum).map_err(damaged)?;
            let mut copy = FrameBuffer::new(checksum, header.entries as usize, header.payload_bytes as usize);
            for entry in frame.entries() {
                let entry = entry.map_err(damaged)?;
                if entry.sequence < span.end.next {
                    copy.push(entry.payload, checksum.digest(entry.payload));
                }
            }
            if copy.entries() > 0 {
                frames.push(copy);
            }
        }
        let next = header.next_sequence().ok_or(Error::OutOfNumbers)?;
        last_first = header.first;
        tip = Tip { offset: tip.offset + header.layout(span.checksum).end, chain, next };
    }
    let ends = tip.offset == span.end.offset && tip.chain == span.end.chain;
    if ends && span.contradiction(last_first, tip.next).is_none() {
        return Ok(());
    }
    Err(Error::Damaged(Damage {
        file: segment_path(directory, span.life.segment),
        offset: tip.offset,
        sequences: Some(Lost::between(span.start.next, span.end.next)),
        kind: DamageKind::Frame(FrameFault::Order),
    }))
}

/// The header at the beginning of `bytes`, if it is that of the next frame; with its chain value.
fn follower(bytes: &[u8], life: Life, tip: Tip) -> Result<(u32, FrameHeader), FrameFault> {
    let header = FrameHeader::decode(bytes, life, tip.offset)?;
    let chain = bytes.first_chunk().map(FrameHeader::chain_value).ok_or(FrameFault::Short)?;
    let follows = header.previous == tip.chain && header.first == tip.next && header.kind != FrameKind::Link;
    if follows { Ok((chain, header)) } else { Err(FrameFault::Order) }
}
