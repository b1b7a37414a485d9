//! One life of a log on a simulated disk: runs a script until it ends or the power is cut, and tells the
//! oracle everything that a caller was told.
//!
//! The log runs without threads, so everything happens in the call that asks for it and happens again.
//! What was submitted gathers in one frame, as with several writers who meet, until somebody needs it.

use std::ops::Range;
use std::sync::Arc;

use wal::sim::{CallKind, Failure, Fault, FaultEffect, SimDisk, SyncLoss, Times};
use wal::{Checksum, Commit, Directory, Durability, Error, ErrorKind, Options, Wal};

use crate::crash::damage;
use crate::crash::faulty::Faulty;
use crate::crash::policy::{PERIOD_ENTRIES, Policy};
use crate::crash::script::{Operation, Script};
use crate::crash::world::{After, Broken, Group, Promise, Shown, Truncation, World};

/// The smallest segments that are explored; the others are a third longer.
pub(crate) const SMALLEST_SEGMENT: u64 = 12 << 10;

/// How the logs of an exploration are opened, and what is wrong with them on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) segment_bytes: u64,
    pub(crate) checksum: Checksum,
    /// The anchor is written only where a rule asks for it (in builds that can switch rules off).
    pub(crate) anchor_lags: bool,
    /// The number of the first entry.
    pub(crate) first: u64,
    pub(crate) faulty: Faulty,
}

impl Setup {
    pub(crate) fn options(&self) -> Options {
        let lies = self.policy.waits() && self.faulty == Faulty::AcknowledgesBeforeSync;
        let policy = if lies { Policy::None } else { self.policy };
        let options = Options::new().segment_bytes(self.segment_bytes).checksum(self.checksum);
        let options = options.first_sequence(self.first);
        let options = policy.options(options).background(false).zero_ahead(self.zeroes_ahead());
        self.faulty.options(options, self.anchor_lags)
    }

