//! [`Reader`]: replays a range of entries and lends them.

use std::ops::RangeBounds;
use std::sync::Arc;

use wal_segment::{Replay, SegmentSource, Snapshot};

use crate::error::Error;
use crate::read::cache::SegmentCache;
#[cfg(doc)]
use crate::read::entries::Entries;
use crate::read::entries::sequences;
use crate::read::lent::{Batch, EntryRef};
use crate::read::read_counter::ReadCounter;

/// Replays entries in order and lends each to the caller, until it asks for the next one. The quickest way to read a log:
/// nothing is copied, allocated or reference-counted for an entry.
///
/// ```
/// # fn main() -> Result<(), wal::Error> {
/// # let scratch = tempfile::tempdir().expect("a temporary directory");
/// # let wal = wal::Options::new().open(&scratch.path().join("log"))?;
/// # wal.append_batch([b"set a=1", b"set b=2"])?;
/// let mut reader = wal.reader(..)?;
/// while let Some(entry) = reader.next()? {
///     println!("{}: {} bytes", entry.sequence(), entry.len());
/// }
///
/// // The same, with fewer steps for an entry.
/// let mut reader = wal.reader(..)?;
/// let mut bytes = 0;
/// while let Some(batch) = reader.next_batch()? {
///     bytes += batch.map(|entry| entry.len()).sum::<usize>();
/// }
/// assert_eq!(bytes, 14);
/// # wal.close()
/// # }
/// ```
///
/// It shows the log as it was when the reader was created, and verifies the same as [`Entries`], which owns its entries and
/// also reads backward: the header and the table of each frame once, and each entry against its checksum before it is
/// returned. Sealed segments are read from memory mappings, the active segment with positional reads of 256 KiB.
#[derive(Debug)]
pub struct Reader {
    inner: Replay,
    counter: ReadCounter,
}

impl Reader {
    pub(crate) fn range(
        cache: &Arc<SegmentCache>,
        snapshot: Snapshot,
        range: impl RangeBounds<u64>,
    ) -> Reader {
        let segments = Arc::clone(cache) as Arc<dyn SegmentSource>;
        let inner = Replay::new(segments, snapshot, sequences(range));
        Reader { inner, counter: ReadCounter::new(Arc::clone(cache)) }
    }

    /// Returns the next entry; `None` at the end of the range or of the log, and after an error.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or [`ErrorKind::Missing`](crate::ErrorKind::Missing) at a
    /// damaged entry or frame, after every entry before it was returned;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io). Of a [`View`](crate::View) also
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) and [`ErrorKind::Truncated`](crate::ErrorKind::Truncated),
    /// when the writer has truncated the log since.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<EntryRef<'_>>, Error> {
        let Some(entry) = self.inner.next()? else { return Ok(None) };
        self.counter.add(1, entry.payload().len());
        Ok(Some(EntryRef::new(entry)))
    }

    /// Returns the next entries as a batch, all verified: those that were written in one frame, or part of it, about 64 KiB
    /// of them or one longer entry. `None` at the end of the range or of the log, and after an error. May be mixed with
    /// [`Reader::next`].
    ///
    /// # Errors
    /// As [`Reader::next`]. A batch ends before a damaged entry, and the next call fails.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        let Some(batch) = self.inner.next_batch()? else { return Ok(None) };
        self.counter.add(batch.len() as u64, batch.payload_bytes());
        Ok(Some(Batch::new(batch)))
    }
}
