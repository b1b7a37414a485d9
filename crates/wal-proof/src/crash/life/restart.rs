//! How a log ends, and is opened again: closed, dropped, killed, given up.

use wal::ErrorKind;
use wal::sim::{CallKind, Failure, Fault, FaultEffect, Times};

use super::{Life, Step, Stepped, failed};
use crate::oracle::check_image::read_log;
use crate::oracle::disk_frames::highest_link;
use crate::oracle::expected_log::Crash;
use crate::oracle::promise::{Broken, Promise};

impl Life<'_> {
    pub(super) fn open(&mut self, after: Crash) -> Stepped {
        self.wal = None;
        self.all_were_told()?;
        let wal = match self.setup.open(self.disk) {
            Ok(wal) => wal,
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) => {
                return Err(Broken::new(Promise::CrashNeverCorrupts, format!("open: {error}")));
            }
        };
        match read_log(&wal) {
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) => return Err(Broken::new(Promise::CrashNeverCorrupts, format!("read: {error}"))),
            Ok(shown) => {
                self.expected.check(&shown, after)?;
                self.expected.opened(&shown, after, highest_link(self.disk));
            }
        }
        self.wal = Some(wal);
        Ok(Step::Done)
    }

    pub(super) fn close(&mut self) -> Stepped {
        let wal = self.wal.take().expect("the log is open between operations");
        let after = match wal.close() {
            Ok(()) => {
                let entries = self.expected.entries();
                self.expected.wrote(entries)?;
                self.expected.acknowledge(entries);
                if let Some(commit) = self.submitted.iter().find(|commit| failed(commit).is_some()) {
                    let how = format!("closed, and entry {} is said to have failed", commit.sequence());
                    return Err(Broken::new(Promise::LogIsAPrefix, how));
                }
                Crash::Kill
            }
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => Crash::PowerCut,
            Err(_) => Crash::Kill,
        };
        self.disk.heal();
        self.open(after)
    }

    /// The process dies: nothing reaches the disk any more.
    pub(super) fn kill(&mut self) -> Stepped {
        let failure = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
        self.disk.fail(Fault { call: CallKind::Any, nth: 0, times: Times::Forever, with: failure });
        self.wal = None;
        self.disk.heal();
        self.open(Crash::Kill)
    }

    /// The last handle is dropped: nothing is synced, and nothing that was submitted is forgotten.
    pub(super) fn drop_log(&mut self) -> Stepped {
        self.expected.wrote_ahead = true;
        self.wal = None;
        if !self.disk.crashed() {
            self.expected.wrote(self.expected.entries())?;
        }
        self.open(Crash::Kill)
    }

    /// The process gives up and starts again, on whatever the page cache shows.
    pub(super) fn restart(&mut self) -> Stepped {
        self.wal = None;
        self.disarm();
        self.open(Crash::PowerCut)
    }

    /// When the log is gone, every commit must have an outcome.
    pub(super) fn all_were_told(&mut self) -> Result<(), Broken> {
        let waiting = self.submitted.iter().find(|commit| commit.outcome().is_none());
        if let Some(commit) = waiting {
            let how = format!("a wait for entry {} never ends", commit.sequence());
            return Err(Broken::new(Promise::EveryCallReturns, how));
        }
        self.submitted.clear();
        Ok(())
    }
}
