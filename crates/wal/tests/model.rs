//! The log against a plain vector: random operations, threads, failures, kills and power cuts.
//!
//! Half of the logs have threads in the background. Then things happen between two steps, and a case that
//! failed may not fail again. What is known exactly without them is known within bounds with them: a
//! watermark may have moved since it was read, and a write or a sync may have failed since the last step.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::oracle::{Group, Oracle, Together};
use common::{contents, enospc, fault, open, read};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wal::{Checksum, Commit, Durability, Error, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, CrashModel, FaultEffect, SimDisk, SyncLoss, Times};

#[derive(Clone, Debug)]
enum Step {
    Append(usize, Durability),
    Batch(Vec<usize>),
    /// Several threads at once, whatever is armed to fail.
    Together(Vec<(usize, Durability)>),
    Submit(usize, Durability),
    SubmitBatch(Vec<usize>),
    TrySubmit(usize),
    /// One of the commits that nobody has waited for.
    Wait(usize),
    Drop(usize),
    Flush,
    Sync,
    /// A write to come fails, when so many bytes are stored.
    FailWrite(u64, usize),
    /// So much space is left, until all is healed.
    Space(u64),
    /// A sync to come fails.
    FailSync(u64, SyncLoss),
    Close(Setup),
    /// So many eighths stay.
    TruncateAfter(u64),
    /// All handles are dropped.
    End(Setup),
    Kill(Setup),
    /// Power cut; which of the possible images.
    Cut(Setup, u64),
    Read(Range<u64>),
    Look,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    segment_bytes: u64,
    checksum: Checksum,
    policy: SyncPolicy,
    buffered: Option<u64>,
    max_in_flight_bytes: u64,
    mapped: bool,
    background: bool,
}

impl Setup {
    fn options(self) -> Options {
        let options = Options::new()
            .segment_bytes(self.segment_bytes)
            .checksum(self.checksum)
            .sync(self.policy)
            .max_in_flight_bytes(self.max_in_flight_bytes)
            .mapped_reads(self.mapped)
            .background(self.background);
        self.gathers().into_iter().fold(options, Options::buffered)
    }

    /// A policy that waits has no buffer.
    fn gathers(self) -> Option<u64> {
        self.buffered.filter(|_| !self.policy.waits())
    }

    /// What a call promises that asks for this.
    fn promise(self, asked: Durability) -> Durability {
        if self.gathers().is_some() { asked } else { asked.max(Durability::Written) }
    }

    fn default_promise(self) -> Durability {
        if self.gathers().is_some() { Durability::Buffered } else { self.policy.promise() }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// For what comes by itself, and at once.
const PATIENCE: Duration = Duration::from_secs(5);

fn setup() -> impl Strategy<Value = Setup> {
    let segment_bytes = prop_oneof![Just(12 << 10), (12_u64 << 10)..(40 << 10), Just(1 << 20)];
    let checksum = select(common::CHECKSUMS);
    let policy = prop_oneof![
        Just(SyncPolicy::None),
        Just(SyncPolicy::Immediate),
        (1..6_u64).prop_map(|entries| SyncPolicy::periodic(entries, MINUTE)),
        Just(SyncPolicy::grouped(Duration::ZERO)),
    ];
    let buffered = select(vec![None, None, Some(1), Some(700), Some(4000)]);
    let in_flight = select(vec![4000, 16 << 20]);
    let switches = (any::<bool>(), any::<bool>());
    (segment_bytes, checksum, policy, buffered, in_flight, switches).prop_map(
        |(segment_bytes, checksum, policy, buffered, max_in_flight_bytes, (mapped, background))| Setup {
            segment_bytes,
            checksum,
            policy,
            buffered,
            max_in_flight_bytes,
            mapped,
            background,
        },
    )
}

/// Empty, tiny, about a sector, about a page, most of a segment, and more than one.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0_usize),
        4 => 1..64_usize,
        2 => 440..540_usize,
        3 => 900..4200_usize,
        1 => 7000..13_000_usize,
        1 => 20_000..60_000_usize,
    ]
}

fn durability() -> impl Strategy<Value = Durability> {
    select(vec![Durability::Buffered, Durability::Written, Durability::Durable])
}

/// How much of a failed write is there: some, or all of it.
fn stored() -> impl Strategy<Value = usize> {
    prop_oneof![0..200_usize, Just(1 << 20)]
}

