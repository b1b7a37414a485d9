//! Reading one entry, or a range of entries, by sequence number.

use std::ops::RangeBounds;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::log::Wal;
use crate::read::entries::Entries;
use crate::read::entry::Entry;
use crate::read::reader::Reader;

impl Wal {
    /// Reads the entry with this sequence number, without scanning the entries before it. From a sealed segment that is
    /// memory-mapped it copies and allocates nothing.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when the log does not contain the entry, or has not written it yet;
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::Missing`] when it is damaged; [`ErrorKind::Poisoned`],
    /// [`ErrorKind::Closed`].
    pub fn read(&self, sequence: u64) -> Result<Entry, Error> {
        self.engine().cache.read(&self.snapshot()?, sequence)
    }

    /// Iterates over the entries from `first` to the end of the log, those that are written at the time of the call.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `first` is before the first entry that is kept, or after the
    /// next one; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn read_from(&self, first: u64) -> Result<Entries, Error> {
        Entries::from(&self.engine().cache, self.snapshot()?, first)
    }

    /// Iterates over the written entries whose numbers lie in `range`; backwards with [`rev`](Iterator::rev). Numbers
    /// that the log does not contain are skipped.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<Entries, Error> {
        Ok(Entries::range(&self.engine().cache, self.snapshot()?, range))
    }

    /// Replays the written entries whose numbers lie in `range`, as [`Wal::range`] does, but lends each entry: the quickest
    /// way to read many.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn reader(&self, range: impl RangeBounds<u64>) -> Result<Reader, Error> {
        Ok(Reader::range(&self.engine().cache, self.snapshot()?, range))
    }
}
