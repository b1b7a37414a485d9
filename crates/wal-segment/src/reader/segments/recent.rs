//! The segments that were read last stay open: a bounded LRU cache.

use std::collections::VecDeque;
use std::sync::Arc;

use wal_format::SegmentNumber;

use crate::reader::segments::reader::SegmentReader;
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;

/// An LRU cache of open segments of one log. An evicted segment stays open until its last reader is done.
///
/// It opens nothing itself, so that a lock on it is never held while the system opens a file.
#[derive(Debug)]
pub struct RecentSegments {
    /// With their numbers, so that a search touches no segment but the one it finds.
    segments: VecDeque<(SegmentNumber, Arc<SegmentReader>)>,
    capacity: usize,
    mapped: bool,
}

impl RecentSegments {
    /// Creates a cache for `capacity` segments. If `mapped`, closed segments are mapped; otherwise they are
    /// read like the last one.
    #[must_use]
    pub fn new(capacity: usize, mapped: bool) -> RecentSegments {
        RecentSegments { segments: VecDeque::with_capacity(capacity), capacity, mapped }
    }

    /// Whether closed segments are mapped.
    #[must_use]
    pub fn maps(&self) -> bool {
        self.mapped
    }

    /// Stops mapping segments, because the system refused a mapping: it would refuse the next one too, and
    /// each attempt costs more than a read. Returns whether they were mapped until now.
    pub fn stop_mapping(&mut self) -> bool {
        std::mem::replace(&mut self.mapped, false)
    }

    /// The segment of a span, if it is cached.
    pub fn get(&mut self, span: &Span) -> Option<Arc<SegmentReader>> {
        let at = self.segments.iter().rposition(|&(number, _)| number == span.life.segment)?;
        if !self.segments[at].1.serves(span) {
            return None;
        }
        // Most reads are of the segment that was read last.
        if at + 1 < self.segments.len() {
            let found = self.segments.remove(at)?;
            self.segments.push_back(found);
        }
        self.segments.back().map(|(_, segment)| Arc::clone(segment))
    }

    /// Caches an open segment, in place of another reader of the same segment.
    pub fn put(&mut self, segment: &Arc<SegmentReader>) {
        self.segments.retain(|&(number, _)| number != segment.number());
        if self.capacity > 0 {
            if self.segments.len() == self.capacity {
                self.segments.pop_front();
            }
            self.segments.push_back((segment.number(), Arc::clone(segment)));
        }
    }

    /// How many segments are cached.
    #[must_use]
    pub fn count(&self) -> usize {
        self.segments.len()
    }

    /// Evicts the least recently used segment.
    pub fn pop_oldest(&mut self) -> Option<Arc<SegmentReader>> {
        self.segments.pop_front().map(|(_, segment)| segment)
    }

    /// Evicts the segments that no reader uses, and returns them: the last handle closes their files.
    pub fn take_idle(&mut self) -> Vec<Arc<SegmentReader>> {
        let (idle, read): (Vec<_>, _) =
            self.segments.drain(..).partition(|(_, segment)| Arc::strong_count(segment) == 1);
        self.segments.extend(read);
        idle.into_iter().map(|(_, segment)| segment).collect()
    }

    /// Evicts segments that are not part of this snapshot: a removed file takes space while it is open.
    /// Readers keep theirs.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.segments.retain(|&(number, _)| snapshot.spans().any(|span| span.life.segment == number));
    }
}
