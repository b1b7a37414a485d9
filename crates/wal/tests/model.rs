//! The log against a plain vector: random operations, threads, failures, kills and power cuts.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::oracle::{Group, Oracle};
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
    /// Several threads at once.
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
}

impl Setup {
    /// Without threads of its own, so that a failing case fails again.
    fn options(self) -> Options {
        let options = Options::new()
            .segment_bytes(self.segment_bytes)
            .checksum(self.checksum)
            .sync(self.policy)
            .max_in_flight_bytes(self.max_in_flight_bytes)
            .mapped_reads(self.mapped)
            .background(false);
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
    (segment_bytes, checksum, policy, buffered, in_flight, any::<bool>()).prop_map(
        |(segment_bytes, checksum, policy, buffered, max_in_flight_bytes, mapped)| Setup {
            segment_bytes,
            checksum,
            policy,
            buffered,
            max_in_flight_bytes,
            mapped,
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
        2 => vec((0..600_usize, durability()), 2..5).prop_map(Step::Together),
        8 => (size(), durability()).prop_map(|(bytes, durability)| Step::Submit(bytes, durability)),
        2 => vec(size(), 1..5).prop_map(Step::SubmitBatch),
        1 => size().prop_map(Step::TrySubmit),
        3 => (0..9_usize).prop_map(Step::Wait),
        1 => (0..9_usize).prop_map(Step::Drop),
        2 => Just(Step::Flush),
        3 => Just(Step::Sync),
        4 => (0..3_u64, stored()).prop_map(|(nth, stored)| Step::FailWrite(nth, stored)),
        1 => (0..3_u64, loss()).prop_map(|(nth, loss)| Step::FailSync(nth, loss)),
        2 => setup().prop_map(Step::Close),
        3 => (0..8_u64).prop_map(Step::TruncateAfter),
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
        }
    }

    fn wal(&self) -> Wal {
        self.wal.clone().expect("open between steps")
    }

    /// Nothing fails from here on.
    fn heal(&mut self) {
        self.disk.heal();
        if self.write_fails && self.wal().flush().is_ok() {
            self.is_all_written();
        }
        self.write_fails = false;
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
                let numbers = wal.append_batch(&[] as &[&[u8]]).expect("nothing is written");
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
            Step::FailSync(nth, loss) => {
                self.disk.fail(fault(CallKind::SyncFile, *nth, Times::Once, FaultEffect::SyncLoss(*loss)));
                // It may be one that a write needs.
                self.write_fails = true;
            }
            Step::Close(setup) => {
                self.heal();
                drop(self.wal.take());
                wal.close().expect("nothing fails");
                self.reopen(*setup, self.oracle.next());
            }
            Step::TruncateAfter(eighths) => self.truncate_after(*eighths),
            Step::End(setup) => {
                self.heal();
                drop((self.wal.take(), wal));
                self.reopen(*setup, self.oracle.next());
            }
            Step::Kill(setup) => {
                self.disk = self.disk.kill();
                self.reopen(*setup, self.written);
            }
            Step::Cut(setup, image) => {
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
            return;
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

    /// The order of those who append at once is what their numbers say.
    fn append_together(&mut self, appends: &[(usize, Durability)]) {
        self.heal();
        let wal = &self.wal();
        let groups: Vec<_> =
            appends.iter().map(|&(bytes, asked)| (self.oracle.payload(bytes), asked)).collect();
        let mut numbered: Vec<_> = thread::scope(|scope| {
            let append = |(payload, asked): (Vec<u8>, Durability)| {
                scope
                    .spawn(move || (wal.append_with(&payload, asked).expect("nothing fails"), payload, asked))
            };
            let threads: Vec<_> = groups.into_iter().map(append).collect();
            threads.into_iter().map(|thread| thread.join().expect("nobody panics")).collect()
        });
        numbered.sort_by_key(|(number, ..)| *number);
        for (number, payload, asked) in numbered {
            assert_eq!(number, self.oracle.next(), "a number is missing or used twice");
            let promise = self.setup.promise(asked);
            self.joined(number, vec![payload], promise);
            self.is_kept(number, promise);
        }
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
                if let Some(group) = told {
                    self.oracle.in_doubt(self.written, group);
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
        self.write_fails = false;
        let wal = self.wal();
        let failed_at = wal.written();
        let next = self.oracle.next();
        let probe = self.oracle.payload(20);
        let number = wal.append_with(&probe, Durability::Buffered).expect("nothing fails any more");
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

    /// What holds between any two steps.
    fn check(&mut self) {
        let wal = self.wal();
        // A sync that nobody waited for is told to whoever comes next.
        if self.poisoned || wal.range(..).is_err() {
            return self.leave_poisoned();
        }
        let (first, written, durable) = (wal.first(), wal.written(), wal.durable());
        assert!(first == 0 && self.written <= written && self.durable <= durable, "a watermark fell");
        assert!(durable <= written && written <= self.oracle.next(), "{durable}, {written}");
        assert_eq!(wal.last(), written.checked_sub(1));
        assert_eq!(wal.is_empty(), written == 0);
        (self.written, self.durable) = (written, durable);
        self.oracle.written(written);
        if self.write_fails {
            // Whoever only had to be numbered, or was not waited for, is not told.
            self.oracle.failed_and_kept(written);
        }
        self.pending.retain(|(commit, _)| !matches!(commit.outcome(), Some(Err(_))));
        for (commit, promise) in &self.pending {
            if let Some(Ok(number)) = commit.outcome() {
                self.is_kept(number, *promise);
            }
        }
        assert_eq!(contents(&wal), self.oracle.entries_before(written));
    }

    /// Everything is refused; the way on is to open the log again, on a cache that may show too much.
    fn leave_poisoned(&mut self) {
        let wal = self.wal();
        common::refused(wal.append(b"after"), ErrorKind::Poisoned);
        common::refused(wal.sync(), ErrorKind::Poisoned);
        common::refused(wal.read_from(0), ErrorKind::Poisoned);
        self.durable = self.durable.max(wal.durable());
        for (commit, promise) in &self.pending {
            match commit.outcome().expect("nobody is left waiting") {
                Ok(number) => self.is_kept(number, *promise),
                Err(error) => {
                    assert!(!matches!(error.kind(), ErrorKind::Closed | ErrorKind::Full), "{error}");
                }
            }
        }
        self.disk = self.disk.kill();
        drop(wal);
        self.written = self.oracle.next();
        self.reopen(self.setup, self.durable);
        self.check();
    }

    /// On the disk that is left. At least so much must be there, and no more than was written.
    fn reopen(&mut self, setup: Setup, least: u64) {
        // What was joined and not written may be handed to the disk that is left behind.
        self.wal = None;
        self.pending.clear();
        self.setup = setup;
        (self.poisoned, self.write_fails) = (false, false);
        let wal = open(&self.disk, &setup.options());
        let shown = contents(&wal);
        if let Err(broken) = self.oracle.adopt(&shown, least..=self.written.max(least)) {
            panic!("{broken}\n{}", self.disk.origin());
        }
        assert_eq!(wal.durable(), shown.len() as u64, "what an open shows is durable");
        (self.written, self.durable, self.gathered) = (wal.written(), wal.durable(), 0);
        self.wal = Some(wal);
    }

    fn read(&self, range: &Range<u64>) {
        let entries = self.oracle.entries_before(self.written);
        let length = entries.len() as u64;
        let within = |number: u64| usize::try_from(number.min(length)).expect("few entries");
        let expected = &entries[within(range.start)..within(range.end)];
        let (shown, error) = read(self.wal().range(range.clone()).expect("open"));
        assert!(error.is_none() && shown == expected, "{range:?}: {} entries, {error:?}", shown.len());
        match self.wal().read_from(range.start) {
            Ok(found) => {
                assert!(range.start <= length);
                let (shown, error) = read(found);
                assert!(error.is_none() && shown == entries[within(range.start)..], "from {}", range.start);
            }
            Err(error) => {
                assert!(range.start > length);
                assert_eq!(error.kind(), ErrorKind::OutOfRange);
            }
        }
    }

    /// A reader without the lock, beside the writer.
    fn look(&self) {
        let before = common::directory(&self.disk);
        let view = match Options::new().open_read_only_in(Arc::new(self.disk.clone())) {
            Ok(view) => view,
            // The anchor of a log that never had an entry is made anew for the first one.
            Err(error) if error.kind() == ErrorKind::NoLog && self.written == 0 => return,
            Err(error) => panic!("{error}"),
        };
        let (shown, error) = read(view.range(..));
        assert!(error.is_none(), "{error:?}");
        self.oracle.explains(&shown, self.written).expect("a view shows the log");
        let found = view.verify().expect("readable");
        assert!(found.damages.is_empty(), "{:?}", found.damages);
        assert_eq!(found.entries, shown.len() as u64);
        assert!(view.durable() <= view.written());
        assert!(common::directory(&self.disk) == before, "a view changed something");
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
        let mut model = Model::new(setup, seed);
        for step in &steps {
            model.perform(step);
        }
        model.heal();
        model.perform(&Step::Flush);
        model.look();
        model.perform(&Step::Close(setup));
    }
}
