//! Opening a log: for appending, no older than the caller knows it to be, or for reading.

use std::path::Path;
use std::sync::Arc;

use wal_segment::io::Directory;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::log::Wal;
use crate::options::Options;
use crate::options::directory::existing;
use crate::read::cache::Library;
use crate::read::open_segments::sparing;
use crate::report::counters::Meters;
use crate::view::View;

impl Options {
    /// Opens the log in `path` for appending.
    ///
    /// It refuses a damaged log, and changes nothing in it, when
    /// - no slot of `ANCHOR` can be read, though there are segments;
    /// - a segment is missing, or ends before the place that the next one states, or neither copy of its header, or its first
    ///   frame, can be read;
    /// - a frame of the last segment does not verify that something states to be durable;
    /// - a frame follows a SEAL that ended the segment, or the SEAL of the close that `ANCHOR` states: as in a copy that
    ///   was made file by file, with an older `ANCHOR`.
    ///
    /// It does not read the entries of earlier segments, nor those of a log that was closed: damage to them is reported when
    /// they are read, and by [`View::verify`].
    ///
    /// The directory is created if it is not there, its parents are not, unless [`Options::open_mode`] says otherwise.
    /// What is found is in [`Wal::recovery`]; everything in it is durable when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`]; [`ErrorKind::NoLog`] and [`ErrorKind::Exists`] as [`Options::open_mode`] says;
    /// [`ErrorKind::Locked`] at once when another writer has the log;
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::Missing`] when acknowledged entries are not all there, and
    /// then nothing was changed; [`ErrorKind::Unsupported`]; [`ErrorKind::Io`]. Never needs free space,
    /// but for a new log.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Wal, Error> {
        self.check()?;
        self.open_in(self.directory(path.as_ref(), true)?)
    }

    /// Opens the log in any directory behind the seam, for example a simulated one.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open_in(&self, directory: Arc<dyn Directory>) -> Result<Wal, Error> {
        self.check()?;
        Wal::open(self, directory, 0)
    }

    /// Looks at the log in `path` for reading: without its lock, beside a writer or on read-only media,
    /// and without changing a byte. Shows the log as it is at this moment.
    ///
    /// # Errors
    /// [`ErrorKind::NoLog`], [`ErrorKind::Unsupported`], [`ErrorKind::Io`]. Damage is no error here:
    /// what is good in front of it can be read, and a reader that comes to it is told.
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<View, Error> {
        self.check()?;
        let path = path.as_ref();
        self.open_read_only_in(existing(path)?)
    }

    /// Looks at the log in any directory behind the seam.
    ///
    /// # Errors
    /// As [`Options::open_read_only`].
    pub fn open_read_only_in(&self, directory: Arc<dyn Directory>) -> Result<View, Error> {
        self.check()?;
        let (directory, segments) = sparing(directory, self.mapped_reads);
        View::look(Arc::new(Library::new(directory, segments, Arc::new(Meters::new()))))
    }

    /// As [`Options::open`], for a caller who knows that everything in front of `sequence` was acknowledged:
    /// what [`Wal::durable`] had returned, or the number behind the last acknowledged entry, kept somewhere else.
    /// Opens the log if its next number is at least that. An older state of the directory, restored from a backup
    /// or by a snapshot of the volume, is consistent in itself, and so is an empty directory where a volume was not
    /// mounted: [`Options::open`] cannot tell, and this can. It also notices when entries that only the last sync
    /// had covered were damaged, which look like a torn tail.
    ///
    /// It cannot tell a log with other entries under the same numbers. With 0 it is [`Options::open`]. A log that
    /// is to be made begins with [`first_sequence`](Options::first_sequence), which is its next number too.
    ///
    /// # Errors
    /// [`ErrorKind::RolledBack`] when the log ends before, and [`Error::next_sequence`] tells where;
    /// [`ErrorKind::NoLog`] when there is none. Then nothing was changed, but that a directory which is there may
    /// have got a file `LOCK`. Else as [`Options::open`]; damage is told first.
    pub fn open_expecting(&self, path: impl AsRef<Path>, sequence: u64) -> Result<Wal, Error> {
        self.check()?;
        let path = path.as_ref();
        let new_would_do = sequence <= self.first_sequence.unwrap_or(0);
        let directory = self.directory(path, new_would_do)?;
        self.open_expecting_in(directory, sequence)
    }

    /// As [`Options::open_expecting`], in any directory behind the seam.
    ///
    /// # Errors
    /// As [`Options::open_expecting`].
    pub fn open_expecting_in(&self, directory: Arc<dyn Directory>, sequence: u64) -> Result<Wal, Error> {
        self.check()?;
        Wal::open(self, directory, sequence)
    }
}
