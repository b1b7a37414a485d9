//! Reads one span backward: one stretch between two index points at a time.
//!
//! ```text
//!            point           point                    end
//!   │ frames  │ frames        │ frames          SEAL   │
//!                             ├───▶ headers, in order ─┤   the chain holds, and ends where it should
//!                             ◀── frames, last one first
//!             ├───▶ ──────────┤
//!             ◀──────
//! ```
//!
//! A frame names the one before it by chain value, not by offset. So the reader first walks a stretch forward
//! and notes the offsets of its frames; the memory for them does not grow with the log, except where damage
//! hides the index. Without an index, one pass over the headers replaces it. Damage ends the iterator, after
//! everything that follows the damage was returned.

use wal_format::{FRAME_ALIGN, FrameFault, FrameKind, INDEX_SPACING_BYTES, IndexPoint, Sequence};

use crate::error::{DamageKind, Error, Lost};
use crate::reader::entry::Place;
use crate::reader::find_frame::beyond;
use crate::reader::frames::Frames;
use crate::reader::open_frame::{OpenFrame, Step};
use crate::reader::segments::bytes::Chunk;
use crate::reader::segments::source::SegmentSource;
use crate::segment::frame::{Checked, Frame};
use crate::segment::span::{Span, Tip};

/// Read size of an unmapped segment: a stretch, and the end of its last frame.
const CHUNK_BYTES: usize = 128 << 10;

pub(crate) struct Backward {
    pub(crate) frames: Frames,
    /// Points from a pass over the headers, where the segment has no index.
    own_points: Vec<IndexPoint>,
    /// How many stretches were not begun yet.
    stretches: usize,
    /// Where the next stretch ends, and whether the chain value there is known: an index point states none.
    until: Tip,
    is_chained: bool,
    /// Whether the next stretch is walked to its end, or only to the wanted entry.
    whole: bool,
    /// Offsets of the frames that were not returned yet, in order.
    offsets: Vec<u64>,
    /// The damage before the first of them.
    broken: Option<Error>,
    frame: Option<OpenFrame>,
}

impl Backward {
    /// Reads the entries of `span` before `before`. With `whole`, also checks what follows them.
    pub(crate) fn begin(
        segments: &dyn SegmentSource,
        span: Span,
        before: Sequence,
        whole: bool,
    ) -> Result<Backward, Error> {
        let mut frames = Frames::open(segments, span, Chunk::default, CHUNK_BYTES)?;
        // There is no index after the last SEAL.
        let indexed = frames.reader.points.last().map_or(span.start.offset, |last| last.offset);
        let has_index = span.end.offset.saturating_sub(indexed) <= 2 * INDEX_SPACING_BYTES;
        let own_points = if has_index { Vec::new() } else { points(&mut frames)? };
        let (until, is_chained) = (span.end, true);
        let (offsets, broken, frame) = (Vec::new(), None, None);
        let mut backward =
            Backward { frames, own_points, stretches: 0, until, is_chained, whole, offsets, broken, frame };
        let points = backward.points();
        let wanted = if whole { points.len() } else { points.partition_point(|point| point.first < before) };
        backward.stretches = 1 + wanted;
        if let Some(after) = backward.points().get(wanted) {
            let until = Tip { offset: after.offset, chain: 0, next: after.first };
            (backward.until, backward.is_chained) = (until, false);
        }
        Ok(backward)
    }

    fn points(&self) -> &[IndexPoint] {
        if self.own_points.is_empty() { &self.frames.reader.points } else { &self.own_points }
    }

