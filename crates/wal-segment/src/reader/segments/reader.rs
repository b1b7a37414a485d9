//! A segment open for reading: its mapping or its file, and its index.
//!
//! Invariant: only a closed segment is mapped, and its file stays locked against recycling while the mapping
//! lives. The index has passed its checksum and is in order; readers check where its points lead.

use std::sync::Arc;

use wal_format::{FRAME_HEADER_BYTES, FrameHeader, IndexPoint, Life, Seal, SegmentNumber};

use crate::error::Error;
use crate::files::named::Named;
use crate::io::{Directory, Mapping};
use crate::reader::segments::bytes::{Backing, Chunk, Mapped, Source};
use crate::segment::file::open_span;
use crate::segment::span::Span;

/// A segment that is open for reading.
#[derive(Debug)]
pub struct SegmentReader {
    pub(crate) file: Named,
    pub(crate) backing: Backing,
    /// From the SEALs, in order, without the point at the span's start. Empty when the segment has no SEAL or
    /// its index is invalid: then a reader uses the frames alone.
    pub(crate) points: Vec<IndexPoint>,
    life: Life,
    closed: bool,
}

impl SegmentReader {
    /// Opens the segment of a span. A closed one that cannot be mapped is read with positional reads, and
    /// `refused` gets the error.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the file is missing or shorter than the span's end; [`Error::Io`].
    pub fn open(
        directory: &dyn Directory,
        span: &Span,
        mapped: bool,
        refused: &mut Option<Error>,
    ) -> Result<Arc<SegmentReader>, Error> {
        let file = open_span(directory, span)?;
        let mapping = if mapped && span.closed { map(&file, span, refused) } else { None };
        let backing = match mapping {
            Some(mapping) => Backing::Mapped(Arc::new(Mapped { mapping, _locked: file.clone() })),
            None => Backing::File(file.clone()),
        };
        // An index can be rebuilt: without it, reads are slower.
        let points = index(&backing, span);
        Ok(Arc::new(SegmentReader { file, backing, points, life: span.life, closed: span.closed }))
    }

    pub(crate) fn number(&self) -> SegmentNumber {
        self.life.segment
    }

    /// Whether readers of `span` can use this: since it was opened, the file may have been made anew or
    /// closed, or a cut may have moved the end of the log back in it.
    pub(crate) fn serves(&self, span: &Span) -> bool {
        let reaches = match &self.backing {
            Backing::Mapped(mapping) => mapping.len() as u64 >= span.end.offset,
            Backing::File(_) => true,
        };
        let within = self.points.last().is_none_or(|point| point.offset < span.end.offset);
        self.life == span.life && reaches && within && (self.closed || !span.closed)
    }
}

/// Maps a span. Some file systems cannot (9p, FUSE with direct I/O, vboxsf), and the address space or the
/// number of mappings may be used up.
fn map(file: &Named, span: &Span, refused: &mut Option<Error>) -> Option<Mapping> {
    file.map(span.end.offset).map_err(|error| *refused = Some(error)).ok()
}

/// The valid index points of a segment, from its last SEAL back to the first one that has any. Invalid points
/// are left out.
fn index(backing: &Backing, span: &Span) -> Vec<IndexPoint> {
    let mut source = Source::new(backing, span.end.offset, Chunk::default, 0);
    let mut before = span.seal_offset;
    let mut limit = span.end.offset;
    let mut backward: Vec<IndexPoint> = Vec::new();
    while let Some(seal_offset) = before.filter(|&offset| offset < limit) {
        let seen = backward.len();
        before = push_points(&mut source, span, seal_offset, &mut backward);
        // Later points are known already, so each must lie before the one seen last.
        let mut last = seen.checked_sub(1).map(|at| backward[at]);
        let is_in_order = |point: &IndexPoint| {
            let before_last = last.is_none_or(|last| point.offset < last.offset && point.first < last.first);
            last = Some(*point);
            before_last && point.offset > span.start.offset && point.first > span.start.next
        };
        if !backward[seen..].iter().all(is_in_order) {
            backward.truncate(seen);
        }
        limit = seal_offset;
    }
    backward.reverse();
    backward
}

/// Appends the points of the SEAL at this offset, the last one first. Returns the SEAL before it that has
/// points.
fn push_points(
    source: &mut Source,
    span: &Span,
    seal_offset: u64,
    backward: &mut Vec<IndexPoint>,
) -> Option<u64> {
    let bytes = source.at(seal_offset, FRAME_HEADER_BYTES as u64).ok()?;
    let header = FrameHeader::decode(bytes, span.life, seal_offset).ok()?;
    let seal_bytes = header.layout(span.checksum).end;
    if seal_offset + seal_bytes > span.end.offset {
        return None;
    }
    let frame = source.at(seal_offset, seal_bytes).ok()?;
    let seal = Seal::decode(frame, &header).ok()?;
    if let Ok(index) = seal.index(frame) {
        let points: Option<Vec<IndexPoint>> = index.points().map(Result::ok).collect();
        let is_start = |point: &IndexPoint| point.offset == span.start.offset;
        let points = points.unwrap_or_default().into_iter().rev();
        backward.extend(points.filter(|point| !is_start(point) && point.offset < seal_offset));
    }
    seal.previous
}
