//! Entries that were submitted and are awaited later, by threads and by tasks.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Counts, Fake, Log, ONE, WIDE, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::{Error, GroupCommit, Limits, Mark, Patience, SyncPolicy, Watch};

#[test]
fn a_ticket_tells_when_what_was_asked_for_is_true() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
            for flusher in [true, false] {
                let log = Log::new(policy, Limits { flusher, ..WIDE });
                for (number, asked) in (0..).zip([Written, Durable, Buffered, Durable, Written]) {
                    let ticket = log.submit_one(7, asked).unwrap();
                    assert_eq!((ticket.first(), ticket.asked()), (number, asked));
                    assert_eq!(log.wait(&ticket, None), Some(Ok(())));
                    assert_eq!(ticket.outcome(), Some(Ok(())));
                    assert!(asked < Written || log.written() > number);
                    assert!(asked < Durable || log.fake().is_durable(number));
                }
            }
        }
    });
}

#[test]
fn a_wait_ends_at_its_deadline() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.fake().change(|record| record.holds_syncs = true);
        let ticket = log.submit_one(7, Durable).unwrap();
        let deadline = Instant::now() + Duration::from_millis(10);
        assert_eq!(log.wait(&ticket, Some(deadline)), None);
        assert!(Instant::now() >= deadline);
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
    });
}

#[test]
fn a_wait_whose_deadline_has_passed_begins_nothing_where_nobody_ticks() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
        let ticket = log.submit_one(7, Durable).unwrap();
        assert_eq!(log.wait(&ticket, Some(Instant::now())), None);
        assert_eq!(log.fake().begun(), (0, 0));
        assert_eq!(log.wait(&ticket, Some(Instant::now() + Duration::from_secs(10))), Some(Ok(())));
    });
}

#[test]
fn a_task_is_woken_and_only_through_its_latest_waker() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.fake().change(|record| record.holds_syncs = true);
        let mut ticket = log.submit_one(7, Durable).unwrap();
        let (first, second) = (Counts::new(), Counts::new());
        assert!(first.poll(|context| ticket.poll(context)).is_pending());
        assert!(second.poll(|context| ticket.poll(context)).is_pending());
        log.fake().change(|record| record.holds_syncs = false);
        second.until_woken(1);
        assert_eq!(second.poll(|context| ticket.poll(context)), Poll::Ready(Ok(())));
        assert_eq!((first.woken(), second.woken()), (0, 1));
    });
}

/// Tasks that wait for a sync are not woken by the write, and each of them is by the sync.
#[test]
fn tasks_that_wait_for_a_sync_are_woken_by_it_alone() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.fake().change(|record| (record.holds_writes, record.holds_syncs) = (true, true));
        let ahead = log.submit_one(7, Written).unwrap();
        log.fake().until(|record| record.writes_begun == 1);
        let mut tickets: Vec<_> = (0..4).map(|_| log.submit_one(7, Durable).unwrap()).collect();
        let written = log.submit_one(7, Written).unwrap();
        let tasks: Vec<_> = (0..4).map(|_| Counts::new()).collect();
        // In any order; and whoever polls again is woken once.
        for _ in 0..2 {
            for (task, ticket) in tasks.iter().zip(&mut tickets).rev() {
                assert!(task.poll(|context| ticket.poll(context)).is_pending());
            }
        }
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!(log.wait(&ahead, None), Some(Ok(())));
        assert_eq!(log.wait(&written, None), Some(Ok(())));
        assert!(tasks.iter().all(|task| task.woken() == 0), "the sync is held");
        log.fake().change(|record| record.holds_syncs = false);
        for (task, ticket) in tasks.iter().zip(&mut tickets) {
            task.until_woken(1);
            assert_eq!(task.poll(|context| ticket.poll(context)), Poll::Ready(Ok(())));
        }
    });
}

#[test]
fn a_dropped_ticket_changes_nothing() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        let task = Counts::new();
        for _ in 0..10 {
            let mut ticket = log.submit_one(7, Durable).unwrap();
            // It may be there already.
            assert_ne!(task.poll(|context| ticket.poll(context)), Poll::Ready(Err(Error::Closed)));
        }
        log.fake().until(|record| record.durable == 10);
    });
}

#[test]
fn a_ticket_outlives_its_log() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        let kept = log.submit_one(7, Durable).unwrap();
        assert_eq!(log.close_well(), Ok(()));
        drop(log);
        assert_eq!(kept.outcome(), Some(Ok(())));
    });
}

