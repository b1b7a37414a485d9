//! Something is dropped while others append, wait and sync: they are told, or go on.

use std::task::{Context, Poll, Waker};
use std::thread;

use crate::fake::{Deed, Fake, Log, Named, ONE, WIDE, watched};
use wal_sync::{Dropped, Durability, Error, Fault, GroupCommit, Limits, Mark, Patience, SyncPolicy};

const FRONT: u64 = 100;

/// The fake loses what is at or beyond `from`, and the rest is durable.
fn lose(fake: &Fake, from: u64) -> Dropped<Named> {
    let mut record = fake.record();
    record.entries.truncate(usize::try_from(from).expect("a few"));
    let next = record.entries.len() as u64;
    record.durable = next;
    Dropped { next, durable: next, outcome: Ok(()) }
}

fn cut(commit: &GroupCommit<Fake>, from: u64) -> Result<(), Error<Named>> {
    commit.drop_from(from, |fake| lose(fake, from))
}

/// The fake stays as it is.
fn stays(fake: &Fake, outcome: Result<(), Fault<Named>>) -> Dropped<Named> {
    let record = fake.record();
    Dropped { next: record.entries.len() as u64, durable: record.durable, outcome }
}

fn truncated<T: std::fmt::Debug>(result: Result<T, Error<Named>>, from: u64) {
    assert_eq!(result.expect_err("it was cut off"), Error::Truncated { from });
}

#[test]
fn a_truncation_that_fails_changes_nothing_and_what_joined_is_written_later() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
        log.put(1, Durability::Written).expect("nothing fails");
        let ticket = log.submit_one(2, Durability::Durable).expect("nothing fails");
        let failed = log.drop_from(1, |fake| stays(fake, Err(Fault::Passing(Named("no anchor")))));
        assert_eq!(failed, Err(Error::Failed(Named("no anchor"))));
        assert_eq!((log.written(), log.next()), (1, 2));
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
        assert_eq!(log.fake().record().entries, [1, 2]);
    });
}

#[test]
fn a_truncation_that_fails_finally_fails_the_log() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.put(1, Durability::Durable).expect("nothing fails");
        log.put(2, Durability::Durable).expect("nothing fails");
        let failed = log.drop_from(1, |fake| stays(fake, Err(Fault::Final(Named("no device")))));
        assert_eq!(failed, Err(Error::Failed(Named("no device"))));
        assert_eq!(log.put(3, Durability::Durable), Err(Error::Failed(Named("no device"))));
        assert_eq!(cut(&log, 1), Err(Error::Failed(Named("no device"))));
    });
}

#[test]
fn a_truncation_that_panics_fails_the_log_and_hangs_nobody() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.put(1, Durability::Durable).expect("nothing fails");
        log.put(2, Durability::Durable).expect("nothing fails");
        let commit = log.share();
        thread::spawn(move || commit.drop_from(1, |_| panic!("in a truncation, on purpose")))
            .join()
            .expect_err("it panics");
        assert_eq!(log.put(3, Durability::Durable), Err(Error::Panicked));
    });
}

#[test]
fn a_write_that_fails_in_front_of_the_place_is_told_and_nothing_is_dropped() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
        log.put(1, Durability::Written).expect("nothing fails");
        let ticket = log.submit_one(2, Durability::Written).expect("nothing fails");
        log.fake().change(|record| record.next_writes.push_back(Deed::FailPassing));
        let told = log.drop_before(2, |_| unreachable!("what is to be dropped is not written"));
        assert_eq!(told, Err(Error::Failed(Named("no space"))));
        assert_eq!(ticket.outcome(), Some(Err(Error::Failed(Named("no space")))));
        assert_eq!(log.put(3, Durability::Written), Ok(1));
    });
}

#[test]
fn a_closed_log_drops_nothing() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.put(1, Durability::Durable).expect("nothing fails");
        log.close_well().expect("nothing fails");
        assert_eq!(cut(&log, 0), Err(Error::Closed));
        assert_eq!(log.drop_before(1, |fake| stays(fake, Ok(()))), Err(Error::Closed));
    });
}

