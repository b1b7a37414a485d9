//! Read-only access without the log's lock: a [`View`] of one moment, tailing, and salvage of a damaged log.

pub(crate) mod follow;
pub(crate) mod salvage;

use std::ops::{Range, RangeBounds};
use std::path::PathBuf;
use std::sync::Arc;

use wal_format::{ChecksumKind, LogId, SegmentName};
use wal_segment::{Recovery, SegmentSource, Snapshot, Verification, look, verify};

use crate::error::Error;
use crate::read::cache::SegmentCache;
use crate::read::entries::Entries;
use crate::read::entry::Entry;
use crate::read::reader::Reader;

/// A read-only view of a log at the moment of [`Options::open_read_only`](crate::Options::open_read_only). It takes no lock
/// and changes nothing.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) snapshot: Snapshot,
    recovery: Recovery,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The segment number.
    pub number: u64,
    /// The path of its file.
    pub file: PathBuf,
    /// The sequence numbers of its entries.
    pub sequences: Range<u64>,
    /// The end of the log within the file, in bytes from its start; preallocated space may follow.
    pub bytes: u64,
    /// The checksum of its payloads.
    pub checksum: ChecksumKind,
    /// Whether it is sealed, because a later segment follows or the log was closed in it.
    pub closed: bool,
}

impl View {
    pub(crate) fn look(cache: Arc<SegmentCache>) -> Result<View, Error> {
        let (snapshot, recovery) = look(cache.directory())?;
        Ok(View { cache, snapshot, recovery })
    }

    /// The identity of the log, as [`Wal::id`](crate::Wal::id); `None` when no anchor can be read.
    #[must_use]
    pub fn id(&self) -> Option<LogId> {
        self.recovery.log
    }

    /// The recovery report: how the log ends, and what is wrong with it.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The start of the log: the sequence number of the oldest entry that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.snapshot.first().value()
    }

    /// The sequence number of the last entry; `None` in an empty log.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.written_end() - 1)
    }

    /// Whether the log has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written_end() == self.first()
    }

    /// The end of the log: the sequence number of the next entry. Entries before it can be read.
    #[must_use]
    pub fn written_end(&self) -> u64 {
        self.snapshot.next().value()
    }

    /// The end of the log that is recorded on disk as durable: every entry before this number is. Beside a writer, and
    /// after a kill, more may be durable. A failed sync or a crash may take back the entries from this number on,
    /// and then other entries get their numbers.
    #[must_use]
    pub fn durable_end(&self) -> u64 {
        self.recovery.durable
    }

    /// The segments of the log, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + '_ {
        let directory = self.cache.directory().path();
        let last = self.snapshot.spans().next_back().map(|span| span.life);
        let is_clean = self.recovery.ending == wal_segment::Ending::Clean;
        self.snapshot.spans().map(move |span| SegmentInfo {
            number: span.life.segment.value(),
            file: directory.join(SegmentName::of(span.life.segment).as_str()),
            sequences: span.start.next.max(self.snapshot.first()).value()..span.end.next.value(),
            bytes: span.end.offset,
            checksum: span.checksum,
            closed: is_clean || Some(span.life) != last,
        })
    }

    /// Reads the entry with this sequence number, without scanning the entries before it.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) when the log does not contain the entry; the damage, when
    /// the entry is damaged, or when it is after a damaged place that ends the view;
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) when a truncation has dropped it since.
    pub fn read(&self, sequence: u64) -> Result<Entry, Error> {
        self.cache.read(&self.snapshot, sequence)
    }

    /// Iterates over the entries from `first` on. At damage the iterator returns the error and ends. A view does not keep
    /// files from deletion: after a truncation by the writer the iterator fails with
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange) (oldest entries dropped) or
    /// [`Truncated`](crate::ErrorKind::Truncated) (newest entries dropped) and ends. A new view shows the current log.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) when `first` is before the first
    /// entry that is kept, or after the next one.
    pub fn read_from(&self, first: u64) -> Result<Entries, Error> {
        Entries::from(&self.cache, self.snapshot.clone(), first)
    }

    /// Iterates over the entries whose numbers lie in `range`; backwards with [`rev`](Iterator::rev). Numbers that the
    /// log does not contain are skipped.
    pub fn range(&self, range: impl RangeBounds<u64>) -> Entries {
        Entries::range(&self.cache, self.snapshot.clone(), range)
    }

    /// Replays the entries whose numbers lie in `range`, as [`View::range`] does, but lends each entry: the quickest way to
    /// read many.
    pub fn reader(&self, range: impl RangeBounds<u64>) -> Reader {
        Reader::range(&self.cache, self.snapshot.clone(), range)
    }

    /// Verifies every byte of the log, in its current state instead of the view's.
    ///
    /// # Errors
    /// When the log cannot be read, or is truncated meanwhile again and again. Damage is reported in the result and is not
    /// an error.
    pub fn verify(&self) -> Result<Verification, Error> {
        Ok(verify(self.cache.directory())?)
    }
}
