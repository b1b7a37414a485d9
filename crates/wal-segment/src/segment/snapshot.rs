//! The log as it was at one moment, for readers.

use std::sync::Arc;

use wal_format::{Life, SegmentNumber, Sequence};

use crate::error::Damage;
use crate::segment::span::{Span, Tip};

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
    lease: Option<Arc<Lease>>,
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
        Snapshot { spans, first, end, seal_offset, closed_below, damage: None, lease: None }
    }

    pub(crate) fn leased(self, lease: Option<Arc<Lease>>) -> Snapshot {
        Snapshot { lease, ..self }
    }

    /// The same log, whose last segment ends elsewhere now.
    pub(crate) fn ending(&self, end: Tip, seal_offset: Option<u64>) -> Snapshot {
        Snapshot { end, seal_offset, ..self.clone() }
    }

    /// Whether the writer of this process keeps its files for it.
    pub(crate) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    pub(crate) fn damaged(self, damage: Option<Damage>) -> Snapshot {
        Snapshot { damage, ..self }
    }

    /// The same for whoever opens no file: what is dropped need not wait for them.
    #[must_use]
    pub fn without_lease(&self) -> Snapshot {
        let spans = Arc::clone(&self.spans);
        Snapshot {
            damage: self.damage.clone(),
            ..Snapshot::new(spans, self.first, self.end, self.seal_offset, self.closed_below)
        }
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

    /// A reader that asks for this number, or for a later one, is told what is wrong at the end. A log that ends before
    /// it begins is wrong as a whole.
    pub(crate) fn damaged_from(&self) -> Option<(Sequence, &Damage)> {
        let from = if self.is_contradictory() { Sequence::ZERO } else { self.end.next };
        Some(from).zip(self.damage.as_ref())
    }

    /// Whether the log ends before it begins: then nothing that it holds can be believed.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        self.damage.is_some() && self.end.next < self.first
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

    /// The span of this life.
    pub(crate) fn find_life(&self, life: Life) -> Option<usize> {
        let index = self.spans.partition_point(|span| span.life.segment < life.segment);
        (self.spans.get(index)?.life == life).then_some(index)
    }

    /// The span that holds the last entry in front of `sequence`, or the first one.
    pub(crate) fn find_before(&self, sequence: Sequence) -> usize {
        self.spans.partition_point(|span| span.start.next < sequence).saturating_sub(1)
    }

    /// The span that holds `sequence`, or the last one.
    pub(crate) fn find(&self, sequence: Sequence) -> usize {
        self.spans.partition_point(|span| span.start.next <= sequence).saturating_sub(1)
    }
}