#[test]
fn one_thread_that_submits_far_ahead_needs_few_syncs() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { in_flight_bytes: 8 << 10, ..WIDE });
        log.fake().change(|record| record.sync_takes = Duration::from_micros(200));
        let tickets: Vec<_> = (0..20_000).map(|entry| log.submit_one(entry, Durable).unwrap()).collect();
        for ticket in &tickets {
            assert_eq!(log.wait(ticket, None), Some(Ok(())));
        }
        assert_eq!(log.fake().record().entries, (0..20_000).collect::<Vec<_>>());
        assert!(log.fake().syncs() < 2_000, "{}", log.fake().syncs());
        assert_eq!(log.in_flight_bytes(), 0);
    });
}

/// A waker that calls the log: when it wakes, and when it is dropped.
struct Calls(Weak<GroupCommit<Fake>>);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        if let Some(commit) = self.0.upgrade() {
            commit.submit(ONE, Durable, Patience::None, |frame| frame.push(8)).ok();
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        if let Some(commit) = self.0.upgrade() {
            commit.next();
        }
    }
}

/// A callback under the lock of a writer deadlocks as soon as it calls the log. A waker is a callback,
/// and so is dropping one: it may be the last that holds a task, and a task may hold the log.
#[test]
fn a_waker_may_call_the_log() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        let calls = || Waker::from(Arc::new(Calls(Arc::downgrade(&log.share()))));
        log.fake().change(|record| record.holds_syncs = true);
        let mut ticket = log.submit_one(7, Durable).unwrap();
        let mut watch = Watch::new(Mark::Durable, 0);
        let mut given_up = Watch::new(Mark::Durable, 0);
        for _ in 0..3 {
            let waker = calls();
            assert!(ticket.poll(&Context::from_waker(&waker)).is_pending());
            assert!(log.poll_watch(&mut watch, &Context::from_waker(&waker)).is_pending());
            assert!(log.poll_watch(&mut given_up, &Context::from_waker(&waker)).is_pending());
        }
        log.unwatch(&given_up);
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
        log.fake().until(|record| record.durable == 3);
    });
}

/// A waker that submits, and waits for it.
struct Waits(Weak<GroupCommit<Fake>>);

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        let Some(log) = self.0.upgrade() else { return };
        let ticket = log.submit(ONE, Durable, Patience::Endless, |frame| frame.push(7)).unwrap();
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
    }
}

/// The flusher called a waker, and that waited for the flusher.
#[test]
fn a_waker_may_wait_for_what_it_submits() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
            let log = Log::wide(policy);
            log.fake().change(|record| record.holds_syncs = true);
            let mut ticket = log.submit_one(7, Durable).unwrap();
            let waker = Waker::from(Arc::new(Waits(Arc::downgrade(&log.share()))));
            assert!(ticket.poll(&Context::from_waker(&waker)).is_pending());
            log.fake().change(|record| record.holds_syncs = false);
            log.fake().until(|record| record.durable == 2);
            assert!(log.put(7, Durable).is_ok(), "the log goes on: {policy:?}");
        }
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in a waker, on purpose");
    }
}

#[test]
fn a_waker_that_panics_costs_nobody_else_a_wake_up() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.fake().change(|record| record.holds_syncs = true);
        let mut bad = log.submit_one(7, Durable).unwrap();
        let mut good = log.submit_one(7, Durable).unwrap();
        let waker = Waker::from(Arc::new(Panics));
        assert!(bad.poll(&Context::from_waker(&waker)).is_pending());
        let task = Counts::new();
        assert!(task.poll(|context| good.poll(context)).is_pending());
        log.fake().change(|record| record.holds_syncs = false);
        task.until_woken(1);
        assert_eq!(log.put(7, Durable), Ok(2), "it is no affair of the log");
    });
}

#[test]
fn a_thread_that_waits_and_a_task_share_a_group() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.fake().change(|record| record.holds_syncs = true);
        let mut ticket = log.submit_one(7, Durable).unwrap();
        let task = Counts::new();
        assert!(task.poll(|context| ticket.poll(context)).is_pending());
        thread::scope(|scope| {
            let waits = scope.spawn(|| log.wait(&ticket, None));
            log.fake().change(|record| record.holds_syncs = false);
            assert_eq!(waits.join().unwrap(), Some(Ok(())));
        });
        task.until_woken(1);
    });
}
