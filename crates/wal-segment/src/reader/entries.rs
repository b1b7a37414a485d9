//! Entries in order, each checked as it is returned.
//!
//! Closed segments are read from their mapping, the last one with positional reads up to the end of the
//! snapshot. An entry keeps the bytes that it lies in alive, so nothing is copied or allocated for it.
//!
//! Invariant: the iterator returns the entries of the snapshot in order and without a hole; where it cannot,
//! it returns the reason and ends.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use wal_format::Sequence;

use crate::error::Error;
use crate::follow::tailer::explain;
use crate::reader::backward::Backward;
use crate::reader::entry::Entry;
use crate::reader::forward::Forward;
use crate::reader::segments::source::SegmentSource;
use crate::segment::snapshot::Snapshot;

/// An iterator over the entries of a snapshot in a range, from either end. Ends, at both, after the first
/// error.
pub struct Entries {
    segments: Arc<dyn SegmentSource>,
    snapshot: Snapshot,
    wanted: Range<Sequence>,
    wants_damage: bool,
    span_index: usize,
    reading: Option<Forward>,
    backward: Option<(usize, Backward)>,
    done: bool,
}

impl Entries {
    /// Iterates over the entries of `snapshot` whose numbers are in `wanted`.
    #[must_use]
    pub fn new(segments: Arc<dyn SegmentSource>, snapshot: Snapshot, wanted: Range<Sequence>) -> Entries {
        // A range without an end reaches beyond every number; an empty range asks for nothing.
        let is_open = wanted.end == Sequence::MAX;
        let reaches = |(from, _)| is_open || from < wanted.end && !wanted.is_empty();
        let wants_damage = snapshot.damaged_from().is_some_and(reaches);
        let wanted = wanted.start.max(snapshot.first())..wanted.end;
        let span_index = snapshot.find(wanted.start);
        let (reading, backward) = (None, None);
        Entries { segments, snapshot, wanted, wants_damage, span_index, reading, backward, done: false }
    }

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if self.wanted.is_empty() {
                return self.end();
            }
            let Some(reading) = &mut self.reading else {
                let Some(span) = self.snapshot.span(self.span_index) else { return self.end() };
                self.reading = Some(Forward::begin(self.segments.as_ref(), span, self.wanted.start)?);
                continue;
            };
            match reading.next(self.wanted.start)? {
                Some(entry) if entry.sequence >= self.wanted.end => return Ok(None),
                Some(entry) => {
                    // Bytes after the last wanted entry are not read.
                    self.wanted.start = entry.sequence.advance(1).unwrap_or(Sequence::MAX);
                    return Ok(Some(entry));
                }
                None => {
                    self.reading = None;
                    self.span_index += 1;
                }
            }
        }
    }

    fn retreat(&mut self) -> Result<Option<Entry>, Error> {
        self.end()?;
        // A reader that names an end does not ask what follows it.
        let whole = self.wanted.end > self.snapshot.next();
        if whole {
            self.wanted.end = self.snapshot.next();
        }
        while !self.wanted.is_empty() {
            let before = self.wanted.end;
            let Some((index, backward)) = &mut self.backward else {
                let last = self.snapshot.find_before(before);
                let Some(span) = self.snapshot.span(last) else { break };
                let backward = Backward::begin(self.segments.as_ref(), span, before, whole)?;
                self.backward = Some((last, backward));
                continue;
            };
            match backward.next_back(before)? {
                Some(entry) if entry.sequence < self.wanted.start => break,
                Some(entry) => {
                    self.wanted.end = entry.sequence;
                    return Ok(Some(entry));
                }
                None => {
                    let Some(earlier) = index.checked_sub(1) else { break };
                    let Some(span) = self.snapshot.span(earlier) else { break };
                    let backward = Backward::begin(self.segments.as_ref(), span, before, true)?;
                    self.backward = Some((earlier, backward));
                }
            }
        }
        Ok(None)
    }

    fn explained(&self, next: Sequence, error: Error) -> Error {
        explain(self.segments.directory(), &self.snapshot, next, error)
    }

    fn end(&self) -> Result<Option<Entry>, Error> {
        match self.snapshot.damage() {
            Some(damage) if self.wants_damage => Err(Error::Damaged(damage.clone())),
            _ => Ok(None),
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().map_err(|error| self.explained(self.wanted.start, error)).transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let last = self.wanted.end.value().saturating_sub(1);
        let last = Sequence::try_from(last).unwrap_or(Sequence::MAX);
        let item = self.retreat().map_err(|error| self.explained(last, error)).transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl FusedIterator for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} to before {})", self.wanted.start, self.wanted.end)
    }
}
