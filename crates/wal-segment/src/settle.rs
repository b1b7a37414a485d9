//! Making a file show what the device holds, before anything in it is believed.
//!
//! After a failed sync the page cache shows bytes that the device does not have, and a process that is
//! started again would read them as if they were safe.

use std::cell::Cell;

use crate::error::{Error, Operation, Place};
use crate::io::{Access, Residency};
use crate::named::Named;
use crate::rules::{Rule, Rules};

/// What a survey is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Under the lock, by somebody who will append: only what is on the device counts.
    Write,
    /// Without the lock, perhaps beside a writer: what can be read counts.
    Read,
}

/// Makes a file show what the device holds, and remembers how well that went.
pub(crate) struct Settling {
    purpose: Purpose,
    rules: Rules,
    worst: Cell<Residency>,
}

impl Settling {
    pub(crate) fn new(purpose: Purpose, rules: Rules) -> Settling {
        Settling { purpose, rules, worst: Cell::new(Residency::Dropped) }
    }

    /// How files are opened for this purpose.
    pub(crate) fn access(&self) -> Access {
        match self.purpose {
            Purpose::Write => Access::ReadWrite,
            Purpose::Read => Access::Read,
        }
    }

    /// The worst answer of the system about its cache.
    pub(crate) fn residency(&self) -> Residency {
        match self.purpose {
            Purpose::Write => self.worst.get(),
            Purpose::Read => Residency::Unknown,
        }
    }

    /// Syncs the file and drops its cache, if this is for writing.
    pub(crate) fn settle(&self, file: &Named) -> Result<(), Error> {
        if self.purpose == Purpose::Read || !self.rules.keeps(Rule::OpenDropsCache) {
            return Ok(());
        }
        file.sync()?;
        let found = file.drop_cache().place(Operation::DropCache, || file.path.to_path_buf(), None)?;
        if found == Residency::Resident || self.worst.get() == Residency::Dropped {
            self.worst.set(found);
        }
        Ok(())
    }
}
