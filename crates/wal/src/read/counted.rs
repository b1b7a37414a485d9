//! Counts the entries that a reader returns, and reports them to the log a few hundred at a time.

use std::sync::Arc;

use crate::read::cache::Library;
use crate::read::entry::Entry;

/// Entries that one reader has returned and not reported to the log's counters yet.
#[derive(Debug)]
pub(crate) struct Tally {
    library: Arc<Library>,
    entries: u64,
    bytes: u64,
}

/// Reported this many at a time: an addition to a shared counter is too slow for every entry.
const COUNTED_ENTRIES: u64 = 256;

impl Tally {
    pub(crate) fn new(library: Arc<Library>) -> Tally {
        Tally { library, entries: 0, bytes: 0 }
    }

    /// Counts an entry that is being returned.
    pub(crate) fn counted(&mut self, entry: wal_segment::Entry) -> Entry {
        self.entries += 1;
        self.bytes += entry.payload().len() as u64;
        if self.entries >= COUNTED_ENTRIES {
            self.count();
        }
        Entry::new(entry)
    }

    /// Reports to the log's counters.
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
