//! What readers share: the log as it was at one moment, and the mappings of closed segments.

use std::collections::VecDeque;
use std::sync::Arc;

use wal_format::{SegmentName, SegmentNumber, Sequence};

use crate::catalog::segment_path;
use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::io::{Access, Directory, Mapping};
use crate::named::Named;
use crate::span::{Span, Tip};

/// The log as it was at one moment. What is appended later is not part of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    spans: Arc<Vec<Span>>,
    first: Sequence,
    end: Tip,
    /// Where the last segment's SEAL stands, if it has one.
    seal_offset: Option<u64>,
    /// Segments below this one are closed: nobody writes there again.
    closed_below: Option<SegmentNumber>,
    /// What is wrong behind the end; a reader that gets there is told.
    damage: Option<Damage>,
    /// While it is held, no file of these spans is removed by the writer of this process.
    _lease: Option<Arc<Lease>>,
}

/// Held by the snapshots that were taken between two truncations.
#[derive(Debug)]
pub(crate) struct Lease;

impl Snapshot {
    pub(crate) fn new(
        spans: Arc<Vec<Span>>,
        first: Sequence,
        end: Tip,
        seal_offset: Option<u64>,
        closed_below: Option<SegmentNumber>,
    ) -> Snapshot {
        Snapshot { spans, first, end, seal_offset, closed_below, damage: None, _lease: None }
    }

    pub(crate) fn leased(self, lease: Option<Arc<Lease>>) -> Snapshot {
        Snapshot { _lease: lease, ..self }
    }

    pub(crate) fn damaged(self, damage: Option<Damage>) -> Snapshot {
        Snapshot { damage, ..self }
    }

    /// The first entry that is kept.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.end.next.max(self.first)
    }

    /// What is wrong behind the end.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// The segments' parts of the log, oldest first.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = Span> + '_ {
        (0..self.spans.len()).filter_map(|index| self.span(index))
    }

    pub(crate) fn span(&self, index: usize) -> Option<Span> {
        let span = *self.spans.get(index)?;
        let span = Span { closed: Some(span.life.segment) < self.closed_below, ..span };
        let is_last = index + 1 == self.spans.len();
        Some(if is_last { Span { end: self.end, seal_offset: self.seal_offset, ..span } } else { span })
    }

    /// The span that holds `sequence`, or the last one.
    pub(crate) fn find(&self, sequence: Sequence) -> usize {
        self.spans.partition_point(|span| span.start.next <= sequence).saturating_sub(1)
    }
}

/// Where readers get their bytes from.
pub trait Shelf: Send + Sync {
    /// The directory of the log.
    fn directory(&self) -> &dyn Directory;

    /// The mapping of a closed segment, or `None` where mappings are not wanted.
    ///
    /// # Errors
    /// What [`MapCache::mapping`] reports.
    fn mapping(&self, span: &Span) -> Result<Option<Arc<Mapping>>, Error>;
}

/// Mappings of closed segments, a bounded number of them; the one that was used least recently goes
/// first. A mapping that somebody still reads from stays mapped until they are done.
#[derive(Debug)]
pub struct MapCache {
    maps: VecDeque<(SegmentNumber, Arc<Mapping>)>,
    capacity: usize,
}

impl MapCache {
    /// A cache for so many mappings.
    #[must_use]
    pub fn new(capacity: usize) -> MapCache {
        MapCache { maps: VecDeque::with_capacity(capacity), capacity }
    }

    /// The bytes of a closed segment up to its end.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the file is missing or shorter than its end; [`Error::Io`].
    ///
    /// # Panics
    /// When the span is not closed: somebody may still write to it.
    pub fn mapping(&mut self, directory: &dyn Directory, span: &Span) -> Result<Arc<Mapping>, Error> {
        assert!(span.closed, "only a segment whose end is durable is mapped");
        let number = span.life.segment;
        let end = usize::try_from(span.end.offset).map_err(|_| Error::OutOfNumbers)?;
        // Behind a cut the segment ends earlier than for a reader who came before it.
        let holds_all =
            |(mapped, mapping): &(SegmentNumber, Arc<Mapping>)| *mapped == number && mapping.len() >= end;
        if let Some(at) = self.maps.iter().position(holds_all) {
            let found = self.maps.remove(at).expect("the position was just found");
            let mapping = Arc::clone(&found.1);
            self.maps.push_back(found);
            return Ok(mapping);
        }
        let file = open_span(directory, span)?;
        let mapping = Arc::new(file.map(end).place(Operation::Map, || file.path.to_path_buf(), None)?);
        self.maps.retain(|(mapped, _)| *mapped != number);
        if self.capacity > 0 {
            if self.maps.len() == self.capacity {
                self.maps.pop_front();
            }
            self.maps.push_back((number, Arc::clone(&mapping)));
        }
        Ok(mapping)
    }

    /// Lets go of segments that are no part of this snapshot: a file that was removed takes space for as
    /// long as it is mapped. Readers keep what they have.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.maps.retain(|(mapped, _)| snapshot.spans().any(|span| span.life.segment == *mapped));
    }
}

/// Opens the file of a span; a file that is gone, or ends before the span does, is damage.
pub(crate) fn open_span(directory: &dyn Directory, span: &Span) -> Result<Named, Error> {
    let number = span.life.segment;
    let damaged = |offset, kind| {
        let sequences = Some(Lost::between(span.start.next, span.end.next));
        Error::Damaged(Damage { file: segment_path(directory, number), offset, sequences, kind })
    };
    let file = match Named::open(directory, SegmentName::of(number).as_str(), Access::Read) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged(0, DamageKind::Missing));
        }
        opened => opened?,
    };
    let file_bytes = file.length()?;
    if file_bytes < span.end.offset {
        return Err(damaged(file_bytes, DamageKind::EndsEarly { expected: span.end.offset }));
    }
    Ok(file)
}