    pub(crate) fn next_back(&mut self, before: Sequence) -> Result<Option<Place>, Error> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.next_back(self.frames.source.bytes(), before) {
                    Step::End => self.frame = None,
                    Step::Entry => return Ok(Some(frame.place())),
                    Step::Damaged => return Err(self.frames.damaged_entry(frame)),
                }
            } else if let Some(offset) = self.offsets.pop() {
                self.open_frame(offset, before)?;
            } else if let Some(broken) = self.broken.take() {
                return Err(broken);
            } else if !self.begin_stretch(before)? {
                return Ok(None);
            }
        }
    }

    fn open_frame(&mut self, offset: u64, before: Sequence) -> Result<(), Error> {
        let (lost, fault) = match self.frames.find(offset)? {
            // Its header was valid a moment ago.
            Err(fault) => (Lost::between(self.until.next, before), fault),
            Ok(found) => match self.frames.check(&found)? {
                Ok(_) => {
                    self.frame = Some(self.frames.entries(&found));
                    return Ok(());
                }
                Err(fault) => {
                    let next = found.header.next_sequence().unwrap_or(before);
                    (Lost::between(found.header.first, next.min(self.frames.span.end.next)), fault)
                }
            },
        };
        Err(self.frames.damaged(offset, lost, DamageKind::Frame(fault)))
    }

    fn begin_stretch(&mut self, before: Sequence) -> Result<bool, Error> {
        while let Some(stretch) = self.stretches.checked_sub(1) {
            self.stretches = stretch;
            let start = match stretch.checked_sub(1).map(|at| self.points()[at]) {
                None => self.frames.span.start,
                Some(point) => match self.frames.find(point.offset)? {
                    Ok(frame) if frame.header.first == point.first => frame.before(),
                    // Either the point is wrong or the frame is damaged. The walk from the point before it
                    // finds out.
                    _ => continue,
                },
            };
            self.walk(start, before)?;
            (self.until, self.is_chained) = (start, true);
            self.whole = true;
            return Ok(true);
        }
        Ok(false)
    }

    fn walk(&mut self, start: Tip, before: Sequence) -> Result<(), Error> {
        let until = self.until;
        let mut tip = start;
        let mut last_first = start.next;
        let mut goes_on = true;
        while tip.offset != until.offset && (self.whole || tip.next < before) {
            let lost = Lost::between(tip.next, until.next.max(tip.next));
            if !goes_on {
                let kind = DamageKind::Contradiction("frames follow a final SEAL");
                return Err(self.frames.damaged(tip.offset, lost, kind));
            }
            let next = match self.frames.find(tip.offset)? {
                Ok(frame) => self.follows(&frame, tip)?.map(|(after, goes_on)| (frame, after, goes_on)),
                Err(fault) => Err(fault),
            };
            let (frame, after, may_be_followed) = match next {
                Ok(next) => next,
                Err(fault) => {
                    let kind = DamageKind::Frame(fault);
                    let rest = tip.offset + FRAME_ALIGN..until.offset;
                    let Some(found) = beyond(&mut self.frames, rest, tip.next..until.next.max(tip.next))?
                    else {
                        return Err(self.frames.damaged(tip.offset, lost, kind));
                    };
                    let lost = Lost::between(tip.next, found.header.first);
                    self.broken = Some(self.frames.damaged(tip.offset, lost, kind));
                    self.offsets.clear();
                    tip = found.before();
                    continue;
                }
            };
            goes_on = may_be_followed;
            if frame.header.kind == FrameKind::Data {
                self.offsets.push(frame.offset);
            }
            last_first = frame.header.first;
            tip = after;
        }
        if tip.offset != until.offset {
            return Ok(());
        }
        let chained = !self.is_chained || until.chain == tip.chain;
        if chained && until.offset == self.frames.span.end.offset {
            let contradiction = self.frames.span.contradiction(last_first, tip.next);
            return contradiction
                .map_or(Ok(()), |(lost, kind)| Err(self.frames.damaged(tip.offset, lost, kind)));
        }
        if chained && tip.next >= until.next {
            return Ok(());
        }
        let lost = Lost::between(start.next, until.next.max(start.next));
        Err(self.frames.damaged(tip.offset, lost, DamageKind::Frame(FrameFault::Order)))
    }

    /// The tip after `frame`, if that must stand at `tip`; and whether frames may follow it.
    fn follows(&mut self, frame: &Frame, tip: Tip) -> Checked<(Tip, bool)> {
        let after = match tip.advance(frame) {
            Ok(after) if after.offset <= self.until.offset => after,
            _ => return Ok(Err(FrameFault::Order)),
        };
        // Tables of DATA frames are checked when their entries are read.
        let checked =
            if frame.header.kind == FrameKind::Data { Ok(true) } else { self.frames.check(frame)? };
        Ok(checked.map(|goes_on| (after, goes_on)))
    }
}

/// The index points of this span, as far as its frames can be followed. The walk from the last point reports
/// what is wrong with the frames.
fn points(frames: &mut Frames) -> Result<Vec<IndexPoint>, Error> {
    let stretch = |offset: u64| offset / INDEX_SPACING_BYTES;
    let Span { start, end, .. } = frames.span;
    let mut points = frames.reader.points.clone();
    let indexed = points.last().map(|last| (last.offset, last.first));
    let (mut offset, mut next) = indexed.unwrap_or((start.offset, start.next));
    let mut last = offset;
    while offset < end.offset
        && let Ok(found) = frames.find(offset)?
        && found.header.first == next
        && let Some(after) = found.header.next_sequence()
    {
        if found.header.kind == FrameKind::Data && stretch(last) < stretch(offset) {
            points.push(IndexPoint { offset, first: next, unix_ns: 0 });
            last = offset;
        }
        (offset, next) = (found.end, after);
    }
    Ok(points)
}
