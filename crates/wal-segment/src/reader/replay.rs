//! Entries in order, each checked as it is returned, and borrowed: replay of a log.
//!
//! Closed segments are read from their mapping, the last one with positional reads up to the end of the
//! snapshot. Nothing is copied, allocated or counted for an entry.
//!
//! Invariant: the reader returns the entries of the snapshot in order and without a hole; where it cannot, it
//! returns the reason and ends.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use wal_format::Sequence;

use crate::error::Error;
use crate::follow::tailer::explain;
use crate::reader::entry::{Entry, Place};
use crate::reader::forward::Forward;
use crate::reader::lent::{Batch, EntryRef};
use crate::reader::segments::source::SegmentSource;
use crate::segment::snapshot::Snapshot;

/// Reads the entries of a snapshot in a range, in order, and lends them. Ends after the first error.
pub struct Replay {
    pub(crate) segments: Arc<dyn SegmentSource>,
    pub(crate) snapshot: Snapshot,
    /// What was not returned yet.
    pub(crate) wanted: Range<Sequence>,
    wants_damage: bool,
    span_index: usize,
    reading: Option<Forward>,
    pub(crate) done: bool,
}

impl Replay {
    /// Reads the entries of `snapshot` whose numbers are in `wanted`.
    #[must_use]
    pub fn new(segments: Arc<dyn SegmentSource>, snapshot: Snapshot, wanted: Range<Sequence>) -> Replay {
        // A range without an end reaches beyond every number; an empty range asks for nothing.
        let is_open = wanted.end == Sequence::MAX;
        let reaches = |(from, _)| is_open || from < wanted.end && !wanted.is_empty();
        let wants_damage = snapshot.damaged_from().is_some_and(reaches);
        let wanted = wanted.start.max(snapshot.first())..wanted.end;
        let span_index = snapshot.find(wanted.start);
        Replay { segments, snapshot, wanted, wants_damage, span_index, reading: None, done: false }
    }

    /// The next entry; `None` at the end, and after an error.
    ///
    /// # Errors
    /// Damage; [`Error::Io`].
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        let place = self.next_place()?;
        Ok(self.reading.as_ref().zip(place).map(|(reading, place)| reading.frames.lend(place)))
    }

    /// The next entry, owned.
    #[inline]
    pub(crate) fn next_owned(&mut self) -> Result<Option<Entry>, Error> {
        let place = self.next_place()?;
        Ok(self.reading.as_ref().zip(place).map(|(reading, place)| reading.frames.own(place)))
    }

    /// The next entry, and those after it in the same frame; a long frame comes in several batches. Entries before a
    /// damaged one are returned first. `None` at the end, and after an error.
    ///
    /// # Errors
    /// As [`Replay::next`].
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        let Some((first, reading)) = self.next_place()?.zip(self.reading.as_mut()) else { return Ok(None) };
        let Some(run) = reading.run(first, self.wanted.end) else { return Ok(None) };
        let batch = Batch::new(run, reading.frames.source.bytes());
        self.wanted.start = batch.sequences().end;
        Ok(Some(batch))
    }

    /// The place of the next entry, in the bytes of the segment that is being read.
    #[inline]
    fn next_place(&mut self) -> Result<Option<Place>, Error> {
        if self.done {
            return Ok(None);
        }
        match self.advance() {
            Ok(Some(place)) => Ok(Some(place)),
            ended => {
                self.done = true;
                ended.map_err(|error| self.explained(self.wanted.start, error))
            }
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<Option<Place>, Error> {
        loop {
            if self.wanted.is_empty() {
                return self.end();
            }
            let Some(reading) = &mut self.reading else {
                if self.open_segment()? {
                    continue;
                }
                return self.end();
            };
            match reading.next(self.wanted.start)? {
                Some(place) if place.sequence >= self.wanted.end => return Ok(None),
                Some(place) => {
                    // Bytes after the last wanted entry are not read.
                    self.wanted.start = place.sequence.advance(1).unwrap_or(Sequence::MAX);
                    return Ok(Some(place));
                }
                None => {
                    self.reading = None;
                    self.span_index += 1;
                }
            }
        }
    }

    fn open_segment(&mut self) -> Result<bool, Error> {
        let Some(span) = self.snapshot.span(self.span_index) else { return Ok(false) };
        self.reading = Some(Forward::begin(self.segments.as_ref(), span, self.wanted.start)?);
        Ok(true)
    }

    pub(crate) fn explained(&self, next: Sequence, error: Error) -> Error {
        explain(self.segments.directory(), &self.snapshot, next, error)
    }

    /// The damage at the end of the log, where the range reaches it.
    pub(crate) fn end<T>(&self) -> Result<Option<T>, Error> {
        match self.snapshot.damage() {
            Some(damage) if self.wants_damage => Err(Error::Damaged(damage.clone())),
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({} to before {})", self.wanted.start, self.wanted.end)
    }
}
