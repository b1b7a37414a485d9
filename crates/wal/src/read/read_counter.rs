//! Counts the entries that a reader returns, and reports them to the log a few hundred at a time.

use std::sync::Arc;

use crate::read::cache::SegmentCache;
use crate::read::entry::Entry;

/// Entries that one reader has returned and not reported to the log's counters yet.
#[derive(Debug)]
pub(crate) struct ReadCounter {
    cache: Arc<SegmentCache>,
    entries: u64,
    bytes: u64,
}

/// Reported this many at a time: an addition to a shared counter is too slow for every entry.
const COUNTED_ENTRIES: u64 = 256;

impl ReadCounter {
    pub(crate) fn new(cache: Arc<SegmentCache>) -> ReadCounter {
        ReadCounter { cache, entries: 0, bytes: 0 }
    }

    /// Counts entries that are being returned, with so many payload bytes.
    #[inline]
    pub(crate) fn add(&mut self, entries: u64, bytes: usize) {
        self.entries += entries;
        self.bytes += bytes as u64;
        if self.entries >= COUNTED_ENTRIES {
            self.count();
        }
    }

    /// Counts an entry that is being returned.
    #[inline]
    pub(crate) fn counted(&mut self, entry: wal_segment::Entry) -> Entry {
        self.add(1, entry.payload().len());
        Entry::new(entry)
    }

    /// Reports to the log's counters.
    pub(crate) fn count(&mut self) {
        if self.entries > 0 {
            self.cache.counters.read(self.entries, self.bytes);
            (self.entries, self.bytes) = (0, 0);
        }
    }
}

impl Drop for ReadCounter {
    fn drop(&mut self) {
        self.count();
    }
}
