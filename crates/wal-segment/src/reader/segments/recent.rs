//! The segments that were read last stay open: a bounded number of them, least recently used first out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::reader::segments::reader::SegmentReader;
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;

/// The segments of one log that were read last, a bounded number of them; the one that was used least recently goes first. One that
/// a reader still reads from stays open until the reader is done. Opens nothing itself, so that no lock on it is held
/// while the system opens a file.
#[derive(Debug)]
pub struct RecentSegments {
    segments: VecDeque<Arc<SegmentReader>>,
    capacity: usize,
    mapped: bool,
}

impl RecentSegments {
    /// Room for so many segments. Closed segments are `mapped`, or read like the last one.
    #[must_use]
    pub fn new(capacity: usize, mapped: bool) -> RecentSegments {
        RecentSegments { segments: VecDeque::with_capacity(capacity), capacity, mapped }
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
    pub fn get(&mut self, span: &Span) -> Option<Arc<SegmentReader>> {
        let at = self.segments.iter().rposition(|backing| backing.number() == span.life.segment)?;
        if !self.segments[at].serves(span) {
            return None;
        }
        // Most reads are of the segment that was read last.
        if at + 1 < self.segments.len() {
            let found = self.segments.remove(at)?;
            self.segments.push_back(found);
        }
        self.segments.back().cloned()
    }

    /// Takes a segment that was opened, in the place of another one of the same segment.
    pub fn put(&mut self, segment: &Arc<SegmentReader>) {
        self.segments.retain(|backing| backing.number() != segment.number());
        if self.capacity > 0 {
            if self.segments.len() == self.capacity {
                self.segments.pop_front();
            }
            self.segments.push_back(Arc::clone(segment));
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.segments.len()
    }

    /// Gives up the one that was used least recently.
    pub fn pop_oldest(&mut self) -> Option<Arc<SegmentReader>> {
        self.segments.pop_front()
    }

    /// Gives up those that no reader reads from, and returns them: their files are closed with the last handle.
    pub fn take_idle(&mut self) -> Vec<Arc<SegmentReader>> {
        let (idle, read) = self.segments.drain(..).partition(|segment| Arc::strong_count(segment) == 1);
        self.segments = read;
        Vec::from(idle)
    }

    /// Lets go of segments that are no part of this snapshot: a file that was removed takes space for as
    /// long as it is open. Readers keep what they have.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.segments.retain(|backing| snapshot.spans().any(|span| span.life.segment == backing.number()));
    }
}
