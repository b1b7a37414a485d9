//! The entries of a range, in order or from the last one back.

use std::iter::FusedIterator;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use wal_format::Sequence;
use wal_segment::{SegmentSource, Snapshot};

use crate::error::Error;
use crate::read::cache::Library;
use crate::read::counted::Tally;
use crate::read::entry::Entry;

/// Entries in order, or with [`rev`](Iterator::rev) from the last one back, each checked against its checksum
/// as it is handed out. May be taken from both ends. Ends, at both, after the first error.
///
/// Backwards, damage is told where it is met: what cannot be read at the end of a log comes first. A frame
/// header that is damaged costs a reader who comes from behind up to 64 KiB more than one who comes from the
/// front: what was written between it and the next index point.
///
/// Shows the log as it was when the reader was made. Closed segments are read from memory mappings,
/// the last one with positional reads; nothing is copied from a mapping and nothing is allocated for an
/// entry.
#[derive(Debug)]
pub struct Entries {
    inner: wal_segment::Entries,
    tally: Tally,
}

impl Entries {
    pub(crate) fn range(library: &Arc<Library>, snapshot: Snapshot, range: impl RangeBounds<u64>) -> Entries {
        let wanted = sequences(range);
        Entries {
            inner: wal_segment::Entries::new(Arc::clone(library) as Arc<dyn SegmentSource>, snapshot, wanted),
            tally: Tally::new(Arc::clone(library)),
        }
    }

    fn counted(&mut self, entry: Result<wal_segment::Entry, wal_segment::Error>) -> Result<Entry, Error> {
        Ok(self.tally.counted(entry?))
    }

    pub(crate) fn from(library: &Arc<Library>, snapshot: Snapshot, first: u64) -> Result<Entries, Error> {
        library.check_start(&snapshot, "read", first)?;
        Ok(Entries::range(library, snapshot, first..))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.inner.next()?;
        Some(self.counted(entry))
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.inner.next_back()?;
        Some(self.counted(entry))
    }
}

impl FusedIterator for Entries {}

/// A range of integers as sequences; what lies beyond the largest sequence is empty.
fn sequences(range: impl RangeBounds<u64>) -> Range<Sequence> {
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
