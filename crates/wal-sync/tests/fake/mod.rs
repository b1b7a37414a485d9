//! A target in memory that keeps a record, does as it is told, and notices what must never happen; and a
//! watchdog, so that a thread that sleeps for ever is a failed test.

#![allow(dead_code, unreachable_pub, reason = "shared by test files, none of which needs all of it")]

use std::collections::VecDeque;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wal_sync::{
    Batch, Durability, Error, Fault, GroupCommit, Limits, Patience, SyncPolicy, Target, Ticket, Wrote,
};

/// Far longer than anything here takes, and short enough for a build that waits.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One entry that takes eight bytes.
pub const ONE: Batch = Batch { entries: 1, bytes: 8 };

/// An entry that ends a segment: to write its frame takes a sync of what came before.
pub const ROLLOVER: u64 = u64::MAX;

/// Wide enough for most tests.
pub const WIDE: Limits = Limits {
    frame_entries: 1 << 10,
    frame_bytes: 1 << 16,
    in_flight_bytes: 1 << 20,
    buffered_bytes: None,
    flusher: true,
};

/// Why the fake fails: a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named(pub &'static str);

/// What a write or a sync is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Succeed,
    FailPassing,
    FailCapReached,
    FailFinally,
    Panic,
}

/// The record, and the orders.
#[derive(Debug, Default)]
pub struct Record {
    /// What was written, under its number.
    pub entries: Vec<u64>,
    /// How many of them a sync has covered that succeeded.
    pub durable: u64,
    pub writes_begun: u64,
    pub write_begun_at: Option<Instant>,
    pub writes: u64,
    pub syncs_begun: u64,
    /// Syncs that succeeded, those inside of a write included.
    pub syncs: u64,
    /// Syncs that were begun by the flusher.
    pub syncs_by_flusher: u64,
    /// The most entries of one write.
    pub widest: usize,
    pub next_writes: VecDeque<Deed>,
    pub next_syncs: VecDeque<Deed>,
    pub holds_writes: bool,
    pub holds_syncs: bool,
    /// Each write asks for a sync once so much is not durable.
    pub soon: Option<u64>,
    pub write_takes: Duration,
    pub sync_takes: Duration,
    pub acknowledged: u64,
    pub acknowledged_panics: bool,
    writing: bool,
    syncing: bool,
    write_failed: bool,
    pub sync_failed: bool,
    violations: Vec<&'static str>,
}

/// A target in memory.
#[derive(Debug, Default)]
pub struct Fake {
    record: Mutex<Record>,
    changed: Condvar,
}

impl Fake {
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record());
        self.changed.notify_all();
    }

    /// Blocks until the record is as expected.
    pub fn until(&self, expected: impl Fn(&Record) -> bool) {
        let mut record = self.record();
        while !expected(&record) {
            record = self.changed.wait(record).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn syncs(&self) -> u64 {
        self.record().syncs
    }

    /// Writes and syncs that were begun.
    pub fn begun(&self) -> (u64, u64) {
        let record = self.record();
        (record.writes_begun, record.syncs_begun)
    }

    pub fn is_durable(&self, sequence: u64) -> bool {
        sequence < self.record().durable
    }

    fn wait_while<'a>(
        &'a self,
        mut record: MutexGuard<'a, Record>,
        held: impl Fn(&Record) -> bool,
    ) -> MutexGuard<'a, Record> {
        self.changed.notify_all();
        while held(&record) {
            record = self.changed.wait(record).unwrap_or_else(PoisonError::into_inner);
        }
        record
    }

    fn take_time<'a>(&'a self, record: MutexGuard<'a, Record>, takes: Duration) -> MutexGuard<'a, Record> {
        if takes.is_zero() {
            return record;
        }
        drop(record);
        thread::sleep(takes);
        self.record()
    }
}

impl Target for Fake {
    type Error = Named;
    type Frame = Vec<u64>;

    fn frame(&self) -> Vec<u64> {
        Vec::with_capacity(64)
    }

