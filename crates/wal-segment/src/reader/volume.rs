//! A segment as readers hold it: its mapping or its file, and its index.
//!
//! Invariant: what a volume maps is closed, and its file is locked against being used again for as long as
//! the mapping lives. An index that is kept has passed its checksum and is in order;
//! where its points lead is checked by whoever goes there.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use wal_format::{FRAME_HEADER_BYTES, FrameHeader, IndexPoint, Life, Seal, SegmentNumber};

use crate::error::{Error, Operation, Place};
use crate::files::named::Named;
use crate::io::{Directory, Mapping};
use crate::reader::bytes::{Chunk, Source};
use crate::segment::file::open_span;
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;

/// A segment that is open for reading.
#[derive(Debug)]
pub struct Volume {
    pub(crate) held: Held,
    /// From the SEAL, in order; without the point that is the span's start. None when the segment is not
    /// sealed, or its index is bad: then a reader goes by the frames alone.
    pub(crate) points: Vec<IndexPoint>,
    life: Life,
    closed: bool,
}

/// How its bytes are reached. Either way the file stays locked for as long as they are, an entry that
/// keeps the mapping included: so nobody writes another segment under a reader.
#[derive(Debug)]
pub(crate) enum Held {
    Mapped(Arc<Mapped>),
    File(Named),
}

/// A mapping, with the handle that has the lock on its file.
#[derive(Debug)]
pub(crate) struct Mapped {
    mapping: Mapping,
    _locked: Named,
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping
    }
}

impl Volume {
    /// Opens the segment of a span. When a closed one cannot be mapped, it is read by position, and `refused` says why.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the file is missing or shorter than the span's end; [`Error::Io`].
    pub fn open(
        directory: &dyn Directory,
        span: &Span,
        mapped: bool,
        refused: &mut Option<Error>,
    ) -> Result<Arc<Volume>, Error> {
        let file = open_span(directory, span)?;
        let mapping = if mapped && span.closed { map(&file, span, refused) } else { None };
        let held = match mapping {
            Some(mapping) => Held::Mapped(Arc::new(Mapped { mapping, _locked: file })),
            None => Held::File(file),
        };
        let bare = Arc::new(Volume { held, points: Vec::new(), life: span.life, closed: span.closed });
        // The index is derived data: when it cannot be had, nothing but time is lost.
        let points = index(&bare, span);
        let bare = Arc::into_inner(bare).expect("the source that read the index is gone");
        Ok(Arc::new(Volume { points, ..bare }))
    }

    fn number(&self) -> SegmentNumber {
        self.life.segment
    }

    /// Whether readers of `span` can use this: the file may have been made anew, or closed, and the log may
    /// end earlier in it, behind a cut, than it did.
    fn serves(&self, span: &Span) -> bool {
        let reaches = match &self.held {
            Held::Mapped(mapping) => mapping.len() as u64 >= span.end.offset,
            Held::File(_) => true,
        };
        let within = self.points.last().is_none_or(|point| point.offset < span.end.offset);
        self.life == span.life && reaches && within && (self.closed || !span.closed)
    }
}

/// The mapping of a span. The system refuses it on file systems without (9p, FUSE with direct I/O, vboxsf), and where the
/// address space or the number of mappings is used up.
fn map(file: &Named, span: &Span, refused: &mut Option<Error>) -> Option<Mapping> {
    let end = usize::try_from(span.end.offset).map_err(|_| io::ErrorKind::OutOfMemory.into());
    let mapped = end.and_then(|end| file.map(end)).place(Operation::Map, || file.path.to_path_buf(), None);
    mapped.map_err(|error| *refused = Some(error)).ok()
}

/// The index points of a segment that can be believed, from its last SEAL back to the first one that has any. What is bad is
/// left out.
fn index(volume: &Arc<Volume>, span: &Span) -> Vec<IndexPoint> {
    let mut source = Source::new(Arc::clone(volume), span.end.offset, Chunk::default(), 0);
    let mut before = span.seal_offset;
    let mut limit = span.end.offset;
    let mut backward: Vec<IndexPoint> = Vec::new();
    while let Some(seal_offset) = before.filter(|&offset| offset < limit) {
        let seen = backward.len();
        before = push_points(&mut source, span, seal_offset, &mut backward);
        // Later points are known by now, so each has to lie before the one that was seen last.
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

/// Appends the points of the SEAL at this offset, the last one first. Returns the SEAL before it that has points.
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

/// Volumes of one log, a bounded number of them; the one that was used least recently goes first. One that
/// a reader still reads from stays open until the reader is done. Opens nothing itself, so that no lock on it is held
/// while the system opens a file.
#[derive(Debug)]
pub struct Volumes {
    volumes: VecDeque<Arc<Volume>>,
    capacity: usize,
    mapped: bool,
}

impl Volumes {
    /// Room for so many volumes. Closed segments are `mapped`, or read like the last one.
    #[must_use]
    pub fn new(capacity: usize, mapped: bool) -> Volumes {
        Volumes { volumes: VecDeque::with_capacity(capacity), capacity, mapped }
    }

    /// Whether closed segments are mapped.
    #[must_use]
    pub fn maps(&self) -> bool {
        self.mapped
    }

    /// From now on segments are read by position: a mapping was refused, the next one would be refused, too, and each
    /// attempt costs more than a read. Whether they were mapped until now.
    pub fn stop_mapping(&mut self) -> bool {
        std::mem::replace(&mut self.mapped, false)
    }

    /// The segment of a span, if it is here.
    pub fn get(&mut self, span: &Span) -> Option<Arc<Volume>> {
        let at = self.volumes.iter().rposition(|held| held.number() == span.life.segment)?;
        if !self.volumes[at].serves(span) {
            return None;
        }
        // Most reads are of the segment that was read last.
        if at + 1 < self.volumes.len() {
            let found = self.volumes.remove(at)?;
            self.volumes.push_back(found);
        }
        self.volumes.back().cloned()
    }

    /// Takes a volume that was opened, in the place of another one of the same segment.
    pub fn put(&mut self, volume: &Arc<Volume>) {
        self.volumes.retain(|held| held.number() != volume.number());
        if self.capacity > 0 {
            if self.volumes.len() == self.capacity {
                self.volumes.pop_front();
            }
            self.volumes.push_back(Arc::clone(volume));
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.volumes.len()
    }

    /// Gives up the one that was used least recently.
    pub fn pop_oldest(&mut self) -> Option<Arc<Volume>> {
        self.volumes.pop_front()
    }

    /// Gives up those that no reader reads from, and returns them: their files are closed with the last handle.
    pub fn take_idle(&mut self) -> Vec<Arc<Volume>> {
        let (idle, read) = self.volumes.drain(..).partition(|volume| Arc::strong_count(volume) == 1);
        self.volumes = read;
        Vec::from(idle)
    }

    /// Lets go of segments that are no part of this snapshot: a file that was removed takes space for as
    /// long as it is open. Readers keep what they have.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.volumes.retain(|held| snapshot.spans().any(|span| span.life.segment == held.number()));
    }
}
