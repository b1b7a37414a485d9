//! Reading: entries as applications see them, and the mappings that readers share.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use wal_format::Sequence;
use wal_segment::io::{Directory, Mapping};
use wal_segment::{MapCache, Shelf, Snapshot, Span};
use wal_sync::primitives::Mutex;

use crate::error::{Error, ErrorKind};
use crate::meters::Meters;

/// An entry of the log. Cheap to clone; it keeps the bytes that it lies in alive.
#[derive(Clone)]
pub struct Entry(wal_segment::Entry);

impl Entry {
    /// Its number.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence().value()
    }

    /// What was appended.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Entries in order, each checked against its checksum as it is handed out. Ends after the first error.
///
/// Shows the log as it was when the reader was made. Closed segments are read from memory mappings,
/// the last one with positional reads; nothing is copied from a mapping and nothing is allocated for an
/// entry.
#[derive(Debug)]
pub struct Entries {
    inner: wal_segment::Entries,
    library: Arc<Library>,
    /// What was handed out and is not counted yet.
    uncounted_entries: u64,
    uncounted_bytes: u64,
}

/// Counted so many at a time: an addition that other threads see is not for every entry.
const COUNTED_ENTRIES: u64 = 256;

impl Entries {
    pub(crate) fn range(library: &Arc<Library>, snapshot: Snapshot, range: impl RangeBounds<u64>) -> Entries {
        let wanted = sequences(range);
        Entries {
            inner: wal_segment::Entries::new(Arc::clone(library) as Arc<dyn Shelf>, snapshot, wanted),
            library: Arc::clone(library),
            uncounted_entries: 0,
            uncounted_bytes: 0,
        }
    }

    fn count(&mut self) {
        let (entries, bytes) = (self.uncounted_entries, self.uncounted_bytes);
        if entries > 0 {
            self.library.meters.read(entries, bytes);
            (self.uncounted_entries, self.uncounted_bytes) = (0, 0);
        }
    }

    pub(crate) fn from(library: &Arc<Library>, snapshot: Snapshot, first: u64) -> Result<Entries, Error> {
        let held = snapshot.first().value()..=snapshot.next().value();
        if !held.contains(&first) {
            return Err(Error::new(
                ErrorKind::OutOfRange,
                format!(
                    "{}: cannot read from {first}: the log holds {} to before {}",
                    library.directory().path().display(),
                    held.start(),
                    held.end()
                ),
            ));
        }
        Ok(Entries::range(library, snapshot, first..))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.inner.next()?.map(Entry).map_err(Error::from);
        if let Ok(entry) = &entry {
            self.uncounted_entries += 1;
            self.uncounted_bytes += entry.payload().len() as u64;
            if self.uncounted_entries >= COUNTED_ENTRIES {
                self.count();
            }
        }
        Some(entry)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.count();
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

/// The directory of a log, and the mappings that its readers share.
#[derive(Debug)]
pub(crate) struct Library {
    directory: Arc<dyn Directory>,
    meters: Arc<Meters>,
    maps: Option<Mutex<MapCache>>,
}

impl Library {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        meters: Arc<Meters>,
        mapped_segments: Option<usize>,
    ) -> Library {
        Library { directory, meters, maps: mapped_segments.map(|most| Mutex::new(MapCache::new(most))) }
    }

    pub(crate) fn directory_handle(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.directory)
    }

    /// Lets go of mappings that this snapshot does not need.
    pub(crate) fn keep(&self, snapshot: &Snapshot) {
        if let Some(maps) = &self.maps {
            maps.lock_whole().keep(snapshot);
        }
    }
}

impl Shelf for Library {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn mapping(&self, span: &Span) -> Result<Option<Arc<Mapping>>, wal_segment::Error> {
        let Some(maps) = &self.maps else { return Ok(None) };
        // A cache is whole at every moment, whatever panicked.
        maps.lock_whole().mapping(self.directory.as_ref(), span).map(Some)
    }
}