#[test]
fn a_group_that_is_cut_in_two_is_kept_in_front_of_the_cut_and_truncated_behind_it() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
        let tickets: Vec<_> =
            (0..4).map(|entry| log.submit_one(entry, Durability::Durable).expect("nothing fails")).collect();
        cut(&log, 2).expect("nothing fails");
        assert_eq!(log.fake().record().writes, 1, "they share a frame");
        for ticket in &tickets[..2] {
            assert_eq!(ticket.outcome(), Some(Ok(())));
        }
        for ticket in &tickets[2..] {
            truncated(ticket.outcome().expect("it is told"), 2);
        }
        assert_eq!((log.written(), log.durable(), log.next()), (2, 2, 2));
        assert_eq!(log.put(9, Durability::Durable), Ok(2));
    });
}

#[test]
fn what_is_not_written_and_behind_the_cut_never_is() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
        log.put(1, Durability::Durable).expect("nothing fails");
        let ticket = log.submit_one(2, Durability::Written).expect("nothing fails");
        cut(&log, 1).expect("nothing fails");
        truncated(ticket.outcome().expect("it is told"), 1);
        log.flush().expect("nothing fails");
        assert_eq!(log.fake().record().entries, [1]);
    });
}

#[test]
fn a_cut_at_or_beyond_what_is_numbered_does_nothing() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.put(1, Durability::Written).expect("nothing fails");
        for from in [1, 2, u64::MAX] {
            log.drop_from(from, |_| unreachable!("there is nothing to drop")).expect("nothing fails");
        }
    });
}

#[test]
fn watches_behind_the_cut_are_told_whether_or_not_they_were_polled_before() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        for entry in 0..3 {
            log.put(entry, Durability::Written).expect("nothing fails");
        }
        let context = Context::from_waker(Waker::noop());
        let mut front = log.watch(Mark::Durable, 0);
        let mut polled = log.watch(Mark::Durable, 2);
        let mut unpolled = log.watch(Mark::Written, FRONT);
        assert!(log.poll_watch(&mut polled, &context).is_pending());
        cut(&log, 1).expect("nothing fails");
        assert_eq!(log.poll_watch(&mut front, &context), Poll::Ready(Ok(())));
        for watch in [&mut polled, &mut unpolled] {
            let told = log.poll_watch(watch, &context);
            assert_eq!(told, Poll::Ready(Err(Error::Truncated { from: 1 })));
        }
        // What gets the number now is another entry.
        log.put(9, Durability::Durable).expect("nothing fails");
        assert_eq!(log.poll_watch(&mut log.watch(Mark::Durable, 1), &context), Poll::Ready(Ok(())));
    });
}

#[test]
fn nothing_joins_while_it_runs_and_then_it_gets_the_number_behind_the_cut() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        for entry in 0..3 {
            log.put(entry, Durability::Durable).expect("nothing fails");
        }
        let commit = log.share();
        let mut aside = None;
        commit
            .drop_from(1, |fake| {
                let refused = log.submit(ONE, Durability::Durable, Patience::None, |frame| frame.push(7));
                assert_eq!(refused.map(drop), Err(Error::Backpressure));
                aside = Some(log.put_aside(8, Durability::Durable));
                thread::sleep(std::time::Duration::from_millis(20));
                lose(fake, 1)
            })
            .expect("nothing fails");
        let number = aside.map(|aside| aside.join().expect("it does not panic"));
        assert_eq!(number, Some(Ok(1)));
        assert_eq!(log.fake().record().entries, [0, 8]);
    });
}

