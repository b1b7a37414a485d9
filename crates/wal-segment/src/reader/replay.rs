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
        Ok(if self.step()? { self.reading.as_ref().and_then(Forward::lend) } else { None })
    }

    /// The next entry, and those after it in the same frame; a long frame comes in several batches. Entries before a
    /// damaged one are returned first. `None` at the end, and after an error.
    ///
    /// # Errors
    /// As [`Replay::next`].
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        if !self.step()? {
            return Ok(None);
        }
        let batch = self.reading.as_mut().and_then(|reading| reading.lend_batch(self.wanted.end));
        if let Some(batch) = &batch {
            self.wanted.start = batch.sequences().end;
        }
        Ok(batch)
    }

    /// Moves to the next entry; returns whether there is one.
    // In line, because most entries are in the frame at hand and were checked with the one before.
    #[inline]
    fn step(&mut self) -> Result<bool, Error> {
        let wanted_end = self.wanted.end;
        if let Some(sequence) = self.reading.as_mut().and_then(|reading| reading.next_checked(wanted_end)) {
            self.pass(sequence);
            return Ok(true);
        }
        self.step_further()
    }

    /// Bytes after the last wanted entry are not read.
    #[inline]
    fn pass(&mut self, sequence: Sequence) {
        self.wanted.start = sequence.advance(1).unwrap_or(Sequence::MAX);
    }

    fn step_further(&mut self) -> Result<bool, Error> {
        if self.done {
            return Ok(false);
        }
        match self.advance() {
            Ok(true) => Ok(true),
            ended => {
                self.finish();
                ended.map_err(|error| self.explained(self.wanted.start, error))
            }
        }
    }

    /// Ends the reader.
    pub(crate) fn finish(&mut self) {
        self.done = true;
        self.reading = None;
    }

    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if self.wanted.is_empty() {
                return self.end().map(|()| false);
            }
            let Some(reading) = &mut self.reading else {
                if self.open_segment()? {
                    continue;
                }
                return self.end().map(|()| false);
            };
            if reading.next(self.wanted.start, self.wanted.end)?
                && let Some(sequence) = reading.sequence()
            {
                let is_wanted = sequence < self.wanted.end;
                if is_wanted {
                    self.pass(sequence);
                }
                return Ok(is_wanted);
            }
            self.reading = None;
            self.span_index += 1;
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

    /// Fails with the damage at the end of the log, where the range reaches it.
    pub(crate) fn end(&self) -> Result<(), Error> {
        match self.snapshot.damage() {
            Some(damage) if self.wants_damage => Err(Error::Damaged(damage.clone())),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({} to before {})", self.wanted.start, self.wanted.end)
    }
}
