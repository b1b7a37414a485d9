//! Closing, and being dropped, beside everybody else.

use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::fake::{Counts, Deed, Fake, Log, Named, WIDE, close_well, put, said, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::{Dropped, Error, Fault, GroupCommit, Limits, Mark, Patience, SyncPolicy, Watch};

/// Appends, and now and then submits, until it is refused; returns what was acknowledged.
fn append_until_closed(commit: &GroupCommit<Fake>, asked: wal_sync::Durability) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        match put(commit, 7, asked) {
            Ok(number) => numbers.push(number),
            Err(error) => {
                assert_eq!(error, Error::Closed);
                return numbers;
            }
        }
        if let Ok(ticket) = commit.submit(crate::fake::ONE, asked, Patience::Endless, |frame| frame.push(7)) {
            match commit.wait(&ticket, None) {
                Some(Ok(())) => numbers.push(ticket.first()),
                outcome => assert_eq!(outcome, Some(Err(Error::Closed))),
            }
        }
    }
}

/// A close that raced an append left the appender asleep in one published log, and a second close
/// panicked.
#[test]
fn an_append_that_races_the_end_is_durable_or_refused() {
    watched(|| {
        for round in 0..60 {
            for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
                let (flusher, asked) = (round % 3 > 0, policy.promise());
                let log = Log::new(policy, Limits { flusher, in_flight_bytes: 40, ..WIDE });
                let start = Arc::new(Barrier::new(4));
                let appenders: Vec<_> = (0..3)
                    .map(|_| {
                        let (commit, start) = (log.share(), Arc::clone(&start));
                        thread::spawn(move || {
                            start.wait();
                            append_until_closed(&commit, asked)
                        })
                    })
                    .collect();
                start.wait();
                thread::sleep(Duration::from_micros(round * 10));
                assert_eq!(log.close_well(), Ok(()));
                let written = log.written();
                for appender in appenders {
                    let numbers = said(appender).expect("it did not panic");
                    assert!(numbers.iter().all(|number| log.fake().is_durable(*number)));
                }
                let record = log.fake().record();
                assert_eq!((record.durable, record.entries.len() as u64), (written, written));
            }
        }
    });
}

#[test]
fn closing_twice_is_an_error() {
    watched(|| {
        for flusher in [true, false] {
            let log = Log::new(SyncPolicy::None, Limits { flusher, ..WIDE });
            assert_eq!(log.put(7, Written), Ok(0));
            assert_eq!(log.close_well(), Ok(()));
            for _ in 0..3 {
                assert_eq!(log.close_well(), Err(Error::Closed));
                assert_eq!(log.put(7, Buffered), Err(Error::Closed));
                assert_eq!(log.submit_one(7, Durable).err(), Some(Error::Closed));
                assert_eq!((log.flush(), log.sync()), (Err(Error::Closed), Err(Error::Closed)));
                assert_eq!((log.check(), log.failure()), (Err(Error::Closed), None));
            }
            log.abandon();
            assert_eq!((log.durable(), log.fake().syncs()), (1, 1));
        }
    });
}

#[test]
fn of_two_who_close_at_once_one_is_refused() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.put(7, Written).unwrap();
        log.fake().change(|record| record.holds_syncs = true);
        let commit = log.share();
        let first = thread::spawn(move || close_well(&commit));
        log.fake().until(|record| record.syncs_begun == 1);
        assert_eq!(log.close_well(), Err(Error::Closed));
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(first), Some(Ok(())));
    });
}

#[test]
fn whoever_waits_while_the_log_is_closed_is_told_what_became_true() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { in_flight_bytes: 24, ..WIDE });
        log.fake().change(|record| (record.holds_writes, record.holds_syncs) = (true, true));
        let appender = log.put_aside(7, Durable);
        log.fake().until(|record| record.writes_begun == 1);
        let ticket = log.submit_one(7, Durable).unwrap();
        let follower = log.put_aside(7, Durable);
        log.until_joined(3);
        let no_room = log.put_aside(7, Durable);
        let (flusher, syncer, closer) = (log.share(), log.share(), log.share());
        let flushes = thread::spawn(move || flusher.flush());
        let syncs = thread::spawn(move || syncer.sync());
        let (watcher, never) = (Counts::new(), Counts::new());
        let (mut watch, mut beyond) = (Watch::new(Mark::Durable, 2), Watch::new(Mark::Written, 3));
        assert!(watcher.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        assert!(never.poll(|context| log.poll_watch(&mut beyond, context)).is_pending());
        thread::sleep(Duration::from_millis(10));
        let closes = thread::spawn(move || close_well(&closer));
        while log.check().is_ok() {
            thread::yield_now();
        }
        // It is being closed, but what is in it will be durable.
        assert!(watcher.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        log.fake().change(|record| (record.holds_writes, record.holds_syncs) = (false, false));
        assert_eq!(said(closes), Some(Ok(())));
        assert_eq!(said(no_room), Some(Err(Error::Closed)));
        let mut numbers = [said(appender), said(follower)].map(|one| one.unwrap().unwrap());
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 2]);
        assert_eq!((said(flushes), said(syncs)), (Some(Ok(())), Some(Ok(()))));
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
        watcher.until_woken(1);
        never.until_woken(1);
        assert_eq!(watcher.poll(|context| log.poll_watch(&mut watch, context)), Poll::Ready(Ok(())));
        assert_eq!(
            never.poll(|context| log.poll_watch(&mut beyond, context)),
            Poll::Ready(Err(Error::Closed))
        );
    });
}