// Whoever truncates waited for a sync with the turn to write. What joined meanwhile, in front of the place,
// was written by nobody, and was dropped with what was behind it.
#[test]
fn what_comes_while_a_truncation_waits_for_a_sync_is_not_dropped_in_front_of_the_place() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        for entry in 0..2 {
            log.put(entry, Durability::Written).expect("nothing fails");
        }
        log.fake().change(|record| record.holds_syncs = true);
        let begun = log.fake().begun().1;
        let commit = log.share();
        let syncs = thread::spawn(move || commit.sync());
        log.fake().until(|record| record.syncs_begun > begun);
        let commit = log.share();
        let cuts = thread::spawn(move || cut(&commit, 4));
        thread::sleep(std::time::Duration::from_millis(20));
        let appends: Vec<_> = (2..5).map(|entry| log.put_aside(entry, Durability::Written)).collect();
        thread::sleep(std::time::Duration::from_millis(20));
        log.fake().change(|record| record.holds_syncs = false);
        syncs.join().expect("it does not panic").expect("nothing fails");
        cuts.join().expect("it does not panic").expect("nothing fails");
        let mut numbers: Vec<_> = appends
            .into_iter()
            .map(|append| append.join().expect("it does not panic").expect("nothing dropped it"))
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 3, 4]);
    });
}

#[test]
fn a_sync_and_a_flush_of_what_is_cut_off_meanwhile_return() {
    watched(|| {
        for syncs in [true, false] {
            let log = Log::wide(SyncPolicy::None);
            log.put(0, Durability::Durable).expect("nothing fails");
            log.fake().change(|record| record.holds_writes = true);
            let begun = log.fake().begun().0;
            let first = log.submit_one(1, Durability::Written).expect("nothing fails");
            log.fake().until(|record| record.writes_begun > begun);
            log.submit_one(2, Durability::Written).map(drop).expect("nothing fails");
            let commit = log.share();
            let waits = thread::spawn(move || if syncs { commit.sync() } else { commit.flush() });
            let commit = log.share();
            let cuts = thread::spawn(move || cut(&commit, 1));
            thread::sleep(std::time::Duration::from_millis(20));
            log.fake().change(|record| record.holds_writes = false);
            cuts.join().expect("it does not panic").expect("nothing fails");
            // It was done before the cut, or is told.
            match waits.join().expect("it does not panic") {
                Ok(()) => {}
                Err(error) => assert_eq!(error, Error::Truncated { from: 1 }),
            }
            assert_eq!(first.outcome(), Some(Ok(())), "it was written");
            assert_eq!(log.put(9, Durability::Durable), Ok(1));
        }
    });
}

#[test]
fn the_front_is_dropped_beside_those_who_append_and_their_numbers_stay() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        let appenders: Vec<_> = (0..4)
            .map(|_| {
                let commit = log.share();
                thread::spawn(move || {
                    for entry in 0..100 {
                        crate::fake::put(&commit, entry, Durability::Durable).expect("nothing fails");
                    }
                })
            })
            .collect();
        let mut dropped = 0;
        while log.written() < 400 {
            let first = log.next();
            log.drop_before(first, |fake| {
                assert!(fake.record().entries.len() as u64 >= first, "what is dropped is written before");
                stays(fake, Ok(()))
            })
            .expect("nothing fails");
            dropped += 1;
        }
        for appender in appenders {
            appender.join().expect("it does not panic");
        }
        assert!(dropped > 0 && log.durable() == 400);
    });
}

#[test]
fn appends_and_cuts_together_keep_every_number_in_its_place() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
            let log = Log::wide(policy);
            let appenders: Vec<_> = (0..4)
                .map(|_| {
                    let commit = log.share();
                    thread::spawn(move || {
                        for entry in 0..100 {
                            match crate::fake::put(&commit, entry, policy.promise()) {
                                Ok(_) | Err(Error::Truncated { .. }) => {}
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                    })
                })
                .collect();
            while appenders.iter().any(|appender| !appender.is_finished()) {
                let from = log.written() / 2 + 1;
                cut(&log, from).expect("nothing fails");
                thread::yield_now();
            }
            log.sync().expect("nothing fails");
            let record = log.fake().record();
            assert_eq!((log.written(), log.durable()), (record.entries.len() as u64, record.durable));
        }
    });
}
