//! One life of a log on a simulated disk: runs a script until it ends or the power is cut, and tells the
//! oracle everything that a caller was told.

use std::sync::Arc;

use wal::sim::{CallKind, Failure, Fault, FaultEffect, SimDisk, SyncLoss, Times};
use wal::{Checksum, Directory, Error, ErrorKind, Options, SyncPolicy, Wal};

use crate::crash::damage;
use crate::crash::faulty::Faulty;
use crate::crash::script::{Operation, Script};
use crate::crash::world::{After, Broken, Group, Promise, World};

/// How the logs of an exploration are opened, and what is wrong with them on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) immediate: bool,
    pub(crate) segment_bytes: u64,
    pub(crate) checksum: Checksum,
    /// The anchor is written only where a rule asks for it (in builds that can switch rules off).
    pub(crate) anchor_lags: bool,
    pub(crate) faulty: Faulty,
}

impl Setup {
    pub(crate) fn options(&self) -> Options {
        let honest = self.immediate && self.faulty != Faulty::AcknowledgesBeforeSync;
        let policy = if honest { SyncPolicy::Immediate } else { SyncPolicy::None };
        let options = Options::new().segment_bytes(self.segment_bytes).checksum(self.checksum).sync(policy);
        self.faulty.options(options, self.anchor_lags)
    }

    pub(crate) fn directory(&self, disk: &SimDisk) -> Arc<dyn Directory> {
        self.faulty.wrap(Arc::new(disk.clone()))
    }

    pub(crate) fn open(&self, disk: &SimDisk) -> Result<Wal, Error> {
        self.options().open_in(self.directory(disk))
    }
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The script ran to its end; the log is still open.
    Ran(Box<Wal>),
    /// The power was cut in this operation.
    Cut(Operation),
}

/// The payloads of a log, through its own reader.
pub(crate) fn shown(entries: wal::Entries) -> Result<Vec<Vec<u8>>, Error> {
    entries.map(|entry| Ok(entry?.payload().to_vec())).collect()
}

/// More calls than any operation on these small logs needs.
const MOST_OPERATIONS: u64 = 400;

/// Runs `script` on `disk`, cut at operation `cut_at` of the disk if there is one.
pub(crate) fn live(
    setup: &Setup,
    disk: &SimDisk,
    world: &mut World,
    after: After,
    script: &Script,
    cut_at: Option<u64>,
) -> Result<End, Broken> {
    if let Some(cut_at) = cut_at {
        disk.crash_at(cut_at);
    }
    let mut life = Life { setup, disk, world, wal: None, doing: Operation::Open };
    let mut step = life.open(after)?;
    for &operation in &script.0 {
        if step == Step::Cut {
            break;
        }
        life.doing = operation;
        let before = disk.operations();
        step = life.perform(operation)?;
        if disk.operations() - before > MOST_OPERATIONS {
            return Err(Broken::new(Promise::EveryCallReturns, format!("{} does not end", operation.name())));
        }
    }
    match (step, life.wal) {
        (Step::Done, Some(wal)) => Ok(End::Ran(Box::new(wal))),
        (_, wal) => {
            drop(wal);
            Ok(End::Cut(life.doing))
        }
    }
}

struct Life<'a> {
    setup: &'a Setup,
    disk: &'a SimDisk,
    world: &'a mut World,
    wal: Option<Wal>,
    doing: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Cut,
}

type Stepped = Result<Step, Broken>;

