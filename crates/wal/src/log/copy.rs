//! Online backup: copying a log while it is written.

use std::path::Path;

use wal_segment::io::Directory;
use wal_segment::{CopyReport, SegmentSource, copy};

use crate::error::Error;
use crate::log::Wal;
use crate::options::directory::create_directory;
use crate::view::View;

impl Wal {
    /// Makes an online backup: copies all entries written at the time of the call into the directory `path`, which must
    /// be empty or absent; its parent must exist. Appends and truncations go on meanwhile; files that a truncation drops
    /// stay until the copy is finished.
    ///
    /// The copy is durable when this returns, every byte of it was verified, and it opens like a log whose process was
    /// killed. It has the id and the sequence numbers of this log. If both are appended to, they are different logs with
    /// one id, and their files must not be mixed. The copy may have entries that were written and not yet durable in
    /// this log, and that only this log loses in a power loss.
    ///
    /// Costs reading the log twice and writing it once, and a buffer of 1 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::NotEmpty`] and [`ErrorKind::Locked`] for the target, and then nothing in it was changed;
    /// [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] with the file, in either directory; [`ErrorKind::Corrupt`] and
    /// [`ErrorKind::Missing`] when this log is damaged; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`]. After an error the
    /// copied files are removed; the directory and a file `LOCK` may stay. If the process dies during the copy, every open
    /// of the target fails: it never opens as a shorter log.
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
        // A closed log creates no directory.
        self.engine().commits.check()?;
        self.copy_into(create_directory(path.as_ref())?.as_ref())
    }

    /// As [`Wal::copy_to`], into a [`Directory`].
    ///
    /// # Errors
    /// As [`Wal::copy_to`].
    pub fn copy_into(&self, target: &dyn Directory) -> Result<CopyReport, Error> {
        let snapshot = self.snapshot()?;
        Ok(copy(self.engine().cache.directory(), &snapshot, target)?)
    }
}

impl View {
    /// Copies the log as this view shows it, as [`Wal::copy_to`]. But a writer may remove files by a truncation meanwhile:
    /// then this fails with [`ErrorKind::Missing`], and a new view can be copied. A damaged log is not
    /// copied; [`Options::open_salvage`](crate::Options::open_salvage) reads it.
    ///
    /// # Errors
    /// As [`Wal::copy_to`].
    ///
    /// [`ErrorKind::Missing`]: crate::ErrorKind::Missing
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<CopyReport, Error> {
        self.copy_into(create_directory(path.as_ref())?.as_ref())
    }

    /// As [`View::copy_to`], into a [`Directory`].
    ///
    /// # Errors
    /// As [`View::copy_to`].
    pub fn copy_into(&self, target: &dyn Directory) -> Result<CopyReport, Error> {
        Ok(copy(self.cache.directory(), &self.snapshot, target)?)
    }
}