    /// Half of the setups, one under each policy: zeros are operations more, in which a power cut meets
    /// nothing else.
    fn zeroes_ahead(&self) -> bool {
        self.segment_bytes > SMALLEST_SEGMENT
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

/// A log as its own reader shows it.
pub(crate) fn shown(wal: &Wal) -> Result<Shown, Error> {
    shown_from(wal.first(), wal.range(..)?)
}

/// The entries of a log that begins at `first`.
pub(crate) fn shown_from(first: u64, entries: wal::Entries) -> Result<Shown, Error> {
    let payloads = entries.map(|entry| Ok(entry?.payload().to_vec())).collect::<Result<_, Error>>()?;
    Ok(Shown { first, payloads })
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
    let doing = Operation::Open;
    let mut life = Life { setup, disk, world, wal: None, submitted: Vec::new(), faulted: false, doing };
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
    fn open(&mut self, after: After) -> Stepped {
        self.wal = None;
        self.all_were_told()?;
        let wal = match self.setup.open(self.disk) {
            Ok(wal) => wal,
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) => {
                return Err(Broken::new(Promise::CrashNeverCorrupts, format!("open: {error}")));
            }
        };
        match shown(&wal) {
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) => return Err(Broken::new(Promise::CrashNeverCorrupts, format!("read: {error}"))),
            Ok(shown) => {
                self.world.check(&shown, after)?;
                self.world.opened(&shown, after, damage::highest_link(self.disk));
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
            Operation::TruncateBefore => self.truncate(self.new_beginning()),
            Operation::FailTruncate => self.fail_truncate(),
            Operation::Open => Ok(Step::Done),
        }
    }

    fn append(&mut self, sizes: &[usize]) -> Stepped {
        let told = self.try_append(sizes, self.setup.policy.promise())?;
        self.step(told)
    }

    fn step(&mut self, told: Result<(), Error>) -> Stepped {
        match told {
            Ok(()) => Ok(Step::Done),
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            // A fault that an earlier operation left behind, on its way through.
            Err(error) if error.kind() == ErrorKind::Poisoned => self.restart(),
            Err(_) => Ok(Step::Done),
        }
    }

    fn try_append(&mut self, sizes: &[usize], asked: Durability) -> Told {
        let group: Group = match sizes {
            // The same bytes under the same number in every life: what an earlier one left behind fits.
            [bytes] => vec![self.world.payload_by_number(*bytes)],
            _ => sizes.iter().map(|&bytes| self.world.payload(bytes)).collect(),
        };
        self.world.begin(group.clone());
        let appended = match group.as_slice() {
            [payload] if asked == self.setup.policy.promise() => self.wal().append(payload).map(lone),
            [payload] => self.wal().append_with(payload, asked).map(lone),
            _ => self.wal().append_batch(&group),
        };
        let told = self.joined(appended, asked)?;
        let quiet = !self.faulted && !self.disk.crashed();
        if told.is_ok() && quiet && self.setup.policy == Policy::Periodic {
            let pending = self.wal().written() - self.wal().durable();
            if pending >= PERIOD_ENTRIES {
                let how = format!("{pending} entries are not durable, and no sync ran");
                return Err(Broken::new(Promise::LossIsBounded, how));
            }
        }
        Ok(told)
    }

    fn try_submit(&mut self) -> Told {
        self.world.wrote_ahead = true;
        for bytes in [24, 40, 130] {
            let payload = self.world.payload_by_number(bytes);
            self.world.begin(vec![payload.clone()]);
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

    fn try_wait(&mut self) -> Told {
        // All are waited for, also behind one that failed.
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

    fn try_flush(&mut self) -> Told {
        self.world.wrote_ahead = true;
        let told = self.wal().flush();
        self.settle(false)?;
        let (written, entries) = (self.wal().written(), self.world.entries());
        if told.is_ok() && written != entries {
            let how = format!("after a flush {written} entries are written, not {entries}");
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        Ok(told)
    }

    fn try_sync(&mut self) -> Told {
        let told = self.wal().sync();
        self.settle(false)?;
        if told.is_ok() {
            let (durable, entries) = (self.wal().durable(), self.world.entries());
            if durable != entries {
                let how = format!("after a sync {durable} entries are durable, not {entries}");
                return Err(Broken::new(Promise::AcknowledgedIsThere, how));
            }
            self.world.acknowledge(entries);
        }
        Ok(told)
    }

    /// What is there is durable then; a rollover by hand is a sync to whoever looks from outside.
    fn try_end_segment(&mut self) -> Told {
        match self.wal().roll() {
            Ok(()) => self.try_sync(),
            refused => {
                self.settle(false)?;
                Ok(refused)
            }
        }
    }

    fn wal(&self) -> &Wal {
        self.wal.as_ref().expect("the log is open between operations")
    }

    /// Takes in how it went for the group that was begun last: with `Ok` it has its numbers, and `asked`
    /// is true of it.
    fn joined(&mut self, result: Result<Range<u64>, Error>, asked: Durability) -> Told {
        let error = match result {
            Ok(numbers) => {
                self.settle(true)?;
                if numbers.end != self.world.entries() {
                    let how = format!("numbers {numbers:?}, of {}", self.world.entries());
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
                self.world.doubt_last();
                return Ok(Err(error));
            }
        } else if error.kind() == ErrorKind::TooLarge || self.setup.policy == Policy::Buffered {
            // A buffered log refuses what comes while what it has cannot be written.
            if asked > Durability::Buffered && error.kind() != ErrorKind::Poisoned {
                let how = format!("nothing was wrong, and yet: {error}");
                return Err(Broken::new(Promise::LogIsAPrefix, how));
            }
            if error.kind() != ErrorKind::Poisoned {
                self.world.refuse();
            }
        } else if error.kind() != ErrorKind::Poisoned {
            self.world.wrote(self.wal().written())?;
            self.world.take_back(false);
        }
        self.settle(false)?;
        Ok(Err(error))
    }

    /// Tells the oracle what callers can know by now. With `last_joined` the group that was begun last has
    /// its numbers, whatever became of those in front of it.
    fn settle(&mut self, last_joined: bool) -> Result<(), Broken> {
        if !self.disk.crashed() {
            self.settle_failed(last_joined)?;
        }
        let (written, durable) = (self.wal().written(), self.wal().durable());
        self.world.wrote(written)?;
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

    /// A failed write takes back everything that is numbered behind it.
    fn settle_failed(&mut self, last_joined: bool) -> Result<(), Broken> {
        let passing = |kind| !matches!(kind, ErrorKind::Poisoned | ErrorKind::Closed | ErrorKind::Truncated);
        let Some(first) = self.submitted.iter().find(|commit| failed(commit).is_some_and(passing)) else {
            return Ok(());
        };
        let first = first.sequence();
        if self.submitted.iter().any(|commit| commit.sequence() >= first && failed(commit).is_none()) {
            let how = format!("entry {first} failed, and one behind it did not");
            return Err(Broken::new(Promise::LogIsAPrefix, how));
        }
        // Where an append has failed with them, they are taken back already.
        if first < self.world.entries() {
            self.world.wrote(first)?;
            self.world.take_back(last_joined);
        }
        Ok(())
    }

    /// This is true of everything in front of `entries`, a caller was told.
    fn promised(&mut self, entries: u64, promise: Durability) -> Result<(), Broken> {
        let written = self.world.written_entries();
        if promise > Durability::Buffered && entries > written {
            let how = format!("{entries} entries are {promise:?}, and {written} are written");
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        if promise == Durability::Durable {
            self.world.acknowledge(entries);
        }
        Ok(())
    }

    /// Whoever waits for a log that is over is told.
    fn all_were_told(&mut self) -> Result<(), Broken> {
        let waiting = self.submitted.iter().find(|commit| commit.outcome().is_none());
        if let Some(commit) = waiting {
            let how = format!("whoever waits for entry {} is told nothing", commit.sequence());
            return Err(Broken::new(Promise::EveryCallReturns, how));
        }
        self.submitted.clear();
        Ok(())
    }

    fn close(&mut self) -> Stepped {
        let wal = self.wal.take().expect("the log is open between operations");
        let after = match wal.close() {
            Ok(()) => {
                let entries = self.world.entries();
                self.world.wrote(entries)?;
                self.world.acknowledge(entries);
                if let Some(commit) = self.submitted.iter().find(|commit| failed(commit).is_some()) {
                    let how = format!("closed, and entry {} is said to have failed", commit.sequence());
                    return Err(Broken::new(Promise::LogIsAPrefix, how));
                }
                After::Kill
            }
            Err(_) if self.disk.crashed() => return Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => After::PowerCut,
            Err(_) => After::Kill,
        };
        self.disk.heal();
        self.open(after)
    }

    /// The process dies: nothing reaches the disk any more.
    fn kill(&mut self) -> Stepped {
        let failure = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
        self.disk.fail(Fault { call: CallKind::Any, nth: 0, times: Times::Forever, with: failure });
        self.wal = None;
        self.disk.heal();
        self.open(After::Kill)
    }

    /// The last handle is dropped: nothing is synced, and nothing that was submitted is forgotten.
    fn drop_log(&mut self) -> Stepped {
        self.world.wrote_ahead = true;
        self.wal = None;
        if !self.disk.crashed() {
            self.world.wrote(self.world.entries())?;
        }
        self.open(After::Kill)
    }

    /// A sync fails and the machine goes on: the caller is told, nobody is told anything good after that,
    /// and the next open reads what the device has.
    fn fail_sync(&mut self) -> Stepped {
        let lost = FaultEffect::SyncLoss(self.loss());
        self.arm(CallKind::SyncFile, self.disk.operations() / 3 % 3, lost);
        // What the cache held and the device did not may be gone from here on.
        self.world.power_cut();
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

    fn fail_write(&mut self) -> Stepped {
        let stored = [0, 8, 31, 32, 40, 64, 100, 5000];
        let stored = stored[usize::try_from(self.disk.operations() % 8).unwrap_or(0)];
        let effect = FaultEffect::PartialThenError(stored, Failure::Kind(std::io::ErrorKind::StorageFull));
        self.arm(CallKind::Write, self.disk.operations() / 8 % 2, effect);
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

    /// Now this, now that, the same in the same place.
    fn choose(&self, of: u64) -> u64 {
        self.disk.operations() % of
    }

    fn loss(&self) -> SyncLoss {
        let losses = [SyncLoss::CacheNewDiskOld, SyncLoss::PartWritten, SyncLoss::CacheReverted];
        losses[usize::try_from(self.choose(3)).unwrap_or(0)]
    }

    fn cut(&self) -> Option<Truncation> {
        let (first, next) = (self.world.first(), self.world.entries());
        let kept = if self.choose(2) == 0 { (next - first) / 2 } else { (next - first).saturating_sub(1) };
        (kept > 0).then_some(Truncation::From(first + kept))
    }

    fn new_beginning(&self) -> Truncation {
        let (first, next) = (self.world.first(), self.world.entries());
        Truncation::Before(if self.choose(4) == 0 { next } else { first + (next - first).div_ceil(2) })
    }

    fn truncate(&mut self, truncation: Truncation) -> Stepped {
        match self.try_truncate(truncation)? {
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => self.restart(),
            Err(error) => Err(Broken::new(
                Promise::TruncationIsOldOrNew,
                format!("nothing was wrong, and yet: {error}"),
            )),
            Ok(()) => Ok(Step::Done),
        }
    }

    /// Truncates while a write fails: the log is cut or not, which a caller can see, and goes on. Or while a
    /// sync fails: then it may be poisoned, and the next open sees which.
    fn fail_truncate(&mut self) -> Stepped {
        let truncation = match self.cut() {
            Some(cut) if self.choose(2) == 0 => cut,
            _ => self.new_beginning(),
        };
        let syncs = self.choose(7) < 3;
        let nth = self.disk.operations() / 2 % 4;
        if syncs {
            self.arm(CallKind::SyncFile, nth, FaultEffect::SyncLoss(self.loss()));
            self.world.power_cut();
        } else {
            let stored = [0, 40, 64, 100, 5000];
            let stored = stored[usize::try_from(self.choose(5)).unwrap_or(0)];
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

    fn try_truncate(&mut self, truncation: Truncation) -> Told {
        self.settle(false)?;
        self.world.begin_truncation(truncation);
        let before = self.wal().written();
        let told = match truncation {
            Truncation::Before(first) => self.wal().truncate_before(first).map(drop),
            Truncation::From(next) => self.wal().truncate_after(next - 1),
        };
        if told.is_err() && self.disk.crashed() {
            return Ok(told);
        }
        let waits_behind = |next| {
            let mut behind = self.submitted.iter().filter(|commit| commit.sequences().end > next);
            behind.any(|commit| commit.outcome().is_none())
        };
        match (&told, truncation) {
            (Ok(()), Truncation::Before(_)) => {
                self.settle(false)?;
                self.world.truncated();
            }
            // The log is cut, and the anchor could not be written.
            (_, Truncation::From(next))
                if self.wal().written() == next
                    && (told.is_ok() || before != next && !waits_behind(next)) =>
            {
                let cut = self.world.entries() > next;
                match &told {
                    Ok(()) => self.world.truncated(),
                    Err(_) => self.world.truncated_without_anchor(),
                }
                self.settle_cut(next, cut)?;
            }
            (Err(error), Truncation::From(_)) if error.kind() != ErrorKind::Poisoned => {
                self.world.not_truncated();
                self.settle(false)?;
            }
            (Ok(()), Truncation::From(next)) => {
                let how = format!("truncated at {next}, and {} entries are written", self.wal().written());
                return Err(Broken::new(Promise::TruncationIsOldOrNew, how));
            }
            // The log begins there, or where it did, until another one is told to.
            (Err(_), _) => self.settle(false)?,
        }
        if self.wal().first() != self.world.first() && told.is_ok() {
            let how = format!("the log begins at {}, and not at {}", self.wal().first(), self.world.first());
            return Err(Broken::new(Promise::TruncationIsOldOrNew, how));
        }
        Ok(told)
    }

    /// Everybody who waits is told, as far as the log was cut.
    fn settle_cut(&mut self, next: u64, cut: bool) -> Result<(), Broken> {
        for commit in std::mem::take(&mut self.submitted) {
            let behind = commit.sequences().end > next;
            match commit.outcome() {
                Some(Ok(_)) => {}
                Some(Err(error)) if behind && error.kind() == ErrorKind::Truncated => {}
                None if !cut && !behind => self.submitted.push(commit),
                outcome => {
                    let how = format!("cut at {next}, entry {} is told {outcome:?}", commit.sequence());
                    return Err(Broken::new(Promise::EveryCallReturns, how));
                }
            }
        }
        self.settle(false)
    }

    fn arm(&mut self, call: CallKind, nth: u64, with: FaultEffect) {
        self.disk.fail(Fault { call, nth, times: Times::Once, with });
        self.faulted = true;
    }

    fn disarm(&mut self) {
        self.disk.heal();
        self.faulted = false;
    }

    /// The process gives up and starts again, on whatever the page cache shows.
    fn restart(&mut self) -> Stepped {
        self.wal = None;
        self.disarm();
        self.open(After::PowerCut)
    }
}

fn lone(number: u64) -> Range<u64> {
    number..number + 1
}

/// How a commit failed, if it did.
fn failed(commit: &Commit) -> Option<ErrorKind> {
    commit.outcome()?.err().map(|error| error.kind())
}