fn loss() -> impl Strategy<Value = SyncLoss> {
    // One that lies before it fails is beyond every promise.
    select(vec![SyncLoss::CacheNewDiskOld, SyncLoss::CacheReverted, SyncLoss::PartWritten])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (size(), durability()).prop_map(|(bytes, durability)| Step::Append(bytes, durability)),
        3 => vec(size(), 0..6).prop_map(Step::Batch),
        // Long enough that no two are equal.
        4 => vec((12..600_usize, durability()), 2..5).prop_map(Step::Together),
        8 => (size(), durability()).prop_map(|(bytes, durability)| Step::Submit(bytes, durability)),
        2 => vec(size(), 1..5).prop_map(Step::SubmitBatch),
        1 => size().prop_map(Step::TrySubmit),
        3 => (0..9_usize).prop_map(Step::Wait),
        1 => (0..9_usize).prop_map(Step::Drop),
        2 => Just(Step::Flush),
        3 => Just(Step::Sync),
        4 => (0..3_u64, stored()).prop_map(|(nth, stored)| Step::FailWrite(nth, stored)),
        1 => (0..40_000_u64).prop_map(Step::Space),
        1 => (0..3_u64, loss()).prop_map(|(nth, loss)| Step::FailSync(nth, loss)),
        2 => setup().prop_map(Step::Close),
        3 => (0..=8_u64).prop_map(Step::TruncateAfter),
        1 => setup().prop_map(Step::End),
        2 => setup().prop_map(Step::Kill),
        3 => (setup(), any::<u64>()).prop_map(|(setup, image)| Step::Cut(setup, image)),
        2 => (0..40_u64, 0..40_u64).prop_map(|(start, more)| Step::Read(start..start + more)),
        1 => Just(Step::Look),
    ]
}

/// The log under test, and what it must be.
struct Model {
    disk: SimDisk,
    setup: Setup,
    oracle: Oracle,
    wal: Option<Wal>,
    /// Commits that nobody has waited for, with what they promise.
    pending: Vec<(Commit, Durability)>,
    written: u64,
    durable: u64,
    poisoned: bool,
    /// Entries in front of this have gathered, and a failed write may not take them back.
    gathered: u64,
    /// A write may have failed since the last look.
    write_fails: bool,
    /// A sync may have failed, and nobody has been told so far.
    sync_fails: bool,
}

impl Model {
    fn new(setup: Setup, seed: u64) -> Model {
        let disk = SimDisk::new(seed);
        let wal = Some(open(&disk, &setup.options()));
        let (oracle, pending) = (Oracle::default(), Vec::new());
        Model {
            disk,
            setup,
            oracle,
            wal,
            pending,
            written: 0,
            durable: 0,
            poisoned: false,
            gathered: 0,
            write_fails: false,
            sync_fails: false,
        }
    }

    fn wal(&self) -> Wal {
        self.wal.clone().expect("open between steps")
    }

    /// Nothing fails from here on, and what has failed is known.
    fn heal(&mut self) {
        self.disk.heal();
        self.disk.space(None);
        if self.write_fails {
            match self.flush_behind_failures() {
                Ok(()) => self.is_all_written(),
                Err(error) if self.setup.background => {
                    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                    self.leave_poisoned(None);
                }
                Err(error) => panic!("nothing fails any more: {error}"),
            }
            // In the background a write may have failed since the last step.
            self.forget_failed();
        }
        (self.write_fails, self.sync_fails) = (false, false);
    }

    /// Whoever waited for a write or a sync that failed has been told so.
    fn forget_failed(&mut self) {
        self.pending.retain(|(commit, _)| !matches!(commit.outcome(), Some(Err(_))));
    }

    /// Flushes a log in which nothing fails any more. What was under way may have met a failure.
    fn flush_behind_failures(&self) -> Result<(), Error> {
        let wal = self.wal();
        if !self.setup.background {
            return wal.flush();
        }
        let flushed = (0..2).find_map(|_| match wal.flush() {
            Err(error) if error.kind() != ErrorKind::Poisoned => None,
            flushed => Some(flushed),
        });
        flushed.unwrap_or_else(|| wal.flush())?;
        // A sync that is under way tells how it went.
        wal.sync()
    }

