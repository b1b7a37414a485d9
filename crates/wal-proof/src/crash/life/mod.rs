//! One life of a log on a simulated disk: runs a script until it ends or the power is cut, and tells the oracle what
//! callers were told.
//!
//! The log runs without threads, so a life repeats exactly. Submitted entries gather in one frame, as with several
//! writers who meet, until a call needs them.

mod append;
mod exchange;
mod fail;
mod restart;
mod truncate;

use std::ops::Range;

use wal::sim::{Random, SimDisk};
use wal::{Commit, Durability, Error, ErrorKind, Wal};

use crate::crash::script::{Operation, Script};
use crate::oracle::expected_log::{Crash, ExpectedLog};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::Setup;

/// How a life ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The script ran to its end; the log is still open.
    Ran(Box<Wal>),
    /// The power was cut in this operation.
    Cut(Operation),
}

/// More calls than any operation on these small logs needs.
const MOST_OPERATIONS: u64 = 400;

/// Runs `script` on `disk`, cut at operation `cut_at` of the disk if there is one.
pub(crate) fn live(
    setup: &Setup,
    disk: &SimDisk,
    expected: &mut ExpectedLog,
    after: Crash,
    script: &Script,
    cut_at: Option<u64>,
) -> Result<End, Broken> {
    if let Some(cut_at) = cut_at {
        disk.crash_at(cut_at);
    }
    let doing = Operation::Open;
    let random = choices(setup, script, disk.operations());
    let mut life =
        Life { setup, disk, expected, random, wal: None, submitted: Vec::new(), faulted: false, doing };
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

/// Decides what the operations of this script do where they have a choice. It depends on what a reproducer names and on
/// nothing else, so that a reproducer runs the same life again.
fn choices(setup: &Setup, script: &Script, operations: u64) -> Random {
    let numbers =
        [setup.policy as u64, setup.segment_bytes, u64::from(setup.anchor_lags), setup.first, operations];
    let letters = script.to_string();
    let all = numbers.into_iter().chain(letters.bytes().map(u64::from));
    all.fold(Random::new(0), |mut random, one| Random::of(random.next_u64(), one))
}

struct Life<'a> {
    setup: &'a Setup,
    disk: &'a SimDisk,
    expected: &'a mut ExpectedLog,
    /// Decides what an operation does where it has a choice.
    random: Random,
    wal: Option<Wal>,
    /// What was submitted and is not known to have come to an end.
    submitted: Vec<Commit>,
    /// A fault is armed.
    faulted: bool,
    doing: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Cut,
}

type Stepped = Result<Step, Broken>;

/// What a caller was told.
type Told = Result<Result<(), Error>, Broken>;

impl Life<'_> {
    fn perform(&mut self, operation: Operation) -> Stepped {
        let segment_bytes = usize::try_from(self.setup.segment_bytes).unwrap_or(usize::MAX);
        match operation {
            Operation::Append => self.append(&[40]),
            Operation::Batch => self.append(&[30, 0, 600]),
            Operation::Roll => self.append(&[segment_bytes / 4]),
            Operation::Giant => self.append(&[segment_bytes + 3000]),
            Operation::Durable => {
                let told = self.try_append(&[50], Durability::Durable)?;
                self.step(told)
            }
            Operation::Submit => {
                let told = self.try_submit()?;
                self.step(told)
            }
            Operation::Wait => {
                let told = self.try_wait()?;
                self.step(told)
            }
            Operation::Flush => {
                let told = self.try_flush()?;
                self.step(told)
            }
            Operation::Sync => {
                let told = self.try_sync()?;
                self.step(told)
            }
            Operation::SecondWriter => self.second_writer(),
            Operation::Replace => self.replace(),
            Operation::Displace => self.displace(),
            Operation::EndSegment => {
                let told = self.try_end_segment()?;
                self.step(told)
            }
            Operation::Close => self.close(),
            Operation::Kill => self.kill(),
            Operation::Drop => self.drop_log(),
            Operation::FailSync => self.fail_sync(),
            Operation::FailWrite => self.fail_write(),
            Operation::TruncateAfter => match self.cut() {
                Some(cut) => self.truncate(cut),
                None => Ok(Step::Done),
            },
            Operation::TruncateBefore => {
                let beginning = self.new_beginning();
                self.truncate(beginning)
            }
            Operation::FailTruncate => self.fail_truncate(),
            Operation::Open => Ok(Step::Done),
        }
    }

    fn step(&mut self, told: Result<(), Error>) -> Stepped {
        match told {
            Ok(()) => Ok(Step::Done),
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            // Because of a fault that an earlier operation armed.
            Err(error) if error.kind() == ErrorKind::Poisoned => self.restart(),
            Err(_) => Ok(Step::Done),
        }
    }

    fn wal(&self) -> &Wal {
        self.wal.as_ref().expect("the log is open between operations")
    }

    /// Tells the oracle what callers know by now. With `last_joined` the group that was begun last has its numbers, whether
    /// or not the groups before it failed.
    fn settle(&mut self, last_joined: bool) -> Result<(), Broken> {
        if !self.disk.crashed() {
            self.settle_failed(last_joined)?;
        }
        let (written, durable) = (self.wal().written_end(), self.wal().durable_end());
        self.expected.wrote(written)?;
        self.promised(durable, Durability::Durable)?;
        for commit in std::mem::take(&mut self.submitted) {
            match commit.outcome() {
                None => self.submitted.push(commit),
                Some(Err(_)) => {}
                Some(Ok(number)) => self.promised(number + 1, self.setup.policy.promise())?,
            }
        }
        Ok(())
    }

    /// A failed write takes back the numbers of all entries from its first one on.
    fn settle_failed(&mut self, last_joined: bool) -> Result<(), Broken> {
        let passing = |kind| !matches!(kind, ErrorKind::Poisoned | ErrorKind::Closed | ErrorKind::Truncated);
        let Some(first) = self.submitted.iter().find(|commit| failed(commit).is_some_and(passing)) else {
            return Ok(());
        };
        let first = first.sequence();
        if self.submitted.iter().any(|commit| commit.sequence() >= first && failed(commit).is_none()) {
            let how = format!("entry {first} failed, and one after it did not");
            return Err(Broken::new(Promise::LogIsAPrefix, how));
        }
        // Where an append has failed with them, they are taken back already.
        if first < self.expected.entries() {
            self.expected.wrote(first)?;
            self.expected.take_back(last_joined);
        }
        Ok(())
    }

    /// A caller was told that this is true of the first `entries` entries.
    fn promised(&mut self, entries: u64, promise: Durability) -> Result<(), Broken> {
        let written = self.expected.written_entries();
        if promise > Durability::Buffered && entries > written {
            let how = format!("{entries} entries are {promise:?}, and {written} are written");
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        if promise == Durability::Durable {
            self.expected.acknowledge(entries);
        }
        Ok(())
    }
}

fn lone(number: u64) -> Range<u64> {
    number..number + 1
}

/// How a commit failed, if it did.
fn failed(commit: &Commit) -> Option<ErrorKind> {
    commit.outcome()?.err().map(|error| error.kind())
}
