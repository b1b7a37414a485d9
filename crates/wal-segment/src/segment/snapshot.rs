//! The log as it was at one moment, for readers, and which of its spans holds a number.

use std::sync::Arc;

use wal_format::{Life, SegmentNumber, Sequence};

use crate::error::Damage;
use crate::segment::span::{Span, Tip};

/// An immutable view of the log at one moment. Later appends are not part of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    spans: Arc<Vec<Span>>,
    first: Sequence,
    end: Tip,
    seal_offset: Option<u64>,
    /// Segments below this one are closed: the writer never writes there again.
    closed_below: Option<SegmentNumber>,
    /// What is wrong after the end; reported to a reader that gets there.
    damage: Option<Damage>,
    /// While a snapshot holds it, the writer of this process removes no file of these spans.
    lease: Option<Arc<Lease>>,
}

/// Shared by the snapshots between two truncations; keeps their files.
#[derive(Debug, Default)]
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

    /// A log as it was found: it ends where the last of its spans does, or without one at `next`. The spans
    /// before the last one are closed.
    pub(crate) fn found(spans: Vec<Span>, first: Sequence, next: Sequence) -> Snapshot {
        let last = spans.last();
        let end = last.map_or(Tip { offset: 0, chain: 0, next }, |span| span.end);
        let seal_offset = last.and_then(|span| span.seal_offset);
        let closed_below = last.map(|span| span.life.segment);
        Snapshot::new(Arc::new(spans), first, end, seal_offset, closed_below)
    }

    pub(crate) fn leased(self, lease: Arc<Lease>) -> Snapshot {
        Snapshot { lease: Some(lease), ..self }
    }

    /// The same log with another end in its last segment.
    pub(crate) fn ending(&self, end: Tip, seal_offset: Option<u64>) -> Snapshot {
        Snapshot { end, seal_offset, ..self.clone() }
    }

    /// Moves the end. Since it was taken, only appends to the last segment may have happened.
    pub fn extend(&mut self, end: Tip) {
        self.end = end;
    }

    /// Where the last segment ends.
    #[must_use]
    pub fn end(&self) -> Tip {
        self.end
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    pub(crate) fn damaged(self, damage: Option<Damage>) -> Snapshot {
        Snapshot { damage, ..self }
    }

    /// The same for a caller that opens no file: obsolete segments can be removed while it lives.
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

    /// The damage at the end, and the number from which on a reader is told of it. Where the log ends before
    /// it begins, that is every number.
    pub(crate) fn damaged_from(&self) -> Option<(Sequence, &Damage)> {
        let from = if self.is_contradictory() { Sequence::ZERO } else { self.end.next };
        Some(from).zip(self.damage.as_ref())
    }

    /// Whether the log ends before it begins: then none of it can be trusted.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        self.damage.is_some() && self.end.next < self.first
    }

    /// What is wrong after the end.
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

    pub(crate) fn find_life(&self, life: Life) -> Option<usize> {
        let index = self.spans.partition_point(|span| span.life.segment < life.segment);
        (self.spans.get(index)?.life == life).then_some(index)
    }

    /// The span that holds the last entry before `sequence`, or the first one.
    pub(crate) fn find_before(&self, sequence: Sequence) -> usize {
        self.spans.partition_point(|span| span.start.next < sequence).saturating_sub(1)
    }

    pub(crate) fn find(&self, sequence: Sequence) -> usize {
        self.spans.partition_point(|span| span.start.next <= sequence).saturating_sub(1)
    }
}
