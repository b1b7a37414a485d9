//! Opening for somebody who knows more than the directory: how far the log had got.

use std::path::Path;
use std::sync::Arc;

use wal_segment::io::Directory;

use crate::error::Error;
use crate::log::Wal;
use crate::options::Options;

impl Options {
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
    ///
    /// [`ErrorKind::RolledBack`]: crate::ErrorKind::RolledBack
    /// [`ErrorKind::NoLog`]: crate::ErrorKind::NoLog
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
