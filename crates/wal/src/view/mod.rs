//! A log for reading, without its lock: as it is at one moment, as it grows, and what can be had of a damaged one.

pub(crate) mod follow;
pub(crate) mod salvage;

use std::ops::{Range, RangeBounds};
use std::path::PathBuf;
use std::sync::Arc;

use wal_format::{ChecksumKind, LogId, SegmentName};
use wal_segment::{Recovery, SegmentSource, Snapshot, Verification, look, verify};

use crate::error::Error;
use crate::read::cache::Library;
use crate::read::entries::Entries;
use crate::read::entry::Entry;

/// A log as it was when it was looked at. Has no `append`, does not need the log's lock, changes nothing.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) library: Arc<Library>,
    pub(crate) snapshot: Snapshot,
    recovery: Recovery,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub file: PathBuf,
    /// The numbers of its entries.
    pub sequences: Range<u64>,
    /// Where the log's part of it ends, in bytes from the start of the file.
    pub bytes: u64,
    /// How its payloads are checked.
    pub checksum: ChecksumKind,
    /// Whether it has ended, because a later segment was begun; or the log was closed in it.
    pub closed: bool,
}

impl View {
    pub(crate) fn look(library: Arc<Library>) -> Result<View, Error> {
        let (snapshot, recovery) = look(library.directory())?;
        Ok(View { library, snapshot, recovery })
    }

    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Which log this is, as [`Wal::id`](crate::Wal::id); none where no anchor can be read.
    #[must_use]
    pub fn id(&self) -> Option<LogId> {
        self.recovery.log
    }

    /// How the log ended, and what is wrong with it.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The number of the first entry that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.snapshot.first().value()
    }

    /// The number of the last entry; `None` in an empty log.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.written() - 1)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written() == self.first()
    }

    /// The number of the next entry: what can be read lies in front of it.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.snapshot.next().value()
    }

    /// The number of the first entry that nothing on disk states to be durable. Beside a writer, and
    /// after a kill, more may be durable than that. Entries from there on may be taken back by a failed sync or a crash,
    /// and then other entries get their numbers.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.recovery.durable
    }

    /// The segments that hold the log, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + '_ {
        let directory = self.library.directory().path();
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

    /// The entry with this number, found without reading what lies in front of it.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) when the log does not hold it; the damage, when
    /// it or all behind the view's end is damaged; [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) when it was cut off
    /// meanwhile.
    pub fn read(&self, sequence: u64) -> Result<Entry, Error> {
        self.library.read(&self.snapshot, sequence)
    }

    /// The entries from `first` on. At damage it says what is damaged, and ends. Nothing keeps the files of a view: where
    /// a truncation has dropped them meanwhile, it says [`OutOfRange`](crate::ErrorKind::OutOfRange) (the front) or
    /// [`Truncated`](crate::ErrorKind::Truncated) (the end), and ends: a new view has what the log holds.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`](crate::ErrorKind::OutOfRange) when `first` is in front of the first
    /// entry that is kept, or beyond the next one.
    pub fn read_from(&self, first: u64) -> Result<Entries, Error> {
        Entries::from(&self.library, self.snapshot.clone(), first)
    }

    /// The entries whose numbers lie in `range`, as far as there are any; backwards with
    /// [`rev`](Iterator::rev).
    pub fn range(&self, range: impl RangeBounds<u64>) -> Entries {
        Entries::range(&self.library, self.snapshot.clone(), range)
    }

    /// Looks at the log anew and checks every byte of it.
    ///
    /// # Errors
    /// When it cannot be read, or is truncated meanwhile, again and again. Damage is what it reports, not an error.
    pub fn verify(&self) -> Result<Verification, Error> {
        Ok(verify(self.library.directory())?)
    }
}