#[test]
fn an_end_that_fails_tells_who_waits() {
    watched(|| {
        let named = Named("at the end");
        for (fault, durable) in [(Fault::Passing(named), 1), (Fault::Final(named), 0)] {
            let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
            let ticket = log.submit_one(7, Durable).unwrap();
            assert_eq!(log.close(|_| Err(fault)), Err(Error::Failed(named)));
            assert_eq!(log.durable(), durable);
            let outcome = if durable > 0 { Ok(()) } else { Err(Error::Failed(named)) };
            assert_eq!(ticket.outcome(), Some(outcome));
            assert_eq!(log.put(7, Written).is_err(), log.close_well().is_err());
        }
    });
}

#[test]
fn a_close_behind_a_sync_that_fails_does_not_try_again() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.fake()
            .change(|record| (record.holds_syncs, record.next_syncs) = (true, [Deed::FailFinally].into()));
        let appender = log.put_aside(7, Durable);
        log.fake().until(|record| record.syncs_begun == 1);
        let commit = log.share();
        let closes = thread::spawn(move || close_well(&commit));
        while log.check().is_ok() {
            thread::yield_now();
        }
        log.fake().change(|record| record.holds_syncs = false);
        let failed = Error::Failed(Named("no device"));
        assert_eq!(said(appender), Some(Err(failed.clone())));
        assert_eq!(said(closes), Some(Err(failed)));
        assert_eq!(log.fake().record().syncs_begun, 1);
    });
}

#[test]
fn a_log_that_is_abandoned_writes_what_has_joined_and_syncs_nothing() {
    watched(|| {
        for flusher in [true, false] {
            let log = Log::new(SyncPolicy::None, Limits { buffered_bytes: Some(1 << 12), flusher, ..WIDE });
            for number in 0..5 {
                assert_eq!(log.put(7, Buffered), Ok(number));
            }
            log.abandon();
            assert_eq!((log.written(), log.fake().record().syncs_begun), (5, 0));
            assert_eq!(log.put(7, Buffered), Err(Error::Closed));
            assert_eq!((log.sync(), log.close_well()), (Err(Error::Closed), Err(Error::Closed)));
            log.abandon();
        }
    });
}

#[test]
fn whoever_waits_while_the_log_is_abandoned_is_told() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        assert_eq!(log.put(7, Written), Ok(0));
        log.fake().change(|record| record.holds_writes = true);
        let writes = log.put_aside(7, Written);
        log.fake().until(|record| record.writes_begun == 2);
        let appender = log.put_aside(7, Durable);
        log.until_joined(3);
        let ticket = log.submit_one(7, Durable).unwrap();
        let (syncer, abandoner) = (log.share(), log.share());
        let syncs = thread::spawn(move || syncer.sync());
        thread::sleep(Duration::from_millis(5));
        let abandons = thread::spawn(move || abandoner.abandon());
        while log.check().is_ok() {
            thread::yield_now();
        }
        log.fake().change(|record| record.holds_writes = false);
        assert!(said(abandons).is_some());
        assert_eq!(said(writes), Some(Ok(1)));
        // Whoever was faster: a sync that was asked for before the end, or the end.
        for outcome in
            [said(appender).unwrap().map(drop), said(syncs).unwrap(), log.wait(&ticket, None).unwrap()]
        {
            assert!(outcome == Err(Error::Closed) || outcome == Ok(()) && log.fake().record().durable == 4);
        }
        assert_eq!(log.written(), 4);
    });
}

/// Whoever wants both turns while the log is closed, or fails, has them before, or is told.
#[test]
fn whoever_wants_both_turns_beside_the_end_gets_them_or_is_told() {
    watched(|| {
        for (deed, outcomes) in [
            (Deed::Succeed, [Ok(()), Err(Error::Closed)]),
            (Deed::FailFinally, [Err(Error::Failed(Named("no device"))), Err(Error::Closed)]),
        ] {
            let log = Log::wide(SyncPolicy::None);
            log.fake().change(|record| {
                record.holds_writes = true;
                record.next_writes.push_back(deed);
            });
            let written = log.put_aside(7, Written);
            log.fake().until(|record| record.writes_begun == 1);
            let behind = log.submit_one(8, Written).unwrap();
            let commit = log.share();
            let alone =
                thread::spawn(move || commit.alone(|_| Dropped { next: 2, durable: 0, outcome: Ok(()) }));
            let commit = log.share();
            let closes = thread::spawn(move || close_well(&commit));
            // So that both wait for the write, which they may or may not.
            thread::sleep(Duration::from_millis(20));
            log.fake().change(|record| record.holds_writes = false);
            let told = said(alone).unwrap();
            assert!(outcomes.contains(&told), "{deed:?}: {told:?}");
            assert_eq!(said(closes).unwrap().is_ok(), deed == Deed::Succeed);
            assert_eq!(said(written).unwrap().is_ok(), deed == Deed::Succeed);
            assert_eq!(behind.outcome().map(|outcome| outcome.is_ok()), Some(deed == Deed::Succeed));
        }
    });
}
