//! The group commit under every schedule that loom can find, within a bound.
//!
//! ```sh
//! RUSTFLAGS='--cfg wal_loom' cargo test --release --target-dir target/loom -p wal-sync --features _loom --test loom -- --nocapture
//! ```
//!
//! Each model prints how many executions were explored. The bound is on preemptions: a thread is taken off
//! the processor where it did not wait at most four times in an execution; within that the exploration is
//! complete. A thread that never returns is a deadlock, which loom reports. Time goes on whenever somebody
//! looks at it. Not modelled: a panic, because loom's mutexes do not poison; more siblings, which takes more threads than
//! loom has (`stress.rs` and `siblings.rs` run it); the futex, because a word is a condition variable here (the tests of
//! `primitives.rs` run that).
#![cfg(wal_loom)]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the seams")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Counter, Ordering::SeqCst};

use loom::sync::Mutex;
use loom::thread;
use wal_sync::{
    Batch, Dropped, Durability, Error, Fault, GroupCommit, Limits, Patience, SyncPolicy, Target, Wrote,
};

/// What was written and what was synced, and what fails.
#[derive(Debug, Default)]
struct Disk {
    state: Mutex<State>,
    /// The write with this number, from 1, fails.
    failing_write: u64,
    /// The sync with this number, from 1, fails.
    failing_sync: u64,
    /// So often does the clock move on in a sync.
    sync_takes: u64,
    /// A sync says that it covers what was written while it ran: wrong on purpose.
    covers_late: bool,
}

#[derive(Debug, Default)]
struct State {
    writes: u64,
    syncs: u64,
    written: u64,
    synced: u64,
}

impl Disk {
    fn synced(&self) -> u64 {
        self.state.lock().expect("no panic").synced
    }

    fn written(&self) -> u64 {
        self.state.lock().expect("no panic").written
    }
}

impl Target for Disk {
    type Error = &'static str;
    type Frame = u64;

    fn frame(&self) -> u64 {
        0
    }

    fn clear(&self, frame: &mut u64) {
        *frame = 0;
    }

    fn syncs_to_write(&self, _frame: &u64) -> bool {
        false
    }

    fn write(&self, frame: &mut u64, first: u64) -> Result<Wrote, Fault<&'static str>> {
        let mut state = self.state.lock().expect("no panic");
        state.writes += 1;
        if state.writes == self.failing_write {
            return Err(Fault::Passing("write"));
        }
        assert_eq!(state.written, first, "frames are written in order, without a gap");
        state.written += *frame;
        Ok(Wrote { next: state.written, durable: 0, sync_soon: false })
    }

    fn sync(&self) -> Result<u64, &'static str> {
        let covered = self.written();
        // It takes so long that a leader looks a few times whether its siblings are there.
        for _ in 0..self.sync_takes {
            let _time_goes_on = wal_sync::primitives::now();
        }
        thread::yield_now();
        let mut state = self.state.lock().expect("no panic");
        state.syncs += 1;
        assert!(self.failing_sync == 0 || state.syncs <= self.failing_sync, "no sync after a failed one");
        if state.syncs == self.failing_sync {
            return Err("sync");
        }
        state.synced = covered;
        Ok(if self.covers_late { state.written } else { covered })
    }
}

type Log = GroupCommit<Disk>;

fn log(disk: Disk, policy: SyncPolicy, flusher: bool) -> Arc<Log> {
    let limits =
        Limits { frame_entries: 8, frame_bytes: 64, in_flight_bytes: 64, buffered_bytes: None, flusher };
    Arc::new(GroupCommit::new(disk, policy, limits, 0))
}

const ONE: Batch = Batch { entries: 1, bytes: 8 };

/// Appends one entry; when it is said to be durable, it is.
fn append(log: &Log) -> Result<u64, Error<&'static str>> {
    let number = log.append(ONE, Durability::Durable, |frame| *frame += 1)?;
    assert!(log.target().synced() > number, "entry {number} was acknowledged before its sync");
    Ok(number)
}

/// Explores `model`, and says how much that was.
fn explore(name: &str, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(Counter::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(BOUND);
    builder.check(move || {
        counted.fetch_add(1, SeqCst);
        model();
    });
    let executions = executions.load(SeqCst);
    println!("{name}: {executions} executions, complete with at most {BOUND} preemptions");
    assert!(executions > 1, "there was something to explore");
}

const BOUND: usize = 4;

#[test]
fn two_appenders_are_acknowledged_after_their_syncs() {
    explore("two appenders", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || append(&other));
        let (mine, its) = (append(&log), appender.join().expect("no panic"));
        let mut numbers = [mine.expect("nothing fails"), its.expect("nothing fails")];
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1]);
        assert_eq!((log.durable(), log.in_flight_bytes()), (2, 0));
    });
}

