//! What other programs do to the names under an open log: the file of the lock removed or replaced, files replaced by
//! copies, the directory moved away.

use wal::ErrorKind;
use wal_format::{ANCHOR_FILE, LOCK_FILE, SegmentName, SegmentNumber};

use super::{Life, Step, Stepped};
use crate::crash::damage;
use crate::crash::world::{Broken, Promise};

impl Life<'_> {
    /// A cleaner removes `LOCK`, or a restore replaces it, and another writer comes.
    pub(super) fn second_writer(&mut self) -> Stepped {
        if self.choose(2) == 0 {
            self.disk.delete(LOCK_FILE);
        } else {
            self.disk.replace(LOCK_FILE);
        }
        let second = self.setup.open(self.disk);
        if !self.disk.crashed() && self.disk.contents(LOCK_FILE).is_none() {
            // As the next open does, also of a log that it refuses.
            self.disk.put(LOCK_FILE, &[]);
        }
        match second {
            _ if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Locked => Ok(Step::Done),
            other => {
                let how = format!("with another LOCK a second open gives {:?}", other.err());
                Err(Broken::new(Promise::OneWriter, how))
            }
        }
    }

    /// A restore puts copies in the place of files of the log. What is appended from then on has no name: the next entry
    /// that needs a new segment is refused for good, and what was acknowledged before is in the copies.
    pub(super) fn replace(&mut self) -> Stepped {
        let last = damage::highest_link(self.disk);
        let Some(last) = SegmentNumber::new(last) else { return Ok(Step::Done) };
        let told = self.try_sync()?;
        if told.is_err() {
            return self.step(told);
        }
        match self.choose(3) {
            0 => self.disk.replace(ANCHOR_FILE),
            1 => self.disk.replace(SegmentName::of(last).as_str()),
            _ => self.disk.names().iter().all(|name| self.disk.replace(name)),
        };
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

    fn try_giant(&mut self) -> super::Told {
        let segment_bytes = usize::try_from(self.setup.segment_bytes).unwrap_or(usize::MAX);
        self.try_append(&[segment_bytes + 3000], self.setup.policy.promise())
    }
}
