//! The frames of one span, by offset.

use std::sync::Arc;

use wal_format::{DataFrame, FRAME_HEADER_BYTES, FrameFault, FrameKind, Seal, SealKind};

use crate::error::{DamageKind, Error, Lost};
use crate::reader::entry::{Entry, Place};
use crate::reader::open_frame::OpenFrame;
use crate::reader::segments::bytes::{Chunk, Source};
use crate::reader::segments::reader::SegmentReader;
use crate::reader::segments::source::SegmentSource;
use crate::segment::frame::{Checked, Frame};
use crate::segment::span::{Span, Tip};
use crate::segment::walk::{self, Stop};

pub(crate) struct Frames {
    pub(crate) span: Span,
    pub(crate) reader: Arc<SegmentReader>,
    pub(crate) source: Source,
    chunk_bytes: usize,
}

impl Frames {
    /// Opens the segment of `span`. An unmapped segment is read `chunk_bytes` at a time, into `chunk`.
    pub(crate) fn open(
        segments: &dyn SegmentSource,
        span: Span,
        chunk: impl FnOnce() -> Chunk,
        chunk_bytes: usize,
    ) -> Result<Frames, Error> {
        let reader = segments.segment(&span)?;
        let source = Source::new(&reader.backing, span.end.offset, chunk, chunk_bytes);
        Ok(Frames { span, reader, source, chunk_bytes })
    }

    /// Moves the end of the same segment, forward or back, but not before what was read.
    pub(crate) fn extend(&mut self, span: Span) {
        debug_assert_eq!(span.life, self.span.life, "another life has other frames");
        self.source.limit = span.end.offset;
        self.span = span;
    }

    /// Checks the header alone.
    pub(crate) fn find(&mut self, offset: u64) -> Checked<Frame> {
        let bytes = self.source.at(offset, FRAME_HEADER_BYTES as u64)?;
        match Frame::decode(bytes, self.span.life, self.span.checksum, offset) {
            Ok(frame) if frame.end > self.span.end.offset => Ok(Err(FrameFault::Short)),
            decoded => Ok(decoded),
        }
    }

    /// The DATA frame after `tip`, by its header, if that is in memory and nothing is wrong with it: the usual case, to which
    /// [`Frames::find`] and [`Tip::advance`] have the others.
    #[inline(always)]
    pub(crate) fn next_data(&self, tip: &Tip) -> Option<Frame> {
        let bytes = self.source.held(tip.offset)?;
        let found = Frame::next_data(bytes, self.span.life, self.span.checksum, tip)?;
        (found.end <= self.span.end.offset).then_some(found)
    }

    /// The entries of that frame, if all of it is in memory, and whole but for its payloads.
    #[inline(always)]
    pub(crate) fn whole_entries(&self, frame: &Frame) -> Option<OpenFrame> {
        let bytes = self.source.held(frame.offset)?;
        let is_whole = DataFrame::decode(bytes, &frame.header, self.span.checksum).is_ok();
        is_whole.then(|| self.entries(frame))
    }

    /// All bytes of a frame. Memory for a large frame is allocated only after the frame was checked: its
    /// header alone is not trusted.
    pub(crate) fn bytes(&mut self, frame: &Frame) -> Checked<&[u8]> {
        let frame_bytes = frame.end - frame.offset;
        if let Some(file) = self.source.file()
            && frame_bytes > self.chunk_bytes as u64
        {
            let tip = frame.before();
            let walked = walk::walk(file, self.span.life, self.span.checksum, tip, frame.end)?;
            if let Stop::Fault(fault) = walked.stop
                && walked.tip == tip
            {
                return Ok(Err(fault));
            }
        }
        self.source.at(frame.offset, frame_bytes).map(Ok)
    }

    /// Checks all of a frame except its payloads, which are checked as their entries are returned. Returns
    /// whether frames may follow it.
    pub(crate) fn check(&mut self, frame: &Frame) -> Checked<bool> {
        let checksum = self.span.checksum;
        let bytes = match self.bytes(frame)? {
            Ok(bytes) => bytes,
            Err(fault) => return Ok(Err(fault)),
        };
        Ok(match frame.header.kind {
            FrameKind::Data => DataFrame::decode(bytes, &frame.header, checksum).map(|_| true),
            FrameKind::Seal => Seal::decode(bytes, &frame.header).map(|seal| seal.kind == SealKind::Close),
            FrameKind::Extension(_) if frame.header.vouches_for_body(bytes) => Ok(true),
            FrameKind::Extension(_) => Err(FrameFault::Table),
            FrameKind::Link => Err(FrameFault::Order),
        })
    }

    /// The entries of a DATA frame that [`Frames::check`] has just accepted. They lie in the bytes of the source until it
    /// reads others.
    #[inline]
    pub(crate) fn entries(&self, frame: &Frame) -> OpenFrame {
        OpenFrame::new(self.source.index(frame.offset), &frame.header, self.span.checksum, frame.offset)
    }

    /// The entry at a place in the bytes of the source.
    #[inline]
    pub(crate) fn own(&self, place: Place) -> Entry {
        Entry { place, bytes: self.source.bytes().clone() }
    }

    /// Of the entry that the last step in a frame came to.
    #[cold]
    pub(crate) fn damaged_entry(&self, frame: &OpenFrame) -> Error {
        self.damaged(frame.offset, Lost::one(frame.sequence()), DamageKind::Frame(frame.fault()))
    }

    pub(crate) fn damaged(&self, offset: u64, lost: Lost, kind: DamageKind) -> Error {
        Error::Damaged(self.reader.file.damage(offset, Some(lost), kind))
    }
}
