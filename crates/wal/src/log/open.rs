//! Opening a log: for appending, with a check that it is not an older state, or read-only.

use std::path::Path;
use std::sync::Arc;

use wal_segment::io::Directory;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::log::Wal;
use crate::options::Options;
use crate::options::directory::open_directory;
use crate::read::cache::SegmentCache;
use crate::read::open_segments::sparing;
use crate::report::counters::Counters;
use crate::view::View;

impl Options {
    /// Opens the log in the directory `path` for appending, after crash recovery.
    ///
    /// It fails on a damaged log, and changes nothing in it, when
    /// - no slot of `ANCHOR` can be read, though there are segments;
    /// - a segment is missing, or ends before the place that the next one states, or neither copy of its header, or its first
    ///   frame, can be read;
    /// - a frame of the last segment that is recorded as durable does not verify;
    /// - a frame follows a SEAL that ended the segment, or the SEAL of the close that `ANCHOR` states: as in a copy that
    ///   was made file by file, with an older `ANCHOR`.
    ///
    /// It does not read the entries of earlier segments, nor those of a cleanly closed log: damage to them is reported when
    /// they are read, and by [`View::verify`].
    ///
    /// A missing directory is created, without its parents, unless [`Options::open_mode`] says otherwise.
    /// [`Wal::recovery`] reports what was found; all of it is durable when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`]; [`ErrorKind::NoLog`] and [`ErrorKind::Exists`] as [`Options::open_mode`] says;
    /// [`ErrorKind::Locked`], without waiting, when another writer has the log open;
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::Missing`] when acknowledged entries are damaged or missing, and
    /// then nothing was changed; [`ErrorKind::Unsupported`]; [`ErrorKind::Io`]. Only a new log needs free space.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Wal, Error> {
        self.check()?;
        self.open_in(self.directory(path.as_ref(), true)?)
    }

    /// As [`Options::open`], through a [`Directory`], for example a simulated one.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open_in(&self, directory: Arc<dyn Directory>) -> Result<Wal, Error> {
        self.check()?;
        Wal::open(self, directory, 0)
    }

    /// Opens the log in the directory `path` read-only: without its lock, beside a writer or on read-only media,
    /// and without changing a byte. The view shows the log as it is at this moment.
    ///
    /// # Errors
    /// [`ErrorKind::NoLog`], [`ErrorKind::Unsupported`], [`ErrorKind::Io`]. Damage is no error here: the entries before
    /// it can be read, and a reader that reaches it fails.
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<View, Error> {
        self.check()?;
        let path = path.as_ref();
        self.open_read_only_in(open_directory(path)?)
    }

    /// As [`Options::open_read_only`], through a [`Directory`].
    ///
    /// # Errors
    /// As [`Options::open_read_only`].
    pub fn open_read_only_in(&self, directory: Arc<dyn Directory>) -> Result<View, Error> {
        self.check()?;
        let (directory, segments) = sparing(directory, self.mapped_reads);
        View::look(Arc::new(SegmentCache::new(directory, segments, Arc::new(Counters::default()))))
    }

    /// As [`Options::open`], but fails on a log that ends before `sequence`, to detect a restored backup or lost
    /// acknowledged entries. `sequence` is the next number after the last acknowledged entry, stored outside the log: a
    /// value that [`Wal::durable_end`] returned.
    ///
    /// An older state of the directory, from a backup or a volume snapshot, is consistent in itself, and so is the empty
    /// directory of a volume that is not mounted: [`Options::open`] cannot detect either. This also detects damage to
    /// entries that only the last sync covered, which looks like a torn write.
    ///
    /// It does not detect a log with other entries under the same numbers. With 0 it equals [`Options::open`]. The next
    /// number of a log to be created is [`first_sequence`](Options::first_sequence).
    ///
    /// # Errors
    /// [`ErrorKind::RolledBack`] when the log ends before `sequence`; [`Error::next_sequence`] returns where.
    /// [`ErrorKind::NoLog`] when there is none. In both cases nothing was changed, except that an existing directory may
    /// have got a file `LOCK`. Otherwise as [`Options::open`]; damage is reported first.
    pub fn open_expecting(&self, path: impl AsRef<Path>, sequence: u64) -> Result<Wal, Error> {
        self.check()?;
        let path = path.as_ref();
        let new_would_do = sequence <= self.first_sequence.unwrap_or(0);
        let directory = self.directory(path, new_would_do)?;
        self.open_expecting_in(directory, sequence)
    }

    /// As [`Options::open_expecting`], through a [`Directory`].
    ///
    /// # Errors
    /// As [`Options::open_expecting`].
    pub fn open_expecting_in(&self, directory: Arc<dyn Directory>, sequence: u64) -> Result<Wal, Error> {
        self.check()?;
        Wal::open(self, directory, sequence)
    }
}