    fn clear(&self, frame: &mut Vec<u64>) {
        frame.clear();
    }

    fn syncs_to_write(&self, frame: &Vec<u64>) -> bool {
        frame.contains(&ROLLOVER)
    }

    fn write(&self, frame: &mut Vec<u64>, first: u64) -> Result<Wrote, Fault<Named>> {
        let rolls = frame.contains(&ROLLOVER);
        let mut record = self.record();
        for (broken, rule) in [
            (record.writing, "two writes at once"),
            (record.write_failed, "a write after a failed one"),
            (frame.is_empty(), "a write of nothing"),
            (record.entries.len() as u64 != first, "a gap, or a number given twice"),
            (rolls && record.syncing, "a rollover beside a sync"),
            (rolls && record.sync_failed, "a rollover after a failed sync"),
        ] {
            record.violations.extend(broken.then_some(rule));
        }
        (record.writing, record.syncing) = (true, record.syncing || rolls);
        record.writes_begun += 1;
        record.write_begun_at = Some(Instant::now());
        let takes = record.write_takes;
        record = self.wait_while(record, |record| record.holds_writes);
        record = self.take_time(record, takes);
        record.writing = false;
        record.syncing &= !rolls;
        match record.next_writes.pop_front().unwrap_or(Deed::Succeed) {
            Deed::Succeed => {}
            Deed::FailPassing => return Err(Fault::Passing(Named("no space"))),
            Deed::FailCapReached => return Err(Fault::CapReached(Named("no room"))),
            Deed::FailFinally => {
                record.write_failed = true;
                return Err(Fault::Final(Named("no device")));
            }
            Deed::Panic => {
                record.write_failed = true;
                drop(record);
                panic!("in a write, on purpose");
            }
        }
        record.writes += 1;
        record.widest = record.widest.max(frame.len());
        if rolls {
            record.durable = first;
            record.syncs += 1;
        }
        record.entries.extend(frame.iter());
        let next = record.entries.len() as u64;
        let sync_soon = record.soon.is_some_and(|soon| next - record.durable >= soon);
        let wrote = Wrote { next, durable: record.durable, sync_soon };
        self.changed.notify_all();
        Ok(wrote)
    }

    fn sync(&self) -> Result<u64, Named> {
        let mut record = self.record();
        for (broken, rule) in
            [(record.syncing, "two syncs at once"), (record.sync_failed, "a sync after a failed one")]
        {
            record.violations.extend(broken.then_some(rule));
        }
        record.syncing = true;
        record.syncs_begun += 1;
        let by_flusher = thread::current().name() == Some(FLUSHER);
        record.syncs_by_flusher += u64::from(by_flusher);
        let covered = record.entries.len() as u64;
        let takes = record.sync_takes;
        record = self.wait_while(record, |record| record.holds_syncs);
        record = self.take_time(record, takes);
        record.syncing = false;
        match record.next_syncs.pop_front().unwrap_or(Deed::Succeed) {
            Deed::Succeed => {}
            Deed::Panic => {
                record.sync_failed = true;
                drop(record);
                panic!("in a sync, on purpose");
            }
            _ => {
                record.sync_failed = true;
                return Err(Named("no device"));
            }
        }
        record.syncs += 1;
        record.durable = record.durable.max(covered);
        self.changed.notify_all();
        Ok(covered)
    }

    fn acknowledged(&self, _took: Duration) {
        let mut record = self.record();
        record.acknowledged += 1;
        let panics = record.acknowledged_panics;
        drop(record);
        assert!(!panics, "in a measurement, on purpose");
    }
}

pub const FLUSHER: &str = "flusher";

/// A group commit over a fake, and its flusher.
pub struct Log {
    commit: Arc<GroupCommit<Fake>>,
    flusher: Option<JoinHandle<()>>,
}

impl Log {
    pub fn new(policy: SyncPolicy, limits: Limits) -> Log {
        let commit = Arc::new(GroupCommit::new(Fake::default(), policy, limits, 0));
        let ticks = Arc::clone(&commit);
        let flusher = limits.flusher.then(|| {
            let named = thread::Builder::new().name(FLUSHER.to_owned());
            named.spawn(move || ticks.run_flusher()).expect("there is room for a thread")
        });
        Log { commit, flusher }
    }

