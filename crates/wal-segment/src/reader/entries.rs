//! An iterator over owned entries, from either end: a [`Replay`] forward, and a reader of stretches backward.
//!
//! An entry keeps the bytes that it lies in alive, so nothing is copied or allocated for it.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use wal_format::Sequence;

use crate::error::Error;
use crate::reader::backward::Backward;
use crate::reader::entry::Entry;
use crate::reader::lent::EntryRef;
use crate::reader::replay::Replay;
use crate::reader::segments::source::SegmentSource;
use crate::segment::snapshot::Snapshot;

/// An iterator over the entries of a snapshot in a range, from either end. Ends, at both, after the first
/// error.
pub struct Entries {
    /// Holds what both ends share: the range that is left, and whether the iterator ended.
    forward: Replay,
    backward: Option<(usize, Backward)>,
}

impl Entries {
    /// Iterates over the entries of `snapshot` whose numbers are in `wanted`.
    #[must_use]
    pub fn new(segments: Arc<dyn SegmentSource>, snapshot: Snapshot, wanted: Range<Sequence>) -> Entries {
        Entries { forward: Replay::new(segments, snapshot, wanted), backward: None }
    }

    /// The next entry from the front, lent; `None` at the end, and after an error.
    ///
    /// # Errors
    /// As [`Replay::next`].
    #[inline]
    pub fn lend_next(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        self.forward.next()
    }

    fn retreat(&mut self) -> Result<Option<Entry>, Error> {
        let Replay { segments, snapshot, wanted, .. } = &mut self.forward;
        // A reader that names an end does not ask what follows it.
        let whole = wanted.end > snapshot.next();
        if whole {
            wanted.end = snapshot.next();
        }
        while !wanted.is_empty() {
            let before = wanted.end;
            let Some((index, backward)) = &mut self.backward else {
                let last = snapshot.find_before(before);
                let Some(span) = snapshot.span(last) else { break };
                let backward = Backward::begin(segments.as_ref(), span, before, whole)?;
                self.backward = Some((last, backward));
                continue;
            };
            match backward.next_back(before)? {
                Some(place) if place.sequence < wanted.start => break,
                Some(place) => {
                    wanted.end = place.sequence;
                    return Ok(Some(backward.frames.own(place)));
                }
                None => {
                    let Some(earlier) = index.checked_sub(1) else { break };
                    let Some(span) = snapshot.span(earlier) else { break };
                    let backward = Backward::begin(segments.as_ref(), span, before, true)?;
                    self.backward = Some((earlier, backward));
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.lend_next().map(|entry| entry.map(EntryRef::to_owned)).transpose()
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.forward.done {
            return None;
        }
        let last = self.forward.wanted.end.value().saturating_sub(1);
        let last = Sequence::try_from(last).unwrap_or(Sequence::MAX);
        let item = self.forward.end().and_then(|()| self.retreat());
        let item = item.map_err(|error| self.forward.explained(last, error)).transpose();
        if !matches!(item, Some(Ok(_))) {
            self.forward.finish();
        }
        item
    }
}

impl FusedIterator for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.forward.wanted;
        write!(f, "Entries({start} to before {end})")
    }
}
