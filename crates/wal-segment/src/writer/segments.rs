//! The segments of the log, oldest first, and where the log ends in the last one.

use std::sync::Arc;

use wal_format::{DurablePoint, Predecessor, SegmentNumber, Sequence};

use crate::error::Error;
use crate::segment::span::{Span, Tip};

/// The segments of a log. Readers share the list of spans. The end of the last span moves with each append,
/// so it is kept outside the list.
#[derive(Debug)]
pub(super) struct Segments {
    /// All spans; `end` and `seal_offset` replace those of the last one.
    pub(super) spans: Arc<Vec<Span>>,
    pub(super) end: Tip,
    pub(super) seal_offset: Option<u64>,
    /// The first entry that is kept, and the segment that holds it or will hold it.
    pub(super) first: Sequence,
    pub(super) first_segment: SegmentNumber,
}

#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) segments: Vec<SegmentNumber>,
    pub(super) bytes: u64,
}

impl Dropped {
    fn of(spans: &[Span]) -> Dropped {
        let segments = spans.iter().map(|span| span.life.segment).collect();
        Dropped { segments, bytes: file_bytes(spans) }
    }
}

impl Segments {
    /// The last span, as the log ends in it now.
    pub(super) fn last(&self) -> Option<Span> {
        self.spans.last().map(|span| Span { end: self.end, seal_offset: self.seal_offset, ..*span })
    }

    pub(super) fn last_number(&self) -> Option<SegmentNumber> {
        self.spans.last().map(|span| span.life.segment)
    }

    pub(super) fn next_number(&self) -> Result<SegmentNumber, Error> {
        self.last_number().map_or(Ok(self.first_segment), |last| last.next().ok_or(Error::OutOfNumbers))
    }

    pub(super) fn end_point(&self) -> Option<DurablePoint> {
        self.last_number().map(|segment| point(segment, self.end))
    }

    pub(super) fn span(&self, segment: SegmentNumber) -> Option<Span> {
        let at = self.spans.iter().rposition(|span| span.life.segment == segment)?;
        if at + 1 == self.spans.len() { self.last() } else { Some(self.spans[at]) }
    }

    pub(super) fn entries_of_last(&self) -> u64 {
        self.last().map_or(0, |span| span.entries())
    }

    pub(super) fn file_bytes(&self) -> u64 {
        file_bytes(&self.spans)
    }

    pub(super) fn drop_before(
        &mut self,
        first: Sequence,
        first_segment: SegmentNumber,
        kept: usize,
    ) -> Dropped {
        (self.first, self.first_segment) = (first, first_segment);
        let dropped = Dropped::of(&self.spans[..kept]);
        if kept > 0 {
            self.spans = Arc::new(self.spans[kept..].to_vec());
        }
        dropped
    }

    /// Makes the log end with `kept`, the first ones of its spans.
    pub(super) fn cut(&mut self, kept: Vec<Span>) -> Dropped {
        let dropped = Dropped::of(&self.spans[kept.len()..]);
        if let Some(last) = kept.last() {
            (self.end, self.seal_offset) = (last.end, last.seal_offset);
        }
        self.spans = Arc::new(kept);
        dropped
    }

    /// Makes the log go on in another segment. `room` is an empty list with capacity for all spans: readers
    /// keep the old list, and nothing is allocated here.
    pub(super) fn enter(&mut self, span: Span, last_file_bytes: Option<u64>, mut room: Arc<Vec<Span>>) {
        let longer = Arc::get_mut(&mut room).expect("no reader has the list that came with a spare");
        longer.extend_from_slice(&self.spans);
        if let Some(last) = longer.last_mut() {
            (last.end, last.seal_offset) = (self.end, self.seal_offset);
            last.file_bytes = last_file_bytes.unwrap_or(last.file_bytes);
        }
        longer.push(span);
        self.spans = room;
        (self.end, self.seal_offset) = (span.end, span.seal_offset);
    }
}

pub(super) fn predecessor(span: Span) -> Predecessor {
    Predecessor { segment: span.life.segment, end_offset: span.end.offset, seal_offset: span.seal_offset }
}

pub(super) fn point(segment: SegmentNumber, tip: Tip) -> DurablePoint {
    DurablePoint { segment, offset: tip.offset, next: tip.next }
}

fn file_bytes(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.file_bytes).sum()
}
