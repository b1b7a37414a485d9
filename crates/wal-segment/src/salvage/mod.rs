//! Salvage: returns every entry of a damaged directory that verifies, and names the gaps. Changes nothing.
//!
//! ```text
//!  names, anchor, heads ──▶ plan: which files, in which order, up to where ──▶ a segment after the other
//!                           LINKs that verify are believed                     scan: what verifies in it
//!                                                                                │
//!                           entries in order, and gaps between their numbers ◀───┘
//! ```
//!
//! Invariants:
//! - Nothing is invented: an entry is returned only when its header is genuine in this life at this place,
//!   its table matches the header, and its payload the table.
//! - Every such entry is returned, once, in the order of the numbers, unless a valid LINK or anchor says that
//!   it is no part of the log.
//! - No device error and no bytes end it: they become gaps. Nothing is locked, written or removed.
//!
//! Memory is bounded by the number of segments and the largest entry. `docs/recovery.md` tells what a salvage
//! cannot know.

mod losses;
mod plan;
mod scan;
mod summary;

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_format::{FIRST_FRAME_OFFSET, FrameFault, SegmentNumber, Sequence};

pub use self::losses::Losses;
pub(crate) use self::losses::{all_losses, losses_at};
use self::plan::{CopyFile, End, Plan, Segment, plan};
use self::scan::{Fault, Scan, Verified};
pub use self::summary::{Aside, Gap, SalvageSummary, SetAside};
use crate::error::{DamageKind, Error, Lost};
use crate::files::names::segment_path;
use crate::io::Directory;
use crate::reader::entry::{Entry, Place};
use crate::reader::segments::bytes::Bytes;

/// An item of a salvage.
#[derive(Clone, Debug)]
pub enum Salvaged {
    /// An entry that verifies.
    Entry {
        /// The entry.
        entry: Entry,
        /// Whether its whole frame verifies. Otherwise it may be part of a batch.
        whole: bool,
        /// Whether the next segment states the end of its segment, or nothing is known to have followed.
        /// Otherwise a lost LINK may have cut it off.
        certain: bool,
    },
    /// Entries that cannot be read.
    Gap(Gap),
}

/// An iterator over the entries and gaps of a damaged log, in order.
pub struct Salvage<'d> {
    directory: Handle<'d>,
    /// The only file to read, besides what tells where it begins; of other files only the heads are read.
    only: Option<PathBuf>,
    segments: VecDeque<Segment>,
    open: Option<Reading>,
    /// The number of the next entry, if it is known where the log begins.
    next: Option<Sequence>,
    /// The number after the last durable entry according to the anchor, and the segment of that entry.
    durable: Option<(Sequence, Option<SegmentNumber>)>,
    /// The fault at the end of the last segment.
    broken: Option<(PathBuf, Fault)>,
    ready: VecDeque<Salvaged>,
    summary: SalvageSummary,
}

/// A directory, shared or borrowed.
type Handle<'d> = Box<dyn Deref<Target = dyn Directory + 'd> + Send + Sync + 'd>;

struct Reading {
    segment: Segment,
    copies: Vec<SegmentCopy>,
}

struct SegmentCopy {
    source: CopyFile,
    /// `None` when the file could not be opened, or has ended.
    scan: Option<Scan>,
    found: Option<Verified>,
    fault: Option<Fault>,
    reaches: Option<Sequence>,
}

/// Begins to read what verifies of the log in `directory`. Takes no lock, and needs no anchor.
///
/// # Errors
/// When the directory cannot be listed. What is wrong with the files is reported by the salvage.
pub fn salvage(directory: Arc<dyn Directory>) -> Result<Salvage<'static>, Error> {
    Salvage::begin_in(Box::new(directory), None)
}

/// The lowest number that anything states of a segment after this one.
pub(crate) fn lowest_number_after(
    directory: &dyn Directory,
    segment: SegmentNumber,
) -> Result<Option<Sequence>, Error> {
    let segments = plan(directory)?.segments;
    Ok(segments
        .into_iter()
        .find(|found| found.sources[0].life.segment == segment)
        .and_then(|found| found.before))
}

