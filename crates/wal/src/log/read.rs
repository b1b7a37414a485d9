//! `Wal`: one entry by its number, and ranges.

use std::ops::RangeBounds;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::log::Wal;
use crate::read::entries::Entries;
use crate::read::entry::Entry;

impl Wal {
    /// The entry with this number, if it is written, found without reading what lies in front of it. In a
    /// closed segment that is mapped nothing is copied and nothing allocated.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when the log does not hold it, or only in memory yet;
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::Missing`] when it is damaged; [`ErrorKind::Poisoned`],
    /// [`ErrorKind::Closed`].
    pub fn read(&self, sequence: u64) -> Result<Entry, Error> {
        self.core().library.read(&self.snapshot()?, sequence)
    }

    /// The entries from `first` on, as the log is now: those that are written.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `first` is in front of the first entry that is kept, or beyond the
    /// next one; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn read_from(&self, first: u64) -> Result<Entries, Error> {
        Entries::from(&self.core().library, self.snapshot()?, first)
    }

    /// The entries whose numbers lie in `range`, as far as there are any now; backwards with
    /// [`rev`](Iterator::rev).
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<Entries, Error> {
        Ok(Entries::range(&self.core().library, self.snapshot()?, range))
    }
}
