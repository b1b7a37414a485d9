//! What other programs do to the names under an open log: the file of the lock removed or replaced, files replaced by
//! copies, the directory moved away.

use wal::ErrorKind;
use wal_format::{ANCHOR_FILE, LOCK_FILE, SegmentName};

use super::{Life, Step, Stepped, Told};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::policy::Policy;

impl Life<'_> {
    /// A cleaner removes `LOCK`, or a restore replaces it, and another writer comes.
    pub(super) fn second_writer(&mut self) -> Stepped {
        if self.random.below(2) == 0 {
            self.disk.delete(LOCK_FILE);
        } else {
            self.disk.replace(LOCK_FILE);
        }
        match self.setup.open(self.disk) {
            _ if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Locked => Ok(Step::Done),
            other => {
                let how = format!("with another LOCK a second open gives {:?}", other.err());
                Err(Broken::new(Promise::OneWriter, how))
            }
        }
    }

    /// A restore puts copies in the place of files of the log. Appends from then on go to files without a name: the next entry
    /// that needs a new segment is refused for good, and what was acknowledged before is in the copies.
    pub(super) fn replace(&mut self) -> Stepped {
        if self.wal().stats().segments == 0 {
            return Ok(Step::Done);
        }
        let told = self.try_sync()?;
        if told.is_err() {
            return self.step(told);
        }
        let names = self.disk.names();
        let is_segment = |name: &&String| SegmentName::parse(name).is_some();
        let replaced: Vec<&String> = match self.random.below(3) {
            0 => names.iter().filter(|name| *name == ANCHOR_FILE).collect(),
            1 => names.iter().filter(is_segment).collect(),
            _ => names.iter().collect(),
        };
        assert!(replaced.iter().all(|name| self.disk.replace(name)), "each of them is there");
        match self.try_giant()? {
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => self.restart(),
            other => {
                let how = format!("files were replaced, and the next segment is begun: {other:?}");
                Err(Broken::new(Promise::ExchangeIsTold, how))
            }
        }
    }

    /// The directory is moved away under the log, which goes on where it is and says so.
    pub(super) fn displace(&mut self) -> Stepped {
        self.disk.displace();
        let told = self.try_giant()?;
        if told.is_ok() && !self.wal().health().displaced {
            return Err(Broken::new(
                Promise::ExchangeIsTold,
                "the directory was moved away, and nothing is told",
            ));
        }
        self.step(told)
    }

    /// An entry that needs a segment of its own; where entries gather, it is handed over, too.
    fn try_giant(&mut self) -> Told {
        let segment_bytes = usize::try_from(self.setup.segment_bytes).unwrap_or(usize::MAX);
        let told = self.try_append(&[segment_bytes + 3000], self.setup.policy.promise())?;
        if told.is_ok() && self.setup.policy == Policy::Buffered { self.try_flush() } else { Ok(told) }
    }
}