    /// Nothing is left to be written. What a failed write has taken back, and nobody waited for, is gone.
    fn is_all_written(&mut self) {
        let written = self.wal().written();
        if self.write_fails && written < self.oracle.next() {
            assert!(written >= self.gathered, "something that had gathered is gone");
            self.oracle.failed(written, None);
        }
        assert_eq!(written, self.oracle.next(), "something is not written");
    }

    fn group(&mut self, sizes: &[usize]) -> Group {
        sizes.iter().map(|&bytes| self.oracle.payload(bytes)).collect()
    }

    fn perform(&mut self, step: &Step) {
        let wal = self.wal();
        match step {
            Step::Append(bytes, asked) => {
                let group = self.group(&[*bytes]);
                let appended = wal.append_with(&group[0], *asked);
                self.appended(appended, group, self.setup.promise(*asked));
            }
            Step::Batch(sizes) if sizes.is_empty() => {
                let numbers = match wal.append_batch(&[] as &[&[u8]]) {
                    Ok(numbers) => numbers,
                    Err(error) => {
                        // Nothing is written, so all that it can meet is a sync that failed by itself.
                        assert!(self.setup.background && error.kind() == ErrorKind::Poisoned, "{error}");
                        return self.leave_poisoned(None);
                    }
                };
                assert!(numbers.is_empty() && numbers.start >= self.gathered);
                if self.write_fails && numbers.start < self.oracle.next() {
                    self.oracle.failed(numbers.start, None);
                }
                assert_eq!(numbers.start, self.oracle.next());
            }
            Step::Batch(sizes) => {
                let group = self.group(sizes);
                let appended = wal.append_batch(&group).map(|numbers| numbers.start);
                self.appended(appended, group, self.setup.default_promise());
            }
            Step::Together(appends) => self.append_together(appends),
            Step::Submit(bytes, asked) => {
                let group = self.group(&[*bytes]);
                let submitted = wal.submit_with(&group[0], *asked);
                self.submitted(submitted, group, self.setup.promise(*asked));
            }
            Step::SubmitBatch(sizes) => {
                let group = self.group(sizes);
                let submitted = wal.submit_batch(&group);
                self.submitted(submitted, group, self.setup.default_promise());
            }
            Step::TrySubmit(bytes) => {
                let group = self.group(&[*bytes]);
                match wal.try_submit(&group[0]) {
                    Err(error) if error.kind() == ErrorKind::Full => {}
                    submitted => self.submitted(submitted, group, self.setup.default_promise()),
                }
            }
            Step::Wait(which) => {
                if self.pending.is_empty() {
                    return;
                }
                let (commit, promise) = self.pending.swap_remove(which % self.pending.len());
                match commit.wait() {
                    Ok(number) => {
                        assert_eq!(number, commit.sequence());
                        self.is_kept(number, promise);
                    }
                    Err(error) => self.failed(&error, None),
                }
            }
            Step::Drop(which) => {
                if !self.pending.is_empty() {
                    drop(self.pending.swap_remove(which % self.pending.len()));
                }
            }
            Step::Flush => match wal.flush() {
                Ok(()) => self.is_all_written(),
                Err(error) => self.failed(&error, None),
            },
            Step::Sync => match wal.sync() {
                Ok(()) => {
                    self.is_all_written();
                    assert_eq!(wal.durable(), self.oracle.next());
                }
                Err(error) => self.failed(&error, None),
            },
            Step::FailWrite(nth, stored) => {
                let effect = FaultEffect::PartialThenError(*stored, enospc());
                self.disk.fail(fault(CallKind::Write, *nth, Times::Once, effect));
                self.write_fails = true;
            }
            Step::Space(bytes) => {
                self.disk.space(Some(*bytes));
                self.write_fails = true;
            }
            Step::FailSync(nth, loss) => {
                self.disk.fail(fault(CallKind::SyncFile, *nth, Times::Once, FaultEffect::SyncLoss(*loss)));
                // It may be one that a write needs.
                (self.write_fails, self.sync_fails) = (true, true);
            }
            Step::Close(setup) => {
                drop(wal);
                self.heal();
                let wal = self.wal.take().expect("open between steps");
                wal.close().expect("nothing fails");
                self.reopen(*setup, self.oracle.next());
            }
            Step::TruncateAfter(eighths) => self.truncate_after(*eighths),
            Step::End(setup) => {
                drop(wal);
                self.heal();
                drop(self.wal.take());
                self.reopen(*setup, self.oracle.next());
            }
            Step::Kill(setup) => {
                (self.durable, self.written) = (wal.durable(), wal.written());
                self.disk = self.disk.kill();
                let may_be_poisoned = self.setup.background && self.sync_fails;
                self.reopen(*setup, if may_be_poisoned { self.durable } else { self.written });
            }
            Step::Cut(setup, image) => {
                self.durable = wal.durable();
                let model = CrashModel { exhaustive_up_to: 8, random: 8, tearing: 4, garbage: 4 };
                let mut images = self.disk.crash_images(model, *image);
                let place = usize::try_from(*image % images.len() as u64).expect("few images");
                self.disk = images.nth(place).expect("below their number");
                self.reopen(*setup, self.durable);
            }
            Step::Read(range) => self.read(range),
            Step::Look => self.look(),
        }
        self.check();
    }

