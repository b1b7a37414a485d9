//! Append, submit, flush and sync, and what each of them promises.

use std::ops::Range;

use wal::{Commit, Durability, Error, ErrorKind};

use super::{Life, Stepped, Told, failed, lone};
use crate::oracle::expected_log::Group;
use crate::oracle::promise::{Broken, Promise};
use crate::setup::policy::{PERIOD_ENTRIES, Policy};

impl Life<'_> {
    pub(super) fn append(&mut self, sizes: &[usize]) -> Stepped {
        let told = self.try_append(sizes, self.setup.policy.promise())?;
        self.step(told)
    }

    pub(super) fn try_append(&mut self, sizes: &[usize], asked: Durability) -> Told {
        let group: Group = match sizes {
            // The same bytes under the same number in every life, so that frames which an earlier life left fit.
            [bytes] => vec![self.expected.payload_by_number(*bytes)],
            _ => sizes.iter().map(|&bytes| self.expected.payload(bytes)).collect(),
        };
        self.expected.begin(group.clone());
        let appended = match group.as_slice() {
            [payload] if asked == self.setup.policy.promise() => self.wal().append(payload).map(lone),
            [payload] => self.wal().append_with(payload, asked).map(lone),
            _ => self.wal().append_batch(&group),
        };
        let told = self.joined(appended, asked)?;
        let quiet = !self.faulted && !self.disk.crashed();
        if told.is_ok() && quiet && self.setup.policy == Policy::Periodic {
            let pending = self.wal().written_end() - self.wal().durable_end();
            if pending >= PERIOD_ENTRIES {
                let how = format!("{pending} entries are not durable, and no sync ran");
                return Err(Broken::new(Promise::LossIsBounded, how));
            }
        }
        Ok(told)
    }

    pub(super) fn try_submit(&mut self) -> Told {
        self.expected.wrote_ahead = true;
        for bytes in [24, 40, 130] {
            let payload = self.expected.payload_by_number(bytes);
            self.expected.begin(vec![payload.clone()]);
            let numbered = match self.wal().submit(&payload) {
                Ok(commit) => {
                    let numbers = commit.sequences();
                    self.submitted.push(commit);
                    Ok(numbers)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = self.joined(numbered, Durability::Buffered)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    pub(super) fn try_wait(&mut self) -> Told {
        // All are waited for, even after one that failed.
        let told = self
            .submitted
            .iter()
            .map(Commit::wait)
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|one| one.map(|_| ()));
        self.settle(false)?;
        Ok(told)
    }

    pub(super) fn try_flush(&mut self) -> Told {
        self.expected.wrote_ahead = true;
        let told = self.wal().flush();
        self.settle(false)?;
        let (written, entries) = (self.wal().written_end(), self.expected.entries());
        if told.is_ok() && written != entries {
            let how = format!("after a flush {written} entries are written, not {entries}");
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        Ok(told)
    }

    pub(super) fn try_sync(&mut self) -> Told {
        let told = self.wal().sync();
        self.settle(false)?;
        if told.is_ok() {
            let (durable, entries) = (self.wal().durable_end(), self.expected.entries());
            if durable != entries {
                let how = format!("after a sync {durable} entries are durable, not {entries}");
                return Err(Broken::new(Promise::AcknowledgedIsThere, how));
            }
            self.expected.acknowledge(entries);
        }
        Ok(told)
    }

    /// A rollover by hand makes all entries durable, as a sync does.
    pub(super) fn try_end_segment(&mut self) -> Told {
        match self.wal().roll() {
            Ok(()) => self.try_sync(),
            refused => {
                self.settle(false)?;
                Ok(refused)
            }
        }
    }

    /// Takes in how it went for the group that was begun last: with `Ok` it has its numbers, and `asked`
    /// is true of it.
    pub(super) fn joined(&mut self, result: Result<Range<u64>, Error>, asked: Durability) -> Told {
        let error = match result {
            Ok(numbers) => {
                self.settle(true)?;
                if numbers.end != self.expected.entries() {
                    let how = format!("numbers {numbers:?}, of {}", self.expected.entries());
                    return Err(Broken::new(Promise::LogIsAPrefix, how));
                }
                self.promised(numbers.end, asked)?;
                return Ok(Ok(()));
            }
            Err(error) => error,
        };
        if self.disk.crashed() {
            // What had failed before may have failed because of the fault, or because of the cut.
            if self.faulted && self.submitted.iter().any(|commit| failed(commit).is_some()) {
                self.expected.doubt_last();
                return Ok(Err(error));
            }
        } else if error.kind() == ErrorKind::TooLarge || self.setup.policy == Policy::Buffered {
            // A buffered log refuses what comes while what it has cannot be written.
            if asked > Durability::Buffered && error.kind() != ErrorKind::Poisoned {
                let how = format!("nothing was wrong, and yet: {error}");
                return Err(Broken::new(Promise::LogIsAPrefix, how));
            }
            if error.kind() != ErrorKind::Poisoned {
                self.expected.refuse();
            }
        } else if error.kind() != ErrorKind::Poisoned {
            self.expected.wrote(self.wal().written_end())?;
            self.expected.take_back(false);
        }
        self.settle(false)?;
        Ok(Err(error))
    }
}