    pub fn wide(policy: SyncPolicy) -> Log {
        Log::new(policy, WIDE)
    }

    pub fn share(&self) -> Arc<GroupCommit<Fake>> {
        Arc::clone(&self.commit)
    }

    pub fn fake(&self) -> &Fake {
        self.commit.target()
    }

    pub fn put(&self, entry: u64, asked: Durability) -> Result<u64, Error<Named>> {
        put(&self.commit, entry, asked)
    }

    pub fn submit_one(&self, entry: u64, asked: Durability) -> Result<Ticket<Named>, Error<Named>> {
        self.commit.submit(ONE, asked, Patience::Endless, |frame| frame.push(entry))
    }

    /// Appends in a thread of its own.
    pub fn put_aside(&self, entry: u64, asked: Durability) -> JoinHandle<Result<u64, Error<Named>>> {
        let commit = self.share();
        thread::spawn(move || put(&commit, entry, asked))
    }

    /// Closes as an honest target does: with a sync.
    pub fn close_well(&self) -> Result<(), Error<Named>> {
        close_well(&self.commit)
    }

    /// Blocks until so many entries have got a number.
    pub fn until_joined(&self, next: u64) {
        while self.commit.next() < next {
            thread::yield_now();
        }
    }
}

impl Deref for Log {
    type Target = GroupCommit<Fake>;

    fn deref(&self) -> &GroupCommit<Fake> {
        &self.commit
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.fake().change(|record| (record.holds_writes, record.holds_syncs) = (false, false));
        self.commit.abandon();
        let ticked = self.flusher.take().map(JoinHandle::join);
        if !thread::panicking() {
            let broken = std::mem::take(&mut self.fake().record().violations);
            assert!(broken.is_empty(), "{broken:?}");
            // The flusher panics if it was the one whom the fake told to.
            drop(ticked);
            assert_eq!(self.commit.in_flight_bytes(), 0, "nothing is in flight in a log that is over");
        }
    }
}

pub fn put(commit: &GroupCommit<Fake>, entry: u64, asked: Durability) -> Result<u64, Error<Named>> {
    commit.append(ONE, asked, |frame| frame.push(entry))
}

pub fn close_well(commit: &GroupCommit<Fake>) -> Result<(), Error<Named>> {
    commit.close(|fake| fake.sync().map(drop).map_err(Fault::Final))
}

/// Runs a test in a thread of its own; it fails when it takes longer than anything here should.
pub fn watched(test: impl FnOnce() + Send + 'static) {
    watched_for(PATIENCE, test);
}

/// The same for a test that waits for chance: on a busy machine that takes long.
pub fn watched_for(patience: Duration, test: impl FnOnce() + Send + 'static) {
    let (tells, told) = channel();
    let run = thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(test));
        tells.send(()).ok();
        outcome
    });
    if told.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
        panic!("somebody sleeps for ever");
    }
    if let Err(panic) = run.join().and_then(|outcome| outcome) {
        resume_unwind(panic);
    }
}

/// What a thread says, or that it panicked.
pub fn said<R>(thread: JoinHandle<R>) -> Option<R> {
    thread.join().ok()
}

/// A waker that counts.
#[derive(Debug, Default)]
pub struct Counts(std::sync::atomic::AtomicU64);

impl Counts {
    pub fn new() -> Arc<Counts> {
        Arc::default()
    }

    pub fn woken(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Polls once with it.
    pub fn poll<R>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    /// Blocks until it was woken so often.
    pub fn until_woken(&self, times: u64) {
        while self.woken() < times {
            thread::yield_now();
        }
    }
}

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// How long it took.
pub fn timed<R>(run: impl FnOnce() -> R) -> (R, Duration) {
    let begun = Instant::now();
    let said = run();
    (said, begun.elapsed())
}
