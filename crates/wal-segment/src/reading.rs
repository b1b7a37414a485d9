//! The frames of one span, forward, each checked before its entries are handed out.

use std::sync::Arc;

use wal_format::{
    ChecksumKind, DataFrame, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, IndexPoint, Seal,
    Sequence, TableEntry,
};

use crate::catalog::segment_path;
use crate::entry::Entry;
use crate::error::{Damage, DamageKind, Error, Lost};
use crate::scan::{self, Stop};
use crate::shelf::{Shelf, open_span};
use crate::source::{Bytes, CHUNK_BYTES, Source};
use crate::span::{Span, Tip};

/// One span being read.
pub(crate) struct Reading {
    span: Span,
    source: Source,
    tip: Tip,
    /// Whether the chain value of the tip is known: not right after a jump.
    chained: bool,
    frame: Option<OpenFrame>,
}

impl Reading {
    pub(crate) fn begin(shelf: &dyn Shelf, span: Span, from: Sequence) -> Result<Reading, Error> {
        let mapping = if span.closed { shelf.mapping(&span)? } else { None };
        let source = match mapping {
            Some(mapping) => Source::Mapped(mapping),
            None => Source::File {
                file: open_span(shelf.directory(), &span)?,
                chunk: Arc::new(Vec::new()),
                chunk_start: 0,
            },
        };
        let mut reading = Reading { span, source, tip: span.start, chained: true, frame: None };
        if from > span.start.next
            && let Some(point) = reading.indexed(from)?
        {
            reading.tip = Tip { offset: point.offset, chain: 0, next: point.first };
            reading.chained = false;
        }
        Ok(reading)
    }

    /// The next entry at or beyond `from`; `None` at the end of the span.
    pub(crate) fn next(&mut self, shelf: &dyn Shelf, from: Sequence) -> Result<Option<Entry>, Error> {
        loop {
            let Some(frame) = &mut self.frame else {
                if self.open_frame(shelf)? {
                    continue;
                }
                return Ok(None);
            };
            match frame.next(from) {
                Ok(None) => self.frame = None,
                // A cut may lie inside the last frame: what stands behind it is void.
                Ok(Some(entry)) if entry.sequence >= self.span.end.next => self.frame = None,
                Ok(Some(entry)) => return Ok(Some(entry)),
                Err((sequence, fault)) => {
                    let offset = frame.offset;
                    return Err(self.damaged(shelf, offset, Lost::one(sequence), DamageKind::Frame(fault)));
                }
            }
        }
    }

    /// Moves the tip behind the next DATA frame, whose entries are handed out next; tells whether there
    /// was one.
    fn open_frame(&mut self, shelf: &dyn Shelf) -> Result<bool, Error> {
        loop {
            let Tip { offset, chain, next } = self.tip;
            let Tip { offset: end, chain: end_chain, next: end_next } = self.span.end;
            let all = Lost::between(next, end_next.max(next));
            if offset == end {
                if self.chained && chain != end_chain {
                    let kind = DamageKind::Frame(FrameFault::Order);
                    return Err(self.damaged(shelf, offset, all, kind));
                }
                return Ok(false);
            }
            let fault = match self.frame_at(offset)? {
                Err(fault) => fault,
                Ok((bytes, at, header)) => {
                    let after = header.next_sequence();
                    let follows = (!self.chained || header.previous == chain) && header.first == next;
                    let frame_end = offset + header.layout(self.span.checksum).end;
                    let (true, Some(after)) = (follows, after) else {
                        return Err(self.damaged(shelf, offset, all, DamageKind::Frame(FrameFault::Order)));
                    };
                    let own = bytes[at..].first_chunk().map(FrameHeader::chain_value);
                    let own = own.expect("a header was just decoded");
                    match self.check(&header, &bytes[at..]) {
                        Err(fault) => fault,
                        Ok(()) => {
                            self.tip = Tip { offset: frame_end, chain: own, next: after };
                            self.chained = true;
                            if header.kind != FrameKind::Data {
                                if frame_end == end {
                                    continue;
                                }
                                let kind = DamageKind::Contradiction("frames follow a SEAL");
                                return Err(self.damaged(shelf, frame_end, all, kind));
                            }
                            let checksum = self.span.checksum;
                            self.frame = Some(OpenFrame::new(bytes, at, &header, checksum, offset));
                            return Ok(true);
                        }
                    }
                }
            };
            return Err(self.damaged(shelf, offset, all, DamageKind::Frame(fault)));
        }
    }

    fn check(&self, header: &FrameHeader, bytes: &[u8]) -> Result<(), FrameFault> {
        match header.kind {
            FrameKind::Data => DataFrame::decode(bytes, header, self.span.checksum).map(|_| ()),
            FrameKind::Seal => Seal::decode(bytes, header).map(|_| ()),
            FrameKind::Link => Err(FrameFault::Order),
        }
    }

