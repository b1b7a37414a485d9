//! The frames of one span, by offset, and the entries of one frame in order. A single entry: `reader/get`.

use std::sync::Arc;

use wal_format::{
    ChecksumKind, DataFrame, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Seal, SealKind,
    Sequence, TableEntry,
};

use crate::error::{DamageKind, Error, Lost};
use crate::reader::entry::Entry;
use crate::reader::segments::bytes::{Backing, Bytes, Chunk, Source};
use crate::reader::segments::reader::SegmentReader;
use crate::reader::segments::source::SegmentSource;
use crate::segment::frame::{Checked, Frame};
use crate::segment::span::Span;
use crate::segment::walk::{self, Stop};

pub(crate) struct Frames {
    pub(crate) span: Span,
    pub(crate) reader: Arc<SegmentReader>,
    pub(crate) source: Source,
    chunk_bytes: usize,
}

impl Frames {
    /// Opens the segment of `span`. An unmapped segment is read `chunk_bytes` at a time.
    pub(crate) fn open(
        segments: &dyn SegmentSource,
        span: Span,
        chunk: Chunk,
        chunk_bytes: usize,
    ) -> Result<Frames, Error> {
        let reader = segments.segment(&span)?;
        let source = Source::new(reader.backing.clone(), span.end.offset, chunk, chunk_bytes);
        Ok(Frames { span, reader, source, chunk_bytes })
    }

    /// Moves the end of the same segment, forward or back, but not before what was read.
    pub(crate) fn extend(&mut self, span: Span) {
        debug_assert_eq!(span.life, self.span.life, "another life has other frames");
        self.source.limit = span.end.offset;
        self.span = span;
    }

    /// Checks the header alone.
    // In line: copies of a frame from call to call took 7 % of the time of a read by number.
    #[inline]
    pub(crate) fn find(&mut self, offset: u64) -> Checked<Frame> {
        let bytes = self.source.at(offset, FRAME_HEADER_BYTES as u64)?;
        match Frame::decode(bytes, self.span.life, self.span.checksum, offset) {
            Ok(frame) if frame.end > self.span.end.offset => Ok(Err(FrameFault::Short)),
            decoded => Ok(decoded),
        }
    }

    /// All bytes of a frame. Memory for a large frame is allocated only after the frame was checked: its
    /// header alone is not trusted.
    pub(crate) fn bytes(&mut self, frame: &Frame) -> Checked<&[u8]> {
        let frame_bytes = frame.end - frame.offset;
        if let Backing::File(file) = &self.source.backing
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

    /// The entries of a DATA frame that [`Frames::check`] has just accepted.
    pub(crate) fn entries(&self, frame: &Frame) -> OpenFrame {
        let (bytes, at) = self.source.hold(frame.offset);
        OpenFrame::new(bytes, at, &frame.header, self.span.checksum, frame.offset)
    }

    pub(crate) fn damaged(&self, offset: u64, lost: Lost, kind: DamageKind) -> Error {
        Error::Damaged(self.reader.file.damage(offset, Some(lost), kind))
    }
}

pub(crate) struct OpenFrame {
    bytes: Bytes,
    checksum: ChecksumKind,
    first: Sequence,
    /// In `bytes`: the table, and the payloads that were not returned yet.
    table_at: usize,
    payloads_start: usize,
    payloads_end: usize,
    next_row: u32,
    end_row: u32,
    pub(crate) offset: u64,
}

type Handed = Result<Option<Entry>, (Sequence, FrameFault)>;

impl OpenFrame {
    /// [`DataFrame::decode`] must have checked the frame, so that its lengths add up.
    fn new(bytes: Bytes, at: usize, header: &FrameHeader, checksum: ChecksumKind, offset: u64) -> OpenFrame {
        let table_at = at + FRAME_HEADER_BYTES;
        let payloads_start = table_at + header.entries as usize * TableEntry::bytes(checksum);
        OpenFrame {
            bytes,
            checksum,
            first: header.first,
            table_at,
            payloads_start,
            payloads_end: payloads_start + header.payload_bytes as usize,
            next_row: 0,
            end_row: header.entries,
            offset,
        }
    }

    // In line with the loop of `Forward`: what it returns is large, and passing it through memory costs a reader in order
    // a fifth of its time.
    #[inline]
    pub(crate) fn next(&mut self, from: Sequence) -> Handed {
        while self.next_row < self.end_row {
            let (index, row) = (self.next_row, self.row(self.next_row));
            let start = self.payloads_start;
            self.next_row += 1;
            self.payloads_start += row.length as usize;
            if self.number(index) >= from {
                return self.entry(index, row, start).map(Some);
            }
        }
        Ok(None)
    }

    pub(crate) fn next_back(&mut self, before: Sequence) -> Handed {
        while self.next_row < self.end_row {
            self.end_row -= 1;
            let (index, row) = (self.end_row, self.row(self.end_row));
            self.payloads_end -= row.length as usize;
            if self.number(index) < before {
                return self.entry(index, row, self.payloads_end).map(Some);
            }
        }
        Ok(None)
    }

    fn entry(&self, index: u32, row: TableEntry, start: usize) -> Result<Entry, (Sequence, FrameFault)> {
        let sequence = self.number(index);
        let end = start + row.length as usize;
        if !row.vouches_for(&self.bytes[start..end], self.checksum) {
            return Err((sequence, FrameFault::Payload { entry: index }));
        }
        Ok(Entry { sequence, bytes: self.bytes.clone(), start, end })
    }

    fn row(&self, index: u32) -> TableEntry {
        let at = self.table_at + index as usize * TableEntry::bytes(self.checksum);
        TableEntry::decode(&self.bytes[at..], self.checksum)
    }

    fn number(&self, index: u32) -> Sequence {
        self.first.advance(u64::from(index)).unwrap_or(Sequence::MAX)
    }
}
