//! Making a file show what the device holds, before anything in it is believed.
//!
//! After a failed sync the page cache shows bytes that the device does not have, and a process that is
//! started again would read them as if they were safe. So the cache is dropped. Where it is not, what is believed is
//! written again as it was read, and synced: then the device holds it.

use std::cell::Cell;

use crate::error::Error;
use crate::files::named::Named;
use crate::io::{Access, Residency};
use crate::rules::{Rule, Rules};

/// What a survey is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Under the lock, by somebody who will append: only what is on the device counts.
    Write,
    /// Without the lock, perhaps beside a writer: what can be read counts.
    Read,
    /// To read, and to look at every byte.
    Verify,
}

/// Makes a file show what the device holds, and remembers how well that went.
pub(crate) struct Settling {
    purpose: Purpose,
    rules: Rules,
    worst: Cell<Residency>,
    rewritten_bytes: Cell<u64>,
}

/// How much is written again at a time.
const REWRITE_BYTES: u64 = 1 << 20;

impl Settling {
    pub(crate) fn new(purpose: Purpose, rules: Rules) -> Settling {
        Settling { purpose, rules, worst: Cell::new(Residency::Dropped), rewritten_bytes: Cell::new(0) }
    }

    /// What this is for.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The rules that it keeps.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// How files are opened for this purpose.
    pub(crate) fn access(&self) -> Access {
        match self.purpose {
            Purpose::Write => Access::ReadWrite,
            Purpose::Read | Purpose::Verify => Access::Read,
        }
    }

    /// The worst answer of the system about its cache.
    pub(crate) fn residency(&self) -> Residency {
        match self.purpose {
            Purpose::Write => self.worst.get(),
            Purpose::Read | Purpose::Verify => Residency::Unknown,
        }
    }

    /// Syncs the file and drops its cache, if this is for writing.
    pub(crate) fn settle(&self, file: &Named) -> Result<(), Error> {
        if self.purpose != Purpose::Write || !self.rules.keeps(Rule::OpenDropsCache) {
            return Ok(());
        }
        file.sync()?;
        let found = file.drop_cache()?;
        if found == Residency::Resident || self.worst.get() == Residency::Dropped {
            self.worst.set(found);
        }
        Ok(())
    }

    /// Whether what is read may be in the cache alone, and has to be written again before it is believed.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.purpose == Purpose::Write && self.worst.get() != Residency::Dropped
    }

    /// Writes the bytes from `from` to `to` again as they are read, and syncs them.
    pub(crate) fn rewrite(&self, file: &Named, from: u64, to: u64) -> Result<(), Error> {
        let mut buffer = Vec::new();
        let mut offset = from;
        while offset < to {
            let wanted = REWRITE_BYTES.min(to - offset);
            buffer.resize(usize::try_from(wanted).map_err(|_| Error::OutOfNumbers)?, 0);
            let read = file.read_at(&mut buffer, offset)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read], offset)?;
            offset += read as u64;
        }
        self.rewritten_bytes.set(self.rewritten_bytes.get() + (offset - from));
        file.sync()
    }

    /// How much was written again, in bytes.
    pub(crate) fn rewritten_bytes(&self) -> u64 {
        self.rewritten_bytes.get()
    }
}