#[test]
fn of_two_who_expect_the_same_number_one_appends() {
    explore("two appenders who expect number 0", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let other = Arc::clone(&log);
        let expecting = |log: &Log| log.append_at(Some(0), ONE, Durability::Durable, |frame| *frame += 1);
        let appender = thread::spawn(move || expecting(&other));
        let (mine, its) = (expecting(&log), appender.join().expect("no panic"));
        let refused = Err(Error::Conflict { expected: 0, next: 1 });
        assert!([(Ok(0), refused.clone()), (refused, Ok(0))].contains(&(mine, its)));
        assert_eq!((log.durable(), log.target().written()), (1, 1));
    });
}

#[test]
fn nobody_is_acknowledged_by_or_after_a_sync_that_fails() {
    explore("two appenders, the first sync fails", || {
        let disk = Disk { failing_sync: 1, ..Disk::default() };
        let log = log(disk, SyncPolicy::Immediate, true);
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || append(&other));
        let (mine, its) = (append(&log), appender.join().expect("no panic"));
        assert_eq!(mine, Err(Error::Failed("sync")));
        assert_eq!(its, Err(Error::Failed("sync")));
        assert_eq!(log.durable(), 0);
        assert_eq!(append(&log), Err(Error::Failed("sync")));
    });
}

#[test]
fn an_entry_that_nobody_waits_for_is_synced_by_the_flusher_or_by_the_close() {
    explore("submit, flusher, close", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let ticking = Arc::clone(&log);
        let flusher = thread::spawn(move || ticking.run_flusher());
        let ticket = log
            .submit(ONE, Durability::Durable, Patience::Endless, |frame| *frame += 1)
            .expect("nothing fails");
        log.close(|disk| {
            let covered = disk.sync().map_err(Fault::Final)?;
            assert_eq!(covered, 1);
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(ticket.wait(None), Some(Ok(())));
        assert_eq!(log.target().synced(), 1);
        flusher.join().expect("no panic");
    });
}

#[test]
fn a_submitter_waits_for_the_flusher_and_returns() {
    explore("submit and wait, flusher, abandon", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let ticking = Arc::clone(&log);
        let flusher = thread::spawn(move || ticking.run_flusher());
        let ticket = log
            .submit(ONE, Durability::Durable, Patience::Endless, |frame| *frame += 1)
            .expect("nothing fails");
        assert_eq!(ticket.wait(None), Some(Ok(())));
        assert_eq!(log.target().synced(), 1);
        log.abandon();
        flusher.join().expect("no panic");
    });
}

#[test]
fn the_numbers_of_a_failed_write_are_given_again() {
    explore("two appenders, the first write fails", || {
        let disk = Disk { failing_write: 1, ..Disk::default() };
        let log = log(disk, SyncPolicy::Immediate, true);
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || append(&other));
        let outcomes = [append(&log), appender.join().expect("no panic")];
        let failed = outcomes.iter().filter(|outcome| **outcome == Err(Error::Failed("write"))).count();
        let accepted: Vec<u64> = outcomes.iter().flatten().copied().collect();
        // Whoever was numbered behind the failed entry failed with it.
        assert!(failed == 2 || (failed == 1 && accepted == [0]), "{outcomes:?}");
        assert_eq!(append(&log), Ok(accepted.len() as u64));
        assert_eq!(log.in_flight_bytes(), 0);
    });
}

/// They append often enough that two share a frame and then one leads that expects the other: the other takes over the lead, or
/// the leader goes on without it.
#[test]
fn a_leader_waits_for_siblings_that_are_expected_and_goes_on_without_it() {
    explore("two appenders as siblings", || {
        let disk = Disk { sync_takes: 20, ..Disk::default() };
        let log = log(disk, SyncPolicy::grouped(std::time::Duration::MAX), true);
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || [append(&other), append(&other)]);
        let mine = [append(&log), append(&log), append(&log), append(&log)];
        let its = appender.join().expect("no panic");
        let mut numbers: Vec<u64> =
            mine.into_iter().chain(its).map(|number| number.expect("nothing fails")).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        assert_eq!((log.durable(), log.in_flight_bytes()), (6, 0));
    });
}

/// Entries that join while a caller writes are written by one of the callers that joined.
#[test]
fn a_caller_that_waits_for_a_write_writes_or_is_written_by_another() {
    explore("three wait for their writes", || {
        let log = log(Disk::default(), SyncPolicy::None, true);
        let put = |log: &Log| log.append(ONE, Durability::Written, |frame| *frame += 1);
        let writers = [Arc::clone(&log), Arc::clone(&log)].map(|log| thread::spawn(move || put(&log)));
        let mine = put(&log);
        let mut numbers =
            writers.map(|writer| writer.join().expect("no panic").expect("nothing fails")).to_vec();
        numbers.push(mine.expect("nothing fails"));
        numbers.sort_unstable();
        assert_eq!((numbers, log.target().written(), log.in_flight_bytes()), (vec![0, 1, 2], 3, 0));
    });
}