impl Life<'_> {
    fn open(&mut self, after: After) -> Stepped {
        self.wal = None;
        let wal = match self.setup.open(self.disk) {
            Ok(wal) => wal,
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) => {
                return Err(Broken::new(Promise::CrashNeverCorrupts, format!("open: {error}")));
            }
        };
        match wal.range(..).and_then(shown) {
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) => return Err(Broken::new(Promise::CrashNeverCorrupts, format!("read: {error}"))),
            Ok(shown) => {
                self.world.check(&shown, after)?;
                self.world.opened(&shown, damage::highest_link(self.disk));
            }
        }
        self.wal = Some(wal);
        Ok(Step::Done)
    }

    fn perform(&mut self, operation: Operation) -> Stepped {
        let segment_bytes = usize::try_from(self.setup.segment_bytes).unwrap_or(usize::MAX);
        match operation {
            Operation::Append => self.append(&[40]),
            Operation::Batch => self.append(&[30, 0, 600]),
            Operation::Roll => self.append(&[segment_bytes / 4]),
            Operation::Giant => self.append(&[segment_bytes + 3000]),
            Operation::Sync => self.sync(),
            Operation::Close => self.close(),
            Operation::Kill => self.open(After::Kill),
            Operation::FailSync => self.fail_sync(),
            Operation::FailWrite => self.fail_write(),
            Operation::Open => Ok(Step::Done),
        }
    }

    fn append(&mut self, sizes: &[usize]) -> Stepped {
        match self.try_append(sizes)? {
            Ok(()) => Ok(Step::Done),
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            // A fault that an earlier operation left behind, on its way through.
            Err(error) if error.kind() == ErrorKind::Poisoned => self.restart(),
            Err(_) => Ok(Step::Done),
        }
    }

    fn try_append(&mut self, sizes: &[usize]) -> Result<Result<(), Error>, Broken> {
        let group: Group = match sizes {
            // The same bytes under the same number in every life: what an earlier one left behind fits.
            [bytes] => vec![self.world.payload_by_number(*bytes)],
            _ => sizes.iter().map(|&bytes| self.world.payload(bytes)).collect(),
        };
        let wal = self.wal.as_ref().expect("the log is open between operations");
        self.world.begin(group.clone());
        let expected = self.world.entries() as u64;
        let appended = match group.as_slice() {
            [payload] => wal.append(payload).map(|number| number..number + 1),
            _ => wal.append_batch(&group),
        };
        match appended {
            Ok(numbers) => {
                self.world.accept();
                if numbers != (expected..self.world.entries() as u64) {
                    let how = format!("numbers {numbers:?} instead of from {expected}");
                    return Err(Broken::new(Promise::LogIsAPrefix, how));
                }
                if self.setup.immediate {
                    self.world.acknowledge(numbers.end);
                }
                self.note_durable()?;
                Ok(Ok(()))
            }
            Err(error) => {
                if error.kind() == ErrorKind::TooLarge {
                    self.world.refuse();
                }
                Ok(Err(error))
            }
        }
    }

    fn sync(&mut self) -> Stepped {
        match self.try_sync()? {
            Ok(()) => Ok(Step::Done),
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(_) => self.restart(),
        }
    }

    fn try_sync(&mut self) -> Result<Result<(), Error>, Broken> {
        let wal = self.wal.as_ref().expect("the log is open between operations");
        if let Err(error) = wal.sync() {
            return Ok(Err(error));
        }
        let entries = self.world.entries() as u64;
        if wal.durable() != entries {
            let how = format!("after a sync {} entries are durable, not {entries}", wal.durable());
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        self.world.acknowledge(entries);
        self.note_durable()?;
        Ok(Ok(()))
    }

    /// What the watermark says is a promise too.
    fn note_durable(&mut self) -> Result<(), Broken> {
        let wal = self.wal.as_ref().expect("the log is open between operations");
        let (durable, entries) = (wal.durable(), self.world.entries() as u64);
        if durable > entries {
            let how = format!("{durable} entries are durable of {entries}");
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        self.world.acknowledge(durable);
        Ok(())
    }

    fn close(&mut self) -> Stepped {
        let wal = self.wal.take().expect("the log is open between operations");
        let after = match wal.close() {
            Ok(()) => {
                self.world.acknowledge(self.world.entries() as u64);
                After::Kill
            }
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => After::PowerCut,
            Err(_) => After::Kill,
        };
        self.disk.heal();
        self.open(after)
    }

    /// A sync fails and the machine goes on: the caller is told, nobody is told anything good after that,
    /// and the next open reads what the device has.
    fn fail_sync(&mut self) -> Stepped {
        let losses = [SyncLoss::CacheNewDiskOld, SyncLoss::PartWritten, SyncLoss::CacheReverted];
        let loss = losses[usize::try_from(self.disk.operations() % 3).unwrap_or(0)];
        self.disk.fail(Fault {
            call: CallKind::SyncFile,
            nth: self.disk.operations() / 3 % 3,
            times: Times::Once,
            with: FaultEffect::SyncLoss(loss),
        });
        // What the cache held and the device did not may be gone from here on.
        self.world.power_cut();
        let mut failed = None;
        for _ in 0..2 {
            for attempt in [self.try_append(&[20])?, self.try_sync()?] {
                match (attempt, &failed) {
                    (Err(_), _) if self.disk.crashed() => return Ok(Step::Cut),
                    (Err(error), _) if error.kind() == ErrorKind::Poisoned => failed = Some(error),
                    (Ok(()), Some(error)) => {
                        let how = format!("accepted after {error}");
                        return Err(Broken::new(Promise::NothingAfterAFailedSync, how));
                    }
                    _ => {}
                }
            }
        }
        self.restart()
    }

    fn fail_write(&mut self) -> Stepped {
        let stored = [0, 8, 31, 32, 40, 64, 100, 5000];
        let stored = stored[usize::try_from(self.disk.operations() % 8).unwrap_or(0)];
        self.disk.fail(Fault {
            call: CallKind::Write,
            nth: self.disk.operations() / 8 % 2,
            times: Times::Once,
            with: FaultEffect::PartialThenError(stored, Failure::Kind(std::io::ErrorKind::StorageFull)),
        });
        let appended = self.try_append(&[90])?;
        self.disk.heal();
        match appended {
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                Err(Broken::new(Promise::LogIsAPrefix, format!("a failed write poisoned the log: {error}")))
            }
            _ => Ok(Step::Done),
        }
    }

    /// The process gives up and starts again, on whatever the page cache shows.
    fn restart(&mut self) -> Stepped {
        self.wal = None;
        self.disk.heal();
        self.open(After::PowerCut)
    }
}
