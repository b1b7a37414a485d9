//! Counts what a reader hands out, a few hundred entries at a time.

use std::sync::Arc;

use crate::read::cache::Library;
use crate::read::entry::Entry;

/// What one reader has handed out and the log does not know of yet.
#[derive(Debug)]
pub(crate) struct Tally {
    library: Arc<Library>,
    entries: u64,
    bytes: u64,
}

/// Counted so many at a time: an addition that other threads see is not for every entry.
const COUNTED_ENTRIES: u64 = 256;

impl Tally {
    pub(crate) fn new(library: Arc<Library>) -> Tally {
        Tally { library, entries: 0, bytes: 0 }
    }

    /// An entry is handed out.
    pub(crate) fn counted(&mut self, entry: wal_segment::Entry) -> Entry {
        self.entries += 1;
        self.bytes += entry.payload().len() as u64;
        if self.entries >= COUNTED_ENTRIES {
            self.count();
        }
        Entry::new(entry)
    }

    /// Tells the log.
    pub(crate) fn count(&mut self) {
        if self.entries > 0 {
            self.library.count_read(self.entries, self.bytes);
            (self.entries, self.bytes) = (0, 0);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.count();
    }
}