/// Two who wait for their writes alone: while one of them writes, the others join the next frame: one waits for its write, one
/// for a sync.
#[test]
fn whoever_waits_for_a_sync_needs_no_flusher_whoever_leads() {
    explore("two wait for their writes, one for a sync", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let writers = [Arc::clone(&log), Arc::clone(&log)]
            .map(|log| thread::spawn(move || log.append(ONE, Durability::Written, |frame| *frame += 1)));
        append(&log).expect("nothing fails");
        for writer in writers {
            writer.join().expect("no panic").expect("nothing fails");
        }
        assert_eq!(log.in_flight_bytes(), 0);
    });
}

#[test]
fn a_close_beside_an_appender_ends_both() {
    explore("an appender and a close", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || append(&other));
        let closed = log.close(|disk| disk.sync().map(drop).map_err(Fault::Final));
        assert_eq!(closed, Ok(()));
        match appender.join().expect("no panic") {
            Ok(number) => assert_eq!((number, log.target().synced()), (0, 1)),
            Err(error) => assert_eq!((error, log.target().written()), (Error::Closed, 0)),
        }
        assert_eq!(log.close(|_| Ok(())), Err(Error::Closed));
    });
}

#[test]
fn two_appenders_and_a_close_all_end() {
    explore("two appenders and a close", || {
        let log = log(Disk::default(), SyncPolicy::grouped(std::time::Duration::ZERO), true);
        let appenders = [Arc::clone(&log), Arc::clone(&log)].map(|log| thread::spawn(move || append(&log)));
        let closed = log.close(|disk| disk.sync().map(drop).map_err(Fault::Final));
        assert_eq!(closed, Ok(()));
        let ended = appenders.map(|appender| appender.join().expect("no panic"));
        let accepted = ended.iter().flatten().count() as u64;
        assert_eq!((log.target().written(), log.durable()), (accepted, accepted));
        assert!(ended.iter().flatten().all(|number| *number < accepted));
    });
}

#[test]
fn an_appender_beside_a_cut_is_acknowledged_or_told_and_the_log_goes_on() {
    explore("an appender and a cut", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        append(&log).expect("nothing fails");
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || other.append(ONE, Durability::Durable, |frame| *frame += 1));
        let cut = log.drop_from(1, |disk| {
            let mut state = disk.state.lock().expect("no panic");
            (state.written, state.synced) = (1, 1);
            Dropped { next: 1, durable: 1, outcome: Ok(()) }
        });
        assert_eq!(cut, Ok(()));
        let appended = appender.join().expect("no panic");
        assert!(matches!(appended, Ok(1) | Err(Error::Truncated { from: 1 })), "{appended:?}");
        let written = log.target().written();
        assert_eq!((log.written(), log.durable(), log.next()), (written, written, written));
        assert_eq!(log.in_flight_bytes(), 0);
        assert_eq!(append(&log), Ok(written));
    });
}

#[test]
fn a_commit_that_the_flusher_leads_and_an_appender_share_the_log() {
    explore("an appender, a submitter, a flusher", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, true);
        let (ticking, other) = (Arc::clone(&log), Arc::clone(&log));
        let flusher = thread::spawn(move || ticking.run_flusher());
        let appender = thread::spawn(move || append(&other));
        let ticket = log
            .submit(ONE, Durability::Durable, Patience::Endless, |frame| *frame += 1)
            .expect("nothing fails");
        assert_eq!(ticket.wait(None), Some(Ok(())));
        assert!(log.target().synced() > ticket.first());
        appender.join().expect("no panic").expect("nothing fails");
        log.abandon();
        flusher.join().expect("no panic");
    });
}

#[test]
fn without_a_flusher_whoever_waits_does_what_is_due() {
    explore("submit and wait beside an appender, no flusher", || {
        let log = log(Disk::default(), SyncPolicy::Immediate, false);
        let other = Arc::clone(&log);
        let appender = thread::spawn(move || append(&other));
        let ticket = log
            .submit(ONE, Durability::Durable, Patience::Endless, |frame| *frame += 1)
            .expect("nothing fails");
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
        assert!(log.target().synced() > ticket.first());
        appender.join().expect("no panic").expect("nothing fails");
    });
}

/// The model bites: a sync that says it covers what was written while it ran is noticed.
#[test]
fn a_sync_that_claims_too_much_is_noticed() {
    let noticed = std::panic::catch_unwind(|| {
        explore("a sync that claims too much", || {
            let disk = Disk { covers_late: true, ..Disk::default() };
            let log = log(disk, SyncPolicy::None, true);
            let other = Arc::clone(&log);
            let writer = thread::spawn(move || {
                let number = other.append(ONE, Durability::Written, |frame| *frame += 1).expect("written");
                if other.durable() > number {
                    assert!(other.target().synced() > number, "the watermark ran ahead");
                }
            });
            log.append(ONE, Durability::Written, |frame| *frame += 1).expect("written");
            log.sync().expect("nothing fails");
            writer.join().expect("no panic");
            assert!(log.durable() <= log.target().synced(), "the watermark ran ahead");
        });
    });
    assert!(noticed.is_err(), "a wrong target went unnoticed");
}
