//! Makes a file show what the device holds, before recovery trusts anything in it.
//!
//! After a failed fsync the page cache shows bytes that the device does not have, and a restarted process
//! would read them as if they were safe. So the cache is dropped. Where that fails, recovery writes the bytes
//! again as it read them and syncs them: then the device holds them.

use std::cell::Cell;

use crate::error::Error;
use crate::files::named::Named;
use crate::io::{Access, Residency};
use crate::rules::{Rule, Rules};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To append, under the lock: only what is on the device counts.
    Write,
    /// To read without the lock, perhaps beside a writer: what can be read counts.
    Read,
    /// To read and check every byte.
    Verify,
}

pub(crate) struct Settling {
    pub(crate) purpose: Purpose,
    pub(crate) rules: Rules,
    worst: Cell<Residency>,
    pub(crate) rewritten_bytes: Cell<u64>,
}

const REWRITE_BYTES: u64 = 1 << 20;

impl Settling {
    pub(crate) fn new(purpose: Purpose, rules: Rules) -> Settling {
        Settling { purpose, rules, worst: Cell::new(Residency::Dropped), rewritten_bytes: Cell::new(0) }
    }

    pub(crate) fn access(&self) -> Access {
        match self.purpose {
            Purpose::Write => Access::ReadWrite,
            Purpose::Read | Purpose::Verify => Access::Read,
        }
    }

    pub(crate) fn residency(&self) -> Residency {
        match self.purpose {
            Purpose::Write => self.worst.get(),
            Purpose::Read | Purpose::Verify => Residency::Unknown,
        }
    }

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

    /// Whether the page cache may hold the only copy of what was read, which must be written again.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.purpose == Purpose::Write && self.worst.get() != Residency::Dropped
    }

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
}
