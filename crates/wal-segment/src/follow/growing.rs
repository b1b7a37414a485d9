//! The known part of the last segment of a log that another process writes.
//!
//! Frames are walked once, from the end of the last walk. Each byte of a frame is checked before the end
//! moves past it, so a frame that is being written does not count yet.
//!
//! ```text
//!  known      │ 16 │ 17 │ 18 │
//!  a failed sync, a new writer: it goes on where the device has the log end
//!  now        │ 16 │ 17'   │ 18' │ …      what stands where 18 began is not its header any more
//! ```
//!
//! A new frame names the last known one by its chain value. If no frame follows, the header of the last known
//! one is read again: frames that were written but not durable may be gone, and others may be in their place.
use std::path::PathBuf;
use std::sync::Arc;

use wal_format::{Anchor, FIRST_FRAME_OFFSET, FrameFault, Life, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::recovery::chain::open_span;
use crate::recovery::last::{number_between, walk_linked};
use crate::recovery::stated_end::last_frame;
use crate::segment::frame::Frame;
use crate::segment::head::Linked;
use crate::segment::span::{Span, Tip};
use crate::segment::walk::Stop;

#[derive(Debug)]
pub(crate) struct Growing {
    linked: Arc<Linked>,
    pub(crate) tip: Tip,
    pub(crate) seal_offset: Option<u64>,
    last_offset: Option<u64>,
    ahead_bytes: u64,
    /// Up to which offset its frames and the anchor state it to be durable, and the number there.
    durable: (u64, Sequence),
}

/// How far beyond the next frame a walk reads: little, because usually nothing is there yet, and twice as
/// much after each walk that found more. The maximum bounds how long a reader that lags waits for an entry.
const LEAST_AHEAD_BYTES: u64 = 4 << 10;
const MOST_AHEAD_BYTES: u64 = 1 << 20;

impl Growing {
    pub(crate) fn new(linked: Arc<Linked>, tip: Tip, seal_offset: Option<u64>) -> Growing {
        // Its LINK implies that everything before it is durable; its known frames may only be written.
        let durable = (linked.start.offset, linked.start.next);
        let last_offset = (tip.offset == linked.start.offset).then_some(FIRST_FRAME_OFFSET);
        Growing { linked, tip, seal_offset, last_offset, ahead_bytes: LEAST_AHEAD_BYTES, durable }
    }

    pub(crate) fn life(&self) -> Life {
        self.linked.header.life
    }

    /// The number after the entries that the LINK, the walked frames and the anchor state to be durable.
    pub(crate) fn durable(&self) -> Sequence {
        self.durable.1
    }

    /// Walks the frames after the known end; returns whether there were any. Where there are none, this is
    /// one small read.
    pub(crate) fn walk_on(&mut self) -> Result<bool, Error> {
        let Some(frame_end) = self.next_frame()? else { return Ok(false) };
        let file_bytes = self.linked.file.length()?;
        let limit = file_bytes.min(frame_end + self.ahead_bytes);
        let walked = walk_linked(&self.linked, self.tip, limit)?;
        if walked.tip == self.tip {
            return Ok(false);
        }
        let known = (self.tip.offset, self.tip.next);
        let goes_on = walked.stop == Stop::Fault(FrameFault::Short) && limit < file_bytes;
        self.ahead_bytes =
            if goes_on { MOST_AHEAD_BYTES.min(2 * self.ahead_bytes) } else { LEAST_AHEAD_BYTES };
        self.tip = walked.tip;
        self.last_offset = Some(walked.last_offset);
        self.seal_offset = walked.seal.map_or(self.seal_offset, |seal| Some(seal.offset));
        let stated = walked.stated_durable.min(walked.tip.offset);
        if stated > self.durable.0 {
            // Usually the frame states what was durable right before it, and then no header is read again.
            let (offset, number) = if known.0 <= stated { known.max(self.durable) } else { self.durable };
            self.durable = (stated, number_between(&self.linked, offset, number, stated)?);
        }
        Ok(true)
    }

    /// Whether the last known frame is gone. One read of 32 bytes; the first time it may search 1 MiB, or
    /// walk the segment.
    pub(crate) fn is_taken_back(&mut self) -> Result<bool, Error> {
        let Linked { file, header, start, .. } = self.linked.as_ref();
        let known = match self.last_offset {
            Some(offset) => Some(offset),
            None => {
                let span = Span { end: self.tip, seal_offset: self.seal_offset, ..open_span(&self.linked) };
                match last_frame(file, &span) {
                    Some(frame) => Some(frame.offset),
                    // The last frame may be longer than the searched part.
                    None => {
                        let walked = walk_linked(&self.linked, *start, self.tip.offset)?;
                        (walked.tip == self.tip).then_some(walked.last_offset)
                    }
                }
            }
        };
        let Some(offset) = known else { return Ok(true) };
        self.last_offset = known;
        let found = Frame::read(file, header.life, header.checksum, offset)?;
        Ok(!found.is_ok_and(|frame| frame.chain == self.tip.chain))
    }

    pub(crate) fn rewind(&mut self) {
        let durable = self.durable;
        let linked = Arc::clone(&self.linked);
        let start = linked.start;
        *self = Growing { durable, ..Growing::new(linked, start, None) };
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.linked.file.path.to_path_buf()
    }

    fn next_frame(&self) -> Result<Option<u64>, Error> {
        let Linked { file, header, .. } = self.linked.as_ref();
        let found = Frame::read(file, header.life, header.checksum, self.tip.offset)?;
        Ok(found.ok().filter(|frame| self.tip.advance(frame).is_ok()).map(|frame| frame.end))
    }

    /// Checks the known end against the anchor, whose statement was durable before it was read. Returns the
    /// damage if frames are missing that it names.
    pub(crate) fn hold_against(&mut self, anchor: &Anchor) -> Option<Damage> {
        let life = self.life();
        let point = anchor.durable.filter(|point| point.segment == life.segment)?;
        if anchor.active != Some((life.segment, life.salt)) {
            return None;
        }
        if point.offset > self.tip.offset {
            let lost = Lost::between(self.tip.next, point.next.max(self.tip.next));
            let kind = DamageKind::WrongEnd { expected: point.offset };
            return Some(self.linked.file.damage(self.tip.offset, Some(lost), kind));
        }
        if point.offset > self.durable.0 {
            self.durable = (point.offset, point.next);
        }
        None
    }
}