    fn truncate_after(&mut self, eighths: u64) {
        self.heal();
        let next = self.oracle.next();
        let Some(last) = next.checked_sub(1).map(|last| last * eighths / 8) else { return };
        if let Err(error) = self.wal().truncate_after(last) {
            return self.failed(&error, None);
        }
        let end = last + 1;
        if end == next {
            // Nothing is dropped but what a failed write may have left.
            return self.oracle.truncated(end);
        }
        assert_eq!((self.wal().written(), self.wal().durable()), (end, end), "all that stays is durable");
        self.oracle.truncated(end);
        (self.written, self.durable, self.gathered) = (end, end, self.gathered.min(end));
        self.pending.retain(|(commit, _)| {
            let stays = commit.sequences().end <= end;
            let told = stays
                || commit.outcome().is_some_and(|outcome| match outcome {
                    Ok(_) => true,
                    Err(error) => error.kind() == ErrorKind::Truncated,
                });
            assert!(told, "whoever waits for {} is told {:?}", commit.sequence(), commit.outcome());
            stays
        });
    }

    fn appended(&mut self, appended: Result<u64, Error>, group: Group, promise: Durability) {
        match appended {
            Ok(first) => {
                self.joined(first, group, promise);
                self.is_kept(self.oracle.next() - 1, promise);
            }
            Err(error) => self.failed(&error, Some(group)),
        }
    }

    fn submitted(&mut self, submitted: Result<Commit, Error>, group: Group, promise: Durability) {
        match submitted {
            Ok(commit) => {
                assert_eq!(commit.sequences().count(), group.len());
                self.joined(commit.sequence(), group, promise);
                self.pending.push((commit, promise));
            }
            Err(error) => self.failed(&error, Some(group)),
        }
    }