impl<'d> Salvage<'d> {
    fn begin_in(directory: Handle<'d>, only: Option<PathBuf>) -> Result<Salvage<'d>, Error> {
        let Plan { segments, anchor, summary } = plan(&**directory)?;
        Ok(Salvage {
            directory,
            only,
            segments: segments.into(),
            open: None,
            next: anchor.map(|anchor| anchor.first),
            durable: anchor.map(|anchor| match anchor.durable {
                Some(point) => (point.next, Some(point.segment)),
                None => (anchor.first, None),
            }),
            broken: None,
            ready: VecDeque::new(),
            summary,
        })
    }

    /// What was found so far.
    #[must_use]
    pub fn summary(&self) -> &SalvageSummary {
        &self.summary
    }

    fn advance(&mut self) -> bool {
        let Some(mut reading) = self.open.take() else {
            let Some(segment) = self.segments.pop_front() else { return self.finish() };
            self.begin(&segment);
            if self.passes(&segment) {
                self.next = segment.end.map(|end| end.next).or(segment.before).max(self.next);
                self.broken = None;
                return true;
            }
            let copies =
                segment.sources.iter().map(|source| SegmentCopy::open(&**self.directory, &segment, source));
            self.open = Some(Reading { copies: copies.collect(), segment });
            return true;
        };
        let from = self.next.unwrap_or(Sequence::ZERO);
        match reading.next(from) {
            Some((found, place)) => {
                self.skip_to(found.sequence, place);
                self.next = Some(found.sequence.advance(1).unwrap_or(Sequence::MAX));
                self.hand_out(found, reading.segment.certain);
                self.open = Some(reading);
            }
            None => self.end(reading),
        }
        true
    }

    /// Whether a segment is skipped: another file is asked for, and this one is known to end where that
    /// begins.
    fn passes(&self, segment: &Segment) -> bool {
        let Some(only) = &self.only else { return false };
        let is_of = |segment: &Segment| segment.sources.iter().any(|source| source.path == *only);
        let ends = segment.end.is_some() || self.segments.iter().any(is_of);
        ends && !is_of(segment)
    }

    fn begin(&mut self, segment: &Segment) {
        let Some(start) = segment.start else { return };
        let source = &segment.sources[0];
        let named = segment.link.and_then(|link| link.predecessor);
        let named = named.map(|predecessor| segment_path(&**self.directory, predecessor.segment));
        let place = match named {
            Some(path) if self.broken.as_ref().is_none_or(|(broken, _)| *broken != path) => {
                let fault = self.why_not(&path);
                (path, fault)
            }
            _ => self.broken.take().unwrap_or_else(|| {
                let kind = DamageKind::Link(FrameFault::Header);
                (source.path.clone(), Fault { offset: FIRST_FRAME_OFFSET, kind })
            }),
        };
        match self.next {
            Some(_) => self.skip_to(start, place),
            None => {
                // Without an anchor it is unknown whether the front was truncated or is lost.
                if segment.link.is_none_or(|link| !link.reason.begins_log()) {
                    self.gap(Lost::before(start), place);
                }
                self.next = Some(start);
            }
        }
    }

    /// Leaves a segment: entries that a header or the next segment names, and that were not found, are a gap.
    fn end(&mut self, reading: Reading) {
        let Reading { segment, copies } = reading;
        let named = copies.iter().filter_map(|copy| copy.reaches).max();
        let reaches = match (named, segment.before) {
            (Some(named), Some(before)) => Some(named.min(before)),
            _ => named,
        };
        let stated = segment.end.map(|end| end.next);
        let source = &segment.sources[0];
        let fault = copies.iter().find_map(|copy| copy.fault).unwrap_or(match segment.end {
            Some(end) if source.file_bytes < end.offset => {
                let kind = DamageKind::EndsEarly { expected: end.offset };
                Fault { offset: source.file_bytes, kind }
            }
            _ => Fault { offset: source.file_bytes, kind: DamageKind::Frame(FrameFault::Blank) },
        });
        let place = (source.path.clone(), fault);
        if let Some(end) = stated.max(reaches) {
            self.skip_to(end, place.clone());
        }
        self.broken = Some(place);
        if let Some(end) = segment.end
            && end.is_cut
        {
            let inside = named > Some(end.next);
            self.set_aside_after(source, end, inside, segment.link.map(|link| link.next));
        }
    }

    /// Reports genuine frames after a cut, also inside the last frame, as set aside.
    fn set_aside_after(&mut self, source: &CopyFile, end: End, inside: bool, first: Option<Sequence>) {
        let scan = source.scan(&**self.directory, first, source.file_bytes);
        let after = scan.and_then(|mut scan| scan.has_frame_from(end.offset));
        if inside || matches!(after, Ok(true)) {
            let why = Aside::Cut { by: end.by };
            self.summary.aside.push(SetAside { file: source.path.clone(), offset: end.offset, why });
        }
    }

    fn finish(&mut self) -> bool {
        let Some((durable, segment)) = self.durable.take() else { return false };
        let path = segment.map(|segment| segment_path(&**self.directory, segment));
        let place = match (self.broken.take(), path) {
            (Some((broken, fault)), path) if path.as_ref().is_none_or(|path| *path == broken) => {
                (broken, fault)
            }
            (_, Some(path)) => {
                let fault = self.why_not(&path);
                (path, fault)
            }
            (_, None) => {
                (self.directory.path().to_path_buf(), Fault { offset: 0, kind: DamageKind::Missing })
            }
        };
        self.skip_to(durable, place);
        !self.ready.is_empty()
    }

    fn skip_to(&mut self, sequence: Sequence, place: (PathBuf, Fault)) {
        let next = self.next.unwrap_or(sequence);
        if next < sequence {
            self.gap(Lost::between(next, sequence), place);
            self.next = Some(sequence);
        }
    }

    fn gap(&mut self, sequences: Lost, (file, fault): (PathBuf, Fault)) {
        self.summary.gaps += 1;
        let Fault { offset, kind: why } = fault;
        self.ready.push_back(Salvaged::Gap(Gap { sequences, file, offset, why }));
    }

    fn hand_out(&mut self, found: Verified, certain: bool) {
        let Verified { sequence, payload, whole } = found;
        self.summary.entries += 1;
        self.summary.bytes += payload.len() as u64;
        let end = payload.len();
        let place = Place { sequence, start: 0, end };
        let entry = Entry { place, bytes: Bytes::Read(Arc::new(payload)) };
        self.ready.push_back(Salvaged::Entry { entry, whole, certain });
    }

    /// Why nothing was read from a file that the log needs.
    fn why_not(&self, path: &Path) -> Fault {
        let damage = self.summary.damages.iter().find(|damage| damage.file == *path);
        let aside = self.summary.aside.iter().any(|aside| aside.file == *path);
        match damage {
            Some(damage) => Fault { offset: damage.offset, kind: damage.kind },
            None if aside => Fault { offset: 0, kind: DamageKind::OtherLog },
            None => Fault { offset: 0, kind: DamageKind::Missing },
        }
    }
}

impl Reading {
    /// The next entry at or beyond `from` in any of the copies, and the fault before it.
    fn next(&mut self, from: Sequence) -> Option<(Verified, (PathBuf, Fault))> {
        for copy in &mut self.copies {
            copy.advance(from);
        }
        let before = self.segment.before.unwrap_or(Sequence::MAX);
        let found = self.copies.iter().filter_map(|copy| copy.found.as_ref()).map(|found| found.sequence);
        let sequence = found.min().filter(|&sequence| sequence < before)?;
        let mut place: Option<(PathBuf, Fault)> = None;
        let mut best: Option<Verified> = None;
        for copy in &mut self.copies {
            if let Some(fault) = copy.fault.take() {
                place.get_or_insert((copy.source.path.clone(), fault));
            }
            if let Some(found) = copy.found.take_if(|found| found.sequence == sequence)
                && best.as_ref().is_none_or(|best| !best.whole)
            {
                best = Some(found);
            }
        }
        let place = place.unwrap_or_else(|| {
            let kind = DamageKind::Frame(FrameFault::Order);
            (self.segment.sources[0].path.clone(), Fault { offset: FIRST_FRAME_OFFSET, kind })
        });
        Some((best?, place))
    }
}

impl SegmentCopy {
    fn open(directory: &dyn Directory, segment: &Segment, source: &CopyFile) -> SegmentCopy {
        let limit = segment.end.map_or(source.file_bytes, |end| end.offset);
        let first = segment.link.map(|link| link.next);
        let (scan, fault) = match source.scan(directory, first, limit) {
            Ok(scan) => (Some(scan), None),
            Err(_) => (None, Some(Fault { offset: 0, kind: DamageKind::Unreadable })),
        };
        SegmentCopy { source: source.clone(), scan, found: None, fault, reaches: None }
    }

    fn advance(&mut self, from: Sequence) {
        if self.found.as_ref().is_some_and(|found| found.sequence >= from) {
            return;
        }
        let Some(scan) = &mut self.scan else { return };
        let found = scan.next(from);
        self.reaches = scan.reaches;
        self.fault = self.fault.or_else(|| scan.take_fault());
        match found {
            Ok(Some(found)) => self.found = Some(found),
            Ok(None) => (self.found, self.scan) = (None, None),
            Err(_) => {
                self.fault.get_or_insert(Fault { offset: 0, kind: DamageKind::Unreadable });
                (self.found, self.scan) = (None, None);
            }
        }
    }
}

impl Iterator for Salvage<'_> {
    type Item = Salvaged;

    fn next(&mut self) -> Option<Salvaged> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if !self.advance() {
                return None;
            }
        }
    }
}

impl FusedIterator for Salvage<'_> {}

impl fmt::Debug for Salvage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salvage({}, {} segments to come)", self.directory.path().display(), self.segments.len())
    }
}