    /// The whole frame at `offset`: the bytes that it lies in, where in them, and its header.
    #[allow(clippy::type_complexity, reason = "three parts of one answer, used once")]
    fn frame_at(&mut self, offset: u64) -> Result<Result<(Bytes, usize, FrameHeader), FrameFault>, Error> {
        let limit = self.span.end.offset;
        let (bytes, at) = self.source.bytes_at(offset, FRAME_HEADER_BYTES as u64, limit)?;
        let header = match FrameHeader::decode(&bytes[at..], self.span.life, offset) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        drop(bytes);
        let frame_bytes = header.layout(self.span.checksum).end;
        if offset + frame_bytes > limit {
            return Ok(Err(FrameFault::Short));
        }
        if let Source::File { file, .. } = &self.source
            && frame_bytes > CHUNK_BYTES as u64
        {
            // Memory for all of it is taken only for a frame that is good, not for one that says so.
            let tip = Tip { offset, chain: header.previous, next: header.first };
            let walked = scan::walk(file, self.span.life, self.span.checksum, tip, offset + frame_bytes)?;
            if let Stop::Fault(fault) = walked.stop
                && walked.tip == tip
            {
                return Ok(Err(fault));
            }
        }
        let (bytes, at) = self.source.bytes_at(offset, frame_bytes, limit)?;
        Ok(Ok((bytes, at, header)))
    }

    /// The last index point in front of `from`. A bad index is no error: the walk from the start of
    /// the segment finds the entry too.
    fn indexed(&mut self, from: Sequence) -> Result<Option<IndexPoint>, Error> {
        let Some(seal_offset) = self.span.seal_offset.filter(|&offset| offset < self.span.end.offset) else {
            return Ok(None);
        };
        let Ok((bytes, at, header)) = self.frame_at(seal_offset)? else { return Ok(None) };
        let frame = &bytes[at..];
        let Ok(index) = Seal::decode(frame, &header).and_then(|seal| seal.index(frame)) else {
            return Ok(None);
        };
        let span = self.span;
        let usable = |point: &IndexPoint| {
            point.first <= from && point.first >= span.start.next && point.offset < seal_offset
        };
        let Some(point) = index.points().filter_map(Result::ok).filter(usable).last() else {
            return Ok(None);
        };
        let leads_there =
            matches!(self.frame_at(point.offset)?, Ok((_, _, header)) if header.first == point.first);
        Ok(leads_there.then_some(point))
    }

    fn damaged(&self, shelf: &dyn Shelf, offset: u64, sequences: Lost, kind: DamageKind) -> Error {
        let file = segment_path(shelf.directory(), self.span.life.segment);
        Error::Damaged(Damage { file, offset, sequences: Some(sequences), kind })
    }
}

/// A frame whose entries are being handed out.
struct OpenFrame {
    bytes: Bytes,
    checksum: ChecksumKind,
    /// In `bytes`: the next row of the table, and the payload that it describes.
    row_at: usize,
    payload_at: usize,
    next: Sequence,
    index: u32,
    entries: u32,
    /// Of the frame in its file, for messages.
    offset: u64,
}

impl OpenFrame {
    /// A frame that lies at `at` of `bytes` and was checked by [`DataFrame::decode`].
    fn new(bytes: Bytes, at: usize, header: &FrameHeader, checksum: ChecksumKind, offset: u64) -> OpenFrame {
        let row_at = at + FRAME_HEADER_BYTES;
        let payload_at = row_at + header.entries as usize * TableEntry::bytes(checksum);
        OpenFrame {
            bytes,
            checksum,
            row_at,
            payload_at,
            next: header.first,
            index: 0,
            entries: header.entries,
            offset,
        }
    }

    /// The next entry at or beyond `from`, or which one is damaged.
    fn next(&mut self, from: Sequence) -> Result<Option<Entry>, (Sequence, FrameFault)> {
        while self.index < self.entries {
            let row = TableEntry::decode(&self.bytes[self.row_at..], self.checksum);
            let (start, end) = (self.payload_at, self.payload_at + row.length as usize);
            let (sequence, entry) = (self.next, self.index);
            self.row_at += TableEntry::bytes(self.checksum);
            self.payload_at = end;
            self.index += 1;
            self.next = sequence.advance(1).unwrap_or(Sequence::MAX);
            if sequence < from {
                continue;
            }
            if self.checksum.digest(&self.bytes[start..end]) != row.digest {
                return Err((sequence, FrameFault::Payload { entry }));
            }
            return Ok(Some(Entry { sequence, bytes: self.bytes.clone(), start, end }));
        }
        Ok(None)
    }
}
