//! [`Entries`]: an iterator over a range of entries, forwards or backwards.

use std::iter::FusedIterator;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use wal_format::Sequence;
use wal_segment::{SegmentSource, Snapshot};

use crate::error::Error;
use crate::read::cache::SegmentCache;
use crate::read::entry::Entry;
use crate::read::read_counter::ReadCounter;

/// An iterator over entries in order, or backwards with [`rev`](Iterator::rev); it may be advanced from both ends. Each
/// entry is verified against its checksum when it is returned. After the first error it ends, at both ends.
///
/// To replay a log, a [`Reader`](crate::Reader) is quicker: it lends its entries, where each of these counts a reference
/// to the bytes that it lies in.
///
/// It shows the log as it was when the iterator was created. Sealed segments are read from memory mappings, without a
/// copy or an allocation for an entry; the active segment with positional reads.
///
/// Backwards, damage at the end of the log is the first item. At a damaged frame header, a backward reader loses up
/// to 64 KiB of entries more than a forward one: those between the header and the next index point.
#[derive(Debug)]
pub struct Entries {
    inner: wal_segment::Entries,
    counter: ReadCounter,
}

impl Entries {
    pub(crate) fn range(
        cache: &Arc<SegmentCache>,
        snapshot: Snapshot,
        range: impl RangeBounds<u64>,
    ) -> Entries {
        let wanted = sequences(range);
        Entries {
            inner: wal_segment::Entries::new(Arc::clone(cache) as Arc<dyn SegmentSource>, snapshot, wanted),
            counter: ReadCounter::new(Arc::clone(cache)),
        }
    }

    pub(crate) fn from(cache: &Arc<SegmentCache>, snapshot: Snapshot, first: u64) -> Result<Entries, Error> {
        cache.check_start(&snapshot, "read", first)?;
        Ok(Entries::range(cache, snapshot, first..))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Made owned only here: every return of an owned entry by value copies it.
        match self.inner.lend_next() {
            Ok(Some(entry)) => {
                self.counter.add(1, entry.payload().len());
                Some(Ok(Entry::new(entry.to_owned())))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.inner.next_back()?;
        Some(entry.map(|entry| self.counter.counted(entry)).map_err(Error::from))
    }
}

impl FusedIterator for Entries {}

/// A range of integers as sequence numbers, clamped to the largest one.
pub(super) fn sequences(range: impl RangeBounds<u64>) -> Range<Sequence> {
    let bounded = |number: u64| Sequence::try_from(number).unwrap_or(Sequence::MAX);
    let start = match range.start_bound() {
        Bound::Unbounded => 0,
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
    };
    let end = match range.end_bound() {
        Bound::Unbounded => u64::MAX,
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
    };
    bounded(start)..bounded(end)
}
