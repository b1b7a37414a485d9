//! Reads one span forward: frame by frame, each checked before its entries are returned.

use wal_format::{FRAME_ALIGN, FrameFault, FrameKind, Sequence};

use crate::error::{DamageKind, Error, Lost};
use crate::reader::find_frame::{beyond, place};
use crate::reader::frames::Frames;
use crate::reader::lent::{Batch, EntryRef};
use crate::reader::open_frame::{OpenFrame, Step};
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

    /// Moves to the next entry, if it is known to be whole and its number is below `before`; returns its number.
    #[inline]
    pub(crate) fn next_checked(&mut self, before: Sequence) -> Option<Sequence> {
        let before = before.min(self.frames.span.end.next);
        self.frame.as_mut()?.next_checked(self.frames.source.bytes(), before)
    }

    /// Moves to the next entry whose number is at least `from`; returns whether there is one. Payloads of entries below
    /// `before` may be checked ahead.
    pub(crate) fn next(&mut self, from: Sequence, before: Sequence) -> Result<bool, Error> {
        loop {
            let Some(frame) = &mut self.frame else {
                if self.open_frame()? {
                    continue;
                }
                return Ok(false);
            };
            let end = self.frames.span.end.next;
            match frame.next(self.frames.source.bytes(), from, before.min(end)) {
                // A cut may lie inside the last frame: its entries after the cut are void.
                Step::Entry if frame.sequence() < end => return Ok(true),
                Step::Entry | Step::End => self.frame = None,
                Step::Damaged => return Err(self.frames.damaged_entry(frame)),
            }
        }
    }

    /// The number of the entry that [`Forward::next`] has come to.
    #[inline]
    pub(crate) fn sequence(&self) -> Option<Sequence> {
        self.frame.as_ref().map(OpenFrame::sequence)
    }

    /// That entry.
    #[inline]
    pub(crate) fn lend(&self) -> Option<EntryRef<'_>> {
        self.frame.as_ref().map(|frame| EntryRef::new(frame.place(), self.frames.source.bytes()))
    }

    /// That entry and the ones after it in its frame whose numbers are below `before`, as far as they are whole.
    pub(crate) fn lend_batch(&mut self, before: Sequence) -> Option<Batch<'_>> {
        let before = before.min(self.frames.span.end.next);
        let bytes = self.frames.source.bytes();
        self.frame.as_mut().map(|frame| Batch::new(frame.run(bytes, before), bytes))
    }

    /// Moves past the next DATA frame, whose entries come next; returns whether there is one.
    #[inline]
    fn open_frame(&mut self) -> Result<bool, Error> {
        if let Some(found) = self.frames.next_data(&self.tip)
            && let Some(entries) = self.frames.whole_entries(&found)
            && let Some(after) = found.after()
        {
            self.tip = after;
            self.last_first = Some(found.header.first);
            self.frame = Some(entries);
            return Ok(true);
        }
        self.open_other_frame()
    }

    /// The same for what is no whole DATA frame in memory: bytes that must be read, another frame, the end, damage.
    fn open_other_frame(&mut self) -> Result<bool, Error> {
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
