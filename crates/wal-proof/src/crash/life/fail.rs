//! What fails under an operation: a write, a sync, either of them in a truncation.

use wal::ErrorKind;
use wal::sim::{CallKind, Failure, Fault, FaultEffect, SyncLoss, Times};

use super::{Life, Step, Stepped};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::policy::Policy;

/// All of a write: no checksum shows that it failed.
const EVERYTHING: usize = 5000;

impl Life<'_> {
    /// A sync fails and the machine goes on: the call fails, every later call fails too, and the next open reads what the
    /// device has.
    pub(super) fn fail_sync(&mut self) -> Stepped {
        let lost = FaultEffect::SyncLoss(self.loss());
        let nth = self.random.below(3);
        self.arm(CallKind::SyncFile, nth, lost);
        // What the cache held and the device did not may be gone from here on.
        self.expected.power_cut();
        let mut failed = None;
        for attempt in 0..8 {
            let told = match attempt % 4 {
                0 => self.try_append(&[20], self.setup.policy.promise())?,
                1 => self.try_sync()?,
                2 => self.try_submit()?,
                _ if self.submitted.is_empty() => continue,
                _ => self.try_wait()?,
            };
            match (told, &failed) {
                (Err(_), _) if self.disk.crashed() => return Ok(Step::Cut),
                (Err(error), _) if error.kind() == ErrorKind::Poisoned => failed = Some(error),
                (Ok(()), Some(error)) => {
                    let how = format!("accepted after {error}");
                    return Err(Broken::new(Promise::NothingAfterAFailedSync, how));
                }
                _ => {}
            }
        }
        self.restart()
    }

    pub(super) fn fail_write(&mut self) -> Stepped {
        let stored = [0, 8, 31, 32, 40, 64, 100, EVERYTHING, EVERYTHING, EVERYTHING][self.random.below(10)];
        let effect = FaultEffect::PartialThenError(stored, Failure::Kind(std::io::ErrorKind::StorageFull));
        let nth = self.random.below(2);
        self.arm(CallKind::Write, nth, effect);
        let mut told = self.try_append(&[90], self.setup.policy.promise())?;
        if told.is_ok() && self.setup.policy == Policy::Buffered {
            told = self.try_flush()?;
        }
        self.disarm();
        match told {
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                Err(Broken::new(Promise::LogIsAPrefix, format!("a failed write poisoned the log: {error}")))
            }
            _ => Ok(Step::Done),
        }
    }

    /// Truncates while a write fails: the log is cut or not, which a caller can see, and goes on. Or while a
    /// sync fails: then it may be poisoned, and the next open sees which.
    pub(super) fn fail_truncate(&mut self) -> Stepped {
        let truncation = match self.cut() {
            Some(cut) if self.random.below(2) == 0 => cut,
            _ => self.new_beginning(),
        };
        let syncs = self.random.below(7) < 3;
        let nth = self.random.below(4);
        if syncs {
            let lost = FaultEffect::SyncLoss(self.loss());
            self.arm(CallKind::SyncFile, nth, lost);
            self.expected.power_cut();
        } else {
            let stored = [0, 40, 64, 100, EVERYTHING, EVERYTHING, EVERYTHING][self.random.below(7)];
            let error = Failure::Kind(std::io::ErrorKind::StorageFull);
            self.arm(CallKind::Write, nth, FaultEffect::PartialThenError(stored, error));
        }
        let told = self.try_truncate(truncation)?;
        self.disarm();
        match told {
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned && syncs => self.restart(),
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                let how = format!("a failed write poisoned the log: {error}");
                Err(Broken::new(Promise::TruncationIsOldOrNew, how))
            }
            _ => Ok(Step::Done),
        }
    }

    pub(super) fn loss(&mut self) -> SyncLoss {
        let losses = [SyncLoss::CacheNewDiskOld, SyncLoss::PartWritten, SyncLoss::CacheReverted];
        losses[self.random.below(3)]
    }

    pub(super) fn arm(&mut self, call: CallKind, nth: usize, with: FaultEffect) {
        let nth = nth as u64;
        self.disk.fail(Fault { call, nth, times: Times::Once, with });
        self.faulted = true;
    }

    pub(super) fn disarm(&mut self) {
        self.disk.heal();
        self.faulted = false;
    }
}
