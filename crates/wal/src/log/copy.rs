//! A copy of a log, also while it is written.

use std::path::Path;

use wal_segment::io::Directory;
use wal_segment::{CopyReport, SegmentSource, copy};

use crate::error::Error;
use crate::log::Wal;
use crate::options::directory::made;
use crate::view::View;

impl Wal {
    /// Copies the log into a directory that is empty, or not there and whose parent is: everything that is written
    /// now, and so at least everything that is durable now. Appends go on meanwhile, and so do truncations: files that
    /// they drop stay until the copy is made.
    ///
    /// The copy is durable when this returns, and opens like a log whose process was killed. Every byte was checked on
    /// the way. It has the id of this log, and the same numbers: it is a replica or a backup. When both are appended
    /// to they are two logs with one name, whose files must not be mixed. It may have entries that were written and
    /// not durable here, and that a loss of power takes away here alone.
    ///
    /// Takes the time to read the log twice and to write it once, and a buffer of 1 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::NotEmpty`] and [`ErrorKind::Locked`] for the target, and then nothing in it was changed;
    /// [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] with the file, in either directory; [`ErrorKind::Corrupt`] and
    /// [`ErrorKind::Missing`] when this log is damaged; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`]. What was made
    /// is removed, but for the directory and a file `LOCK`. If the process dies on the way, what is left is no
    /// log, or refused by every open; it never opens as a shorter one.
    ///
    /// [`ErrorKind::NotEmpty`]: crate::ErrorKind::NotEmpty
    /// [`ErrorKind::Locked`]: crate::ErrorKind::Locked
    /// [`ErrorKind::NoSpace`]: crate::ErrorKind::NoSpace
    /// [`ErrorKind::Io`]: crate::ErrorKind::Io
    /// [`ErrorKind::Corrupt`]: crate::ErrorKind::Corrupt
    /// [`ErrorKind::Missing`]: crate::ErrorKind::Missing
    /// [`ErrorKind::Poisoned`]: crate::ErrorKind::Poisoned
    /// [`ErrorKind::Closed`]: crate::ErrorKind::Closed
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<CopyReport, Error> {
        // A log that is over makes no directory.
        self.core().commits.check()?;
        self.copy_into(made(path.as_ref())?.as_ref())
    }

    /// As [`Wal::copy_to`], into any directory behind the seam.
    ///
    /// # Errors
    /// As [`Wal::copy_to`].
    pub fn copy_into(&self, target: &dyn Directory) -> Result<CopyReport, Error> {
        let snapshot = self.snapshot()?;
        Ok(copy(self.core().library.directory(), &snapshot, target)?)
    }
}

impl View {
    /// Copies the log as this view shows it. As [`Wal::copy_to`], but nothing keeps a writer from removing files that
    /// it truncates: then this is [`ErrorKind::Missing`], and a new view can be copied. A log that is damaged is not
    /// copied; [`Options::open_salvage`](crate::Options::open_salvage) reads it.
    ///
    /// # Errors
    /// As [`Wal::copy_to`].
    ///
    /// [`ErrorKind::Missing`]: crate::ErrorKind::Missing
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<CopyReport, Error> {
        self.copy_into(made(path.as_ref())?.as_ref())
    }

    /// As [`View::copy_to`], into any directory behind the seam.
    ///
    /// # Errors
    /// As [`View::copy_to`].
    pub fn copy_into(&self, target: &dyn Directory) -> Result<CopyReport, Error> {
        Ok(copy(self.library.directory(), &self.snapshot, target)?)
    }
}
