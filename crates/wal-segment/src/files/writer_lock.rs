//! The lock that keeps a second writer out.

use std::io::ErrorKind;

use wal_format::LOCK_FILE;

use crate::error::{Error, Operation, Place};
use crate::files::named::leads_to;
use crate::io::{Directory, FileId, Lock};
use crate::rules::{Rule, Rules};

/// The lock of the one writer: on the file `LOCK`, and on the directory itself where the system can lock it.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: Box<dyn Lock>,
    directory: Option<Box<dyn Lock>>,
}

impl WriterLock {
    /// Takes both locks, or neither.
    ///
    /// # Errors
    /// [`Error::Locked`] at once when another writer has either; what the system reports.
    pub(crate) fn take(directory: &dyn Directory, rules: Rules) -> Result<WriterLock, Error> {
        let locked = || Error::Locked { directory: directory.path().to_path_buf() };
        // The directory first: that changes nothing, and it has no name that could be exchanged.
        let own = match directory.lock_directory() {
            _ if !rules.keeps(Rule::DirectoryLocked) => None,
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(locked()),
            taken => Some(taken.place(Operation::Lock, || directory.path().to_path_buf(), None)?),
        };
        let file = match directory.lock(LOCK_FILE) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(locked()),
            taken => taken.place(Operation::Lock, || directory.path().join(LOCK_FILE), None)?,
        };
        let lock = WriterLock { file, directory: own };
        match lock.id().map_or(Ok(()), |id| leads_to(directory, LOCK_FILE, id)) {
            // The file was removed or replaced between the opening and the lock.
            Err(Error::Exchanged { .. }) => Err(locked()),
            checked => checked.map(|()| lock),
        }
    }

    /// Whether the directory itself is locked, so that a new `LOCK` lets no second writer in.
    pub(crate) fn covers_directory(&self) -> bool {
        self.directory.is_some()
    }

    /// Whether a second writer is kept out even if the name of the lock is exchanged.
    pub(crate) fn is_certain(&self) -> bool {
        self.covers_directory() || self.file.keeps_name()
    }

    /// The identity of the `LOCK` file, where it alone keeps other writers out.
    pub(super) fn id(&self) -> Option<FileId> {
        self.file.id().filter(|_| !self.covers_directory())
    }
}
