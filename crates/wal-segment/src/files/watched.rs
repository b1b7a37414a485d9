//! The names that must lead to the files that the writer has open.
//!
//! A lock and an fsync act on a file, not on its name. When another program removes or replaces a file of the
//! log, or its directory, the open handles keep working, but the next open does not find what was written
//! through them. So the writer checks the names before each new segment and each write of the anchor:
//!
//! ```text
//!  path ──▶ the directory     elsewhere: the log goes on in the directory that it opened, and says so
//!  LOCK ──▶ the locked file   elsewhere: another writer may be at work   (only where the directory cannot be locked)
//!  ANCHOR ▶ the anchor        elsewhere: what it states is lost
//!  last segment ▶ its file    elsewhere: what was written to it is lost
//! ```
//!
//! In the last three cases the log accepts nothing more.

use std::ffi::OsStr;

use wal_format::LOCK_FILE;

use crate::error::Error;
use crate::files::named::{Named, leads_to};
use crate::files::writer_lock::WriterLock;
use crate::io::{Directory, FileId};
use crate::rules::{Rule, Rules};

/// A file that the log writes, and its identity.
#[derive(Clone, Debug)]
pub struct WatchedFile {
    /// Kept open: the system may give the identity of a deleted file to another.
    pub(crate) file: Named,
    id: Option<FileId>,
}

impl WatchedFile {
    pub(crate) fn new(file: Named) -> Result<WatchedFile, Error> {
        let id = file.id()?;
        Ok(WatchedFile { file, id })
    }

    pub(crate) fn check(&self, directory: &dyn Directory) -> Result<(), Error> {
        match (self.id, self.file.path.file_name().and_then(OsStr::to_str)) {
            (Some(id), Some(name)) => leads_to(directory, name, id),
            // A system that tells no identity, or a name that is none of the log's.
            _ => Ok(()),
        }
    }
}

/// All names that an open log depends on.
#[derive(Clone, Debug)]
pub struct WatchedNames {
    lock: Option<FileId>,
    /// `None` while the anchor is made anew, and after that has failed.
    anchor: Option<WatchedFile>,
    last: Option<WatchedFile>,
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

    /// Sets the file of the anchor; `None` while it is being made anew, when its name may lead anywhere.
    pub fn set_anchor(&mut self, anchor: Option<WatchedFile>) {
        self.anchor = anchor;
        self.changes += 1;
    }

    /// Whether the names are still those in `looked_at`. A check of older names proves nothing: the log
    /// removes a segment's name itself once it has gone on in another.
    #[must_use]
    pub fn is_current(&self, looked_at: &WatchedNames) -> bool {
        self.changes == looked_at.changes
    }

    /// Checks where the names lead, with one system call for each. Returns whether the directory's path leads
    /// to it; where the system cannot tell, true.
    ///
    /// # Errors
    /// [`Error::Exchanged`] when a file was removed or replaced: the log must accept nothing more. What the
    /// system reports.
    pub fn check(&self, directory: &dyn Directory) -> Result<bool, Error> {
        if self.rules.keeps(Rule::NamesChecked) {
            if let Some(id) = self.lock {
                leads_to(directory, LOCK_FILE, id)?;
            }
            for watched in self.anchor.iter().chain(&self.last) {
                watched.check(directory)?;
            }
        }
        Ok(directory.is_at_path().unwrap_or(true))
    }
}