    /// The order of those who append at once is what their numbers say; and where some fail, the log.
    fn append_together(&mut self, appends: &[(usize, Durability)]) {
        let wal = &self.wal();
        let groups: Vec<_> =
            appends.iter().map(|&(bytes, asked)| (self.oracle.payload(bytes), asked)).collect();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let append = |(payload, asked): (Vec<u8>, Durability)| {
                scope.spawn(move || (wal.append_with(&payload, asked), payload, asked))
            };
            let threads: Vec<_> = groups.into_iter().map(append).collect();
            threads.into_iter().map(|thread| thread.join().expect("nobody panics")).collect()
        });
        let (mut together, mut poisoned) = (Together::default(), false);
        let mut promises = Vec::new();
        for (outcome, payload, asked) in outcomes {
            match outcome {
                Ok(number) => {
                    let before = together.told.insert(number, payload);
                    assert!(before.is_none(), "two were told the number {number}");
                    let promise = self.setup.promise(asked);
                    promises.push((number, promise));
                    together.gathered.extend((promise == Durability::Buffered).then_some(number));
                }
                Err(error) => {
                    let kind = error.kind();
                    poisoned |= kind == ErrorKind::Poisoned;
                    assert!(self.write_fails, "nothing was wrong, and yet: {error}");
                    let expected = [ErrorKind::NoSpace, ErrorKind::Io, ErrorKind::Poisoned].contains(&kind);
                    assert!(expected, "{error}");
                    together.failed.push(payload);
                }
            }
        }
        for &(number, promise) in &promises {
            self.is_kept(number, promise);
        }
        if poisoned {
            self.leave_poisoned(Some(together));
        } else if together.failed.is_empty() {
            self.all_joined(together, &promises);
        } else {
            self.some_failed(together);
        }
    }

    fn all_joined(&mut self, together: Together, promises: &[(u64, Durability)]) {
        for (place, (number, payload)) in together.told.into_iter().enumerate() {
            // What nobody was told about may be taken back in front of the first.
            let silent = place == 0 && self.write_fails && number < self.oracle.next();
            assert!(silent || number == self.oracle.next(), "a number is missing or used twice: {number}");
            let promise = promises.iter().find(|(told, _)| *told == number).expect("it was told").1;
            self.joined(number, vec![payload], promise);
        }
    }

    /// The log tells in which order the others came, and that those who were told of a failure are not in
    /// it. In a buffered log they may be, so all that is kept is written first.
    fn some_failed(&mut self, mut together: Together) {
        let gathers = self.setup.gathers().is_some();
        if gathers {
            self.disk.heal();
            self.disk.space(None);
            if self.flush_behind_failures().is_err() {
                return self.leave_poisoned(Some(together));
            }
            (self.write_fails, self.sync_fails) = (false, false);
        }
        let wal = self.wal();
        let Some(shown) = self.entries() else { return self.leave_poisoned(Some(together)) };
        let ordered = self.oracle.put_in_order(&shown, self.written, &mut together, gathers);
        let taken_back = ordered.unwrap_or_else(|broken| panic!("{broken}"));
        assert!(together.told.is_empty(), "accepted, and not there: {:?}", together.told.keys());
        let next = self.oracle.next();
        assert!(taken_back.is_empty() || next >= self.gathered, "something that had gathered is gone");
        assert_eq!(wal.written(), next);
        self.oracle.failed_in_any_order(next, &taken_back, &together.failed);
    }

    #[track_caller]
    fn is_kept(&self, number: u64, promise: Durability) {
        let wal = self.wal();
        match promise {
            Durability::Buffered => {}
            Durability::Written => assert!(wal.written() > number, "{number} is not written"),
            Durability::Durable => assert!(wal.durable() > number, "{number} is not durable"),
        }
    }

    /// A call was told; it had brought this group.
    fn failed(&mut self, error: &Error, told: Option<Group>) {
        let wal = self.wal();
        match error.kind() {
            ErrorKind::Poisoned => {
                self.poisoned = true;
                match told {
                    Some(group) if self.setup.background => {
                        self.oracle.in_doubt_somewhere(self.written, group);
                    }
                    Some(group) => self.oracle.in_doubt(self.written, group),
                    None => {}
                }
            }
            ErrorKind::NoSpace | ErrorKind::Io if self.setup.gathers().is_some() => {
                self.kept_what_gathered(told);
            }
            ErrorKind::NoSpace | ErrorKind::Io => self.oracle.failed(wal.written(), told),
            _ => panic!("{error}"),
        }
    }

    /// In a buffered log what has gathered stays, if somebody has gone on with its number. Whether this
    /// group has, the next number tells.
    fn kept_what_gathered(&mut self, told: Option<Group>) {
        self.disk.heal();
        self.disk.space(None);
        self.write_fails = false;
        let wal = self.wal();
        let failed_at = wal.written();
        let next = self.oracle.next();
        let probe = self.oracle.payload(20);
        let number = match wal.append_with(&probe, Durability::Buffered) {
            Ok(number) => number,
            Err(error) => {
                assert!(self.setup.background && error.kind() == ErrorKind::Poisoned, "{error}");
                self.poisoned = true;
                told.into_iter().for_each(|group| self.oracle.in_doubt_somewhere(self.written, group));
                return;
            }
        };
        match told {
            Some(group) if number > next => self.oracle.joined(next, group),
            // It is not kept, nor is what nobody had gone on with.
            told => self.oracle.failed(number, told),
        }
        self.joined(number, vec![probe], Durability::Buffered);
        self.oracle.failed_and_kept(failed_at);
    }

    /// A call has gone on with this number.
    fn joined(&mut self, first: u64, group: Group, promise: Durability) {
        assert!(first >= self.gathered, "something that had gathered is gone");
        self.oracle.joined(first, group);
        if promise == Durability::Buffered {
            self.gathered = self.oracle.next();
        }
    }

    /// All that is written; `None` once a sync has failed.
    fn entries(&self) -> Option<Vec<Vec<u8>>> {
        let (shown, error) = read(self.wal().range(..).ok()?);
        match error {
            None => Some(shown),
            Some(error) => {
                self.has_lost_its_cache(&error);
                None
            }
        }
    }

    /// The cache may have lost what a sync should have covered that fails at this moment, in the background.
    #[track_caller]
    fn has_lost_its_cache(&self, error: &Error) {
        assert!(self.setup.background, "{error}");
        common::eventually(&format!("{error}"), PATIENCE, || self.wal().range(..).is_err());
    }

    /// What holds between any two steps.
    fn check(&mut self) {
        let wal = self.wal();
        let (durable, written) = (wal.durable(), wal.written());
        // A sync that nobody waited for is told to whoever comes next.
        let shown = match self.entries() {
            Some(shown) if !self.poisoned => shown,
            _ => return self.leave_poisoned(None),
        };
        assert!(wal.first() == 0 && self.written <= written && self.durable <= durable, "a watermark fell");
        assert!(durable <= written && written <= self.oracle.next(), "{durable}, {written}");
        if !self.setup.background {
            assert_eq!((wal.written(), shown.len() as u64), (written, written));
            assert_eq!(wal.last(), written.checked_sub(1));
            assert_eq!(wal.is_empty(), written == 0);
        }
        assert!((written..=self.oracle.next()).contains(&(shown.len() as u64)), "{written}, {}", shown.len());
        assert_eq!(shown, self.oracle.entries_before(shown.len() as u64));
        (self.written, self.durable) = (written, durable);
        self.oracle.written(written);
        if self.write_fails {
            // Whoever only had to be numbered, or was not waited for, is not told.
            self.oracle.failed_and_kept(written);
        }
        self.forget_failed();
        for (commit, promise) in &self.pending {
            if let Some(Ok(number)) = commit.outcome() {
                self.is_kept(number, *promise);
            }
        }
    }

    /// Everything is refused; the way on is to open the log again, on a cache that may show too much.
    /// `together` came at once when that happened.
    fn leave_poisoned(&mut self, together: Option<Together>) {
        let wal = self.wal();
        common::refused(wal.append(b"after"), ErrorKind::Poisoned);
        common::refused(wal.sync(), ErrorKind::Poisoned);
        common::refused(wal.read_from(0), ErrorKind::Poisoned);
        self.durable = self.durable.max(wal.durable());
        for (commit, promise) in &self.pending {
            // What is being written at the moment is told when that has ended.
            match commit.wait_timeout(MINUTE).expect("nobody is left waiting") {
                Ok(number) => self.is_kept(number, *promise),
                Err(error) => {
                    assert!(!matches!(error.kind(), ErrorKind::Closed | ErrorKind::Full), "{error}");
                }
            }
        }
        drop((wal, self.wal.take()));
        self.disk = self.disk.kill();
        self.disk.space(None);
        if let Some(together) = together {
            self.order_what_is_left(together);
        }
        self.written = self.oracle.next();
        self.reopen(self.setup, self.durable);
        self.check();
    }

    /// Of those who came at once, some may be on the disk that is left.
    fn order_what_is_left(&mut self, mut together: Together) {
        together.give_up_what_only_gathered();
        let shown = contents(&open(&self.disk.kill(), &self.setup.options()));
        // It may be none of them, and something that had failed before.
        let without = self.oracle.explains(&shown, self.durable..=self.oracle.next()).is_ok();
        if !without {
            let ordered = self.oracle.put_in_order(&shown, self.written, &mut together, true);
            ordered.unwrap_or_else(|broken| panic!("{broken}\n{}", self.disk.origin()));
        }
        let lost = together.told.keys().find(|number| **number < self.durable);
        assert!(lost.is_none(), "{lost:?} is gone, {} were durable", self.durable);
    }

    /// On the disk that is left. At least so much must be there, and no more than was written.
    fn reopen(&mut self, setup: Setup, least: u64) {
        // With threads in the background it is not known what was written at the last moment.
        let most = if self.setup.background { self.oracle.next() } else { self.written };
        // What was joined and not written may be handed to the disk that is left behind.
        self.wal = None;
        self.pending.clear();
        self.setup = setup;
        (self.poisoned, self.write_fails, self.sync_fails) = (false, false, false);
        // To open a log takes no space.
        let wal = open(&self.disk, &setup.options());
        self.disk.space(None);
        let shown = contents(&wal);
        if let Err(broken) = self.oracle.adopt(&shown, least..=most.max(least)) {
            panic!("{broken}\n{}", self.disk.origin());
        }
        assert_eq!(wal.durable(), shown.len() as u64, "what an open shows is durable");
        (self.written, self.durable, self.gathered) = (wal.written(), wal.durable(), 0);
        self.wal = Some(wal);
    }

    /// How many entries a reader may show.
    fn readable(&self) -> RangeInclusive<u64> {
        self.written..=if self.setup.background { self.oracle.next() } else { self.written }
    }

    fn read(&self, range: &Range<u64>) {
        let entries = self.oracle.entries();
        let may = self.readable();
        let is_shown = |shown: &[Vec<u8>], first: u64, end: u64| {
            let places = first..first.max(end.min(first + shown.len() as u64));
            let within =
                |number: u64| usize::try_from(number.min(entries.len() as u64)).expect("few entries");
            let least = end.min(*may.start()).saturating_sub(first);
            let most = end.min(*may.end()).saturating_sub(first);
            assert!((least..=most).contains(&(shown.len() as u64)), "{} from {first}", shown.len());
            assert!(shown == &entries[within(places.start)..within(places.end)], "from {first}");
        };
        let Ok(found) = self.wal().range(range.clone()) else {
            assert!(self.setup.background, "open");
            return;
        };
        let (shown, error) = read(found);
        if let Some(error) = error {
            return self.has_lost_its_cache(&error);
        }
        is_shown(&shown, range.start, range.end.max(range.start));
        match self.wal().read_from(range.start) {
            Ok(found) => {
                assert!(range.start <= *may.end());
                let (shown, error) = read(found);
                if let Some(error) = error {
                    return self.has_lost_its_cache(&error);
                }
                is_shown(&shown, range.start, u64::MAX);
            }
            Err(error) if error.kind() == ErrorKind::Poisoned => assert!(self.setup.background),
            Err(error) => {
                assert!(range.start > self.written);
                assert_eq!(error.kind(), ErrorKind::OutOfRange);
            }
        }
    }

    /// A reader without the lock, beside the writer. One that sees an entry whose write has failed, or a
    /// cache that a failed sync has changed, may find it gone when it reads: a second one does not.
    fn look(&self) {
        if !self.setup.background {
            return self.look_once().expect("a view shows the log");
        }
        let begun = Instant::now();
        while let Err(broken) = self.look_once() {
            let is_poisoned = self.wal().range(..).is_err();
            assert!(is_poisoned || begun.elapsed() < PATIENCE, "{broken}");
            if is_poisoned {
                return;
            }
        }
    }

    fn look_once(&self) -> Result<(), String> {
        let before = common::directory(&self.disk);
        let view = match Options::new().open_read_only_in(Arc::new(self.disk.clone())) {
            Ok(view) => view,
            // The anchor of a log that never had an entry is made anew for the first one.
            Err(error) if error.kind() == ErrorKind::NoLog && self.written == 0 => return Ok(()),
            Err(error) => return Err(format!("{error}")),
        };
        let (shown, error) = read(view.range(..));
        error.map_or(Ok(()), |error| Err(format!("{error}")))?;
        self.oracle.explains(&shown, self.readable())?;
        let found = view.verify().map_err(|error| format!("{error}"))?;
        if !found.damages.is_empty() {
            return Err(format!("{:?}", found.damages));
        }
        // It looks anew.
        assert!(self.setup.background || found.entries == shown.len() as u64, "{}", found.entries);
        assert!(view.durable() <= view.written());
        let unchanged = self.setup.background || common::directory(&self.disk) == before;
        assert!(unchanged, "a view changed something");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_a_vector_would_be_through_every_failure_kill_and_power_cut(
        setup in setup(),
        steps in vec(step(), 1..40),
        seed in any::<u64>(),
    ) {
        // Somebody who sleeps for ever is a failure, too.
        common::within(MINUTE, move || {
            let mut model = Model::new(setup, seed);
            for step in &steps {
                model.perform(step);
            }
            model.heal();
            model.perform(&Step::Flush);
            model.look();
            model.perform(&Step::Close(setup));
        });
    }
}
