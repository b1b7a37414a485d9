//! What a writer holds open, and the names that must lead to it.
//!
//! A lock and a sync are on a file, not on its name. When another program removes or replaces a file under the log, or
//! the directory itself, the handles go on as if nothing had happened, and the next open does not find what they accept. So
//! the names are looked at before each new segment and each write of the anchor:
//!
//! ```text
//!  path ──▶ the directory     elsewhere: the log goes on in the directory that it opened, and says so
//!  LOCK ──▶ the locked file   elsewhere: another writer may be at work   (only where the directory cannot be locked)
//!  ANCHOR ▶ the anchor        elsewhere: what it states is lost
//!  last segment ▶ its file    elsewhere: what was written to it is lost
//! ```
//!
//! In the last three cases nothing more is accepted.

use std::ffi::OsStr;
use std::io::ErrorKind;

use wal_format::LOCK_FILE;

use crate::error::{Error, Operation, Place};
use crate::files::named::Named;
use crate::io::{Directory, FileId, Lock};
use crate::rules::{Rule, Rules};

/// The lock of the one writer: on the file `LOCK`, and on the directory itself where that can be locked.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: Box<dyn Lock>,
    directory: Option<Box<dyn Lock>>,
}

impl WriterLock {
    /// Takes both locks, or none.
    ///
    /// # Errors
    /// [`Error::Locked`] at once when another writer has either; what the system reports.
    pub(crate) fn take(directory: &dyn Directory, rules: Rules) -> Result<WriterLock, Error> {
        let locked = || Error::Locked { directory: directory.path().to_path_buf() };
        // First: it changes nothing, and no name can be exchanged under it.
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
            // It was removed or replaced between the opening and the lock.
            Err(Error::Exchanged { .. }) => Err(locked()),
            checked => checked.map(|()| lock),
        }
    }

    /// Whether the directory itself is locked, so that another `LOCK` lets no second writer in.
    pub(crate) fn covers_directory(&self) -> bool {
        self.directory.is_some()
    }

    /// Whether no second writer gets in, whatever is done to the name of the lock.
    pub(crate) fn is_certain(&self) -> bool {
        self.covers_directory() || self.file.keeps_name()
    }

    /// The file that keeps other writers out, where the directory does not.
    fn id(&self) -> Option<FileId> {
        self.file.id().filter(|_| !self.covers_directory())
    }
}

/// A file that the log writes, and which one it is.
#[derive(Clone, Debug)]
pub struct WatchedFile {
    /// Open: the number of a file that is gone may be given to another.
    file: Named,
    id: Option<FileId>,
}

impl WatchedFile {
    pub(crate) fn new(file: Named) -> Result<WatchedFile, Error> {
        let id = file.id()?;
        Ok(WatchedFile { file, id })
    }

    /// Fails when its name leads elsewhere.
    pub(crate) fn check(&self, directory: &dyn Directory) -> Result<(), Error> {
        match (self.id, self.file.path.file_name().and_then(OsStr::to_str)) {
            (Some(id), Some(name)) => leads_to(directory, name, id),
            // A system that does not tell, and no name of ours.
            _ => Ok(()),
        }
    }
}

/// All names that an open log stands on.
#[derive(Clone, Debug)]
pub struct WatchedNames {
    lock: Option<FileId>,
    /// None while it is made anew, and when that has failed.
    anchor: Option<WatchedFile>,
    /// The last segment, once there is one.
    last: Option<WatchedFile>,
    /// How often either was set anew.
    changes: u64,
    rules: Rules,
}

impl WatchedNames {
    pub(crate) fn new(
        lock: &WriterLock,
        anchor: WatchedFile,
        last: Option<WatchedFile>,
        rules: Rules,
    ) -> WatchedNames {
        WatchedNames { lock: lock.id(), anchor: Some(anchor), last, changes: 0, rules }
    }

    /// The log goes on in this segment.
    pub fn enter(&mut self, segment: WatchedFile) {
        self.last = Some(segment);
        self.changes += 1;
    }

    /// The anchor was made anew; or it is about to be, and its name may lead anywhere.
    pub fn set_anchor(&mut self, anchor: Option<WatchedFile>) {
        self.anchor = anchor;
        self.changes += 1;
    }

    /// Whether these are the same names as before. The log takes the name of a segment away itself, but not before it has
    /// gone on in another: what was seen of older names means nothing.
    #[must_use]
    pub fn is_current(&self, looked_at: &WatchedNames) -> bool {
        self.changes == looked_at.changes
    }

    /// Looks where the names lead. Costs a question to the system for each. Returns whether the path of the directory
    /// leads to it; what cannot be told counts as if it did.
    ///
    /// # Errors
    /// [`Error::Exchanged`] when a file was removed or replaced: nothing more may be accepted. What the system reports.
    pub fn check(&self, directory: &dyn Directory) -> Result<bool, Error> {
        if self.rules.keeps(Rule::NamesChecked) {
            if let Some(id) = self.lock {
                leads_to(directory, LOCK_FILE, id)?;
            }
            for held in self.anchor.iter().chain(&self.last) {
                held.check(directory)?;
            }
        }
        Ok(directory.is_at_path().unwrap_or(true))
    }
}

fn leads_to(directory: &dyn Directory, name: &str, id: FileId) -> Result<(), Error> {
    let exchanged = |gone| Error::Exchanged { file: directory.path().join(name), gone };
    match directory.id_of(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(exchanged(true)),
        Ok(Some(found)) if found != id => Err(exchanged(false)),
        told => told.map(|_| ()).place(Operation::Open, || directory.path().join(name), None),
    }
}
