//! Entries in order, each checked as it is handed out.
//!
//! Closed segments are read from their mapping, the last one with positional reads up to the end of
//! the snapshot. An entry holds on to the bytes that it lies in, so nothing is copied and nothing is
//! allocated for it.
//!
//! Invariant: what is handed out is the log of the snapshot, in order, without a hole; where that
//! cannot be kept the iterator says why, and ends.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use wal_format::Sequence;

use crate::entry::Entry;
use crate::error::Error;
use crate::reading::Reading;
use crate::shelf::{Shelf, Snapshot};

/// The entries of a snapshot that lie in a range. Ends after the first error.
pub struct Entries {
    shelf: Arc<dyn Shelf>,
    snapshot: Snapshot,
    wanted: Range<Sequence>,
    span_index: usize,
    reading: Option<Reading>,
    done: bool,
}

impl Entries {
    /// The entries of `snapshot` whose numbers are `wanted`, as far as there are any.
    #[must_use]
    pub fn new(shelf: Arc<dyn Shelf>, snapshot: Snapshot, wanted: Range<Sequence>) -> Entries {
        let wanted = wanted.start.max(snapshot.first())..wanted.end;
        let span_index = snapshot.find(wanted.start);
        Entries { shelf, snapshot, wanted, span_index, reading: None, done: false }
    }

    /// The next entry; `None` at the end of the snapshot or of what is wanted.
    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if self.wanted.is_empty() {
                return Ok(None);
            }
            let Some(reading) = &mut self.reading else {
                let Some(span) = self.snapshot.span(self.span_index) else { return self.end() };
                self.reading = Some(Reading::begin(self.shelf.as_ref(), span, self.wanted.start)?);
                continue;
            };
            match reading.next(self.shelf.as_ref(), self.wanted.start)? {
                Some(entry) if entry.sequence >= self.wanted.end => return Ok(None),
                Some(entry) => {
                    // What lies behind the last one that is wanted is not even looked at.
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

    fn end(&self) -> Result<Option<Entry>, Error> {
        match self.snapshot.damage() {
            Some(damage) if self.wanted.end > self.snapshot.next() => Err(Error::Damaged(damage.clone())),
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
        let item = self.advance().transpose();
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
