//! Reads one span forward: frame by frame, each checked before its entries are returned.

use wal_format::{FRAME_ALIGN, FrameFault, FrameKind, Sequence};

use crate::error::{DamageKind, Error, Lost};
use crate::reader::entry::Place;
use crate::reader::find_frame::{beyond, place};
use crate::reader::frames::Frames;
use crate::reader::open_frame::{OpenFrame, Run};
use crate::reader::segments::bytes::Chunk;
use crate::reader::segments::source::SegmentSource;
use crate::segment::span::{Span, Tip};

const CHUNK_BYTES: usize = 256 << 10;

pub(crate) struct Forward {
    pub(crate) frames: Frames,
    tip: Tip,
    /// The first number of the frame that ends at the tip; `None` right after a jump.
    last_first: Option<Sequence>,
    frame: Option<OpenFrame>,
}

impl Forward {
    /// Begins at the frame that holds `from`, or at the last whole one before it. Earlier frames are not
    /// read, so damage in them does not keep a reader from what follows. Where the search finds none, begins
    /// at the index point.
    pub(crate) fn begin(segments: &dyn SegmentSource, span: Span, from: Sequence) -> Result<Forward, Error> {
        let frames = Frames::open(segments, span, Chunk::default, CHUNK_BYTES)?;
        let mut reading = Forward { frames, tip: span.start, last_first: Some(span.start.next), frame: None };
        let is_inside = span.start.next < from && from < span.end.next;
        // A search that fails to read is an error only if the walk from the index point fails too.
        let arrived = if is_inside { place(segments, span, from).unwrap_or(None) } else { None };
        let tip = match arrived {
            None => reading.indexed(from)?,
            tip => tip,
        };
        if let Some(tip) = tip {
            reading.jump(tip);
        }
        Ok(reading)
    }

    fn jump(&mut self, tip: Tip) {
        (self.tip, self.last_first) = (tip, None);
    }

    /// Whether entry `next` is still ahead. It is not if the reader skipped it because of a cut that turned
    /// out to be none.
    pub(crate) fn can_reach(&self, next: Sequence) -> bool {
        self.frame.is_some() || self.tip.next <= next
    }

    /// Whether the read went beyond the present end of the segment: it passed a SEAL that is void now.
    pub(crate) fn is_passed(&self, next: Sequence) -> bool {
        let end = self.frames.span.end;
        self.tip.offset > end.offset && next >= end.next
    }

    /// The place of the next entry whose number is at least `from`, in the bytes of the source.
    #[inline]
    pub(crate) fn next(&mut self, from: Sequence) -> Result<Option<Place>, Error> {
        loop {
            let Some(frame) = &mut self.frame else {
                if self.open_frame()? {
                    continue;
                }
                return Ok(None);
            };
            match frame.next(self.frames.source.bytes(), from) {
                Ok(None) => self.frame = None,
                // A cut may lie inside the last frame: its entries after the cut are void.
                Ok(Some(entry)) if entry.sequence >= self.frames.span.end.next => self.frame = None,
                Ok(Some(entry)) => return Ok(Some(entry)),
                Err((sequence, fault)) => {
                    let kind = DamageKind::Frame(fault);
                    return Err(self.frames.damaged(frame.offset, Lost::one(sequence), kind));
                }
            }
        }
    }

    /// The entry at `first`, which [`Forward::next`] has just returned, and the ones after it in its frame whose numbers are
    /// below `before`, as far as they are whole.
    pub(crate) fn run(&mut self, first: Place, before: Sequence) -> Option<Run> {
        let before = before.min(self.frames.span.end.next);
        self.frame.as_mut().map(|frame| frame.run(self.frames.source.bytes(), first, before))
    }

    /// Moves past the next DATA frame, whose entries come next; returns whether there is one.
    fn open_frame(&mut self) -> Result<bool, Error> {
        loop {
            let Tip { offset, chain, next } = self.tip;
            let Tip { offset: end, chain: end_chain, next: end_next } = self.frames.span.end;
            let all = Lost::between(next, end_next.max(next));
            if offset == end {
                if chain != end_chain {
                    let kind = DamageKind::Frame(FrameFault::Order);
                    return Err(self.frames.damaged(offset, all, kind));
                }
                let stated = self.last_first.and_then(|first| self.frames.span.contradiction(first, next));
                if let Some((lost, kind)) = stated {
                    return Err(self.frames.damaged(offset, lost, kind));
                }
                return Ok(false);
            }
            let bad = |fault| (offset, DamageKind::Frame(fault));
            let (bad_offset, kind) = match self.frames.find(offset)? {
                Err(fault) => bad(fault),
                Ok(frame) => match (self.tip.advance(&frame), self.frames.check(&frame)?) {
                    (Ok(after), Ok(goes_on)) => {
                        self.tip = after;
                        self.last_first = Some(frame.header.first);
                        if frame.header.kind == FrameKind::Data {
                            self.frame = Some(self.frames.entries(&frame));
                            return Ok(true);
                        }
                        if goes_on || frame.end == end {
                            continue;
                        }
                        (frame.end, DamageKind::Contradiction("frames follow a final SEAL"))
                    }
                    (Err(fault), _) | (_, Err(fault)) => bad(fault),
                },
            };
            let rest = bad_offset + FRAME_ALIGN..end;
            let found = beyond(&mut self.frames, rest, next..end_next.max(next))?;
            let lost = found.map_or(all, |found| Lost::between(next, found.header.first));
            return Err(self.frames.damaged(bad_offset, lost, kind));
        }
    }

    /// The last index point before `from`. An invalid index is no error: a walk from the start of the segment
    /// finds the entry too.
    fn indexed(&mut self, from: Sequence) -> Result<Option<Tip>, Error> {
        let points = &self.frames.reader.points;
        let Some(at) = points.partition_point(|point| point.first <= from).checked_sub(1) else {
            return Ok(None);
        };
        let point = points[at];
        let frame = self.frames.find(point.offset)?.ok();
        Ok(frame.map(|frame| frame.before()).filter(|tip| tip.next == point.first))
    }
}
