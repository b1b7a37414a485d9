//! The target has no room: what was numbered waits, everybody gets through who can make some, nobody sleeps on.

use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Deed, Fake, Log, Named, WIDE, close_well, watched};
use wal_sync::{Dropped, Durability, Error, Fault, Limits, SyncPolicy};

const FULL: Error<Named> = Error::Failed(Named("no room"));

/// The next writes find no room.
fn fill(log: &Log, writes: usize) {
    log.fake().change(|record| record.next_writes.extend(std::iter::repeat_n(Deed::FailCapReached, writes)));
}

fn until_deferred(log: &Log) {
    while !log.is_deferred() {
        thread::yield_now();
    }
}

/// A truncation of the front: the fake stays as it is.
fn stays(fake: &Fake, outcome: Result<(), Fault<Named>>) -> Dropped<Named> {
    let record = fake.record();
    Dropped { next: record.entries.len() as u64, durable: record.durable, outcome }
}

fn setups() -> impl Iterator<Item = (SyncPolicy, Durability, bool)> {
    let asked = [
        (SyncPolicy::None, Durability::Written),
        (SyncPolicy::None, Durability::Durable),
        (SyncPolicy::Immediate, Durability::Durable),
        (SyncPolicy::default(), Durability::Durable),
    ];
    asked.into_iter().flat_map(|(policy, asked)| [true, false].map(|flusher| (policy, asked, flusher)))
}

#[test]
fn what_waits_keeps_its_number_and_is_written_behind_whoever_makes_room() {
    watched(|| {
        for (policy, asked, flusher) in setups() {
            for by_truncation in [true, false] {
                let log = Log::new(policy, Limits { flusher, ..WIDE });
                log.put(1, asked).expect("there is room");
                fill(&log, 2);
                let first = log.put_aside(2, asked);
                until_deferred(&log);
                let second = log.put_aside(3, asked);
                log.until_joined(3);
                assert!(!first.is_finished() && !second.is_finished());
                // Still too little.
                log.retry();
                assert!(log.is_deferred());
                if by_truncation {
                    log.drop_before(1, |fake| stays(fake, Ok(()))).expect("it gets through");
                } else {
                    log.retry();
                }
                assert_eq!(
                    first.join().expect("nobody panics"),
                    Ok(1),
                    "{policy:?} {asked:?}, flusher: {flusher}"
                );
                assert_eq!(second.join().expect("nobody panics"), Ok(2));
                log.sync().expect("nothing fails");
                assert_eq!(log.fake().record().entries, [1, 2, 3]);
            }
        }
    });
}

#[test]
fn a_ticket_that_waits_for_room_can_be_waited_for_with_a_limit_and_is_kept_in_the_end() {
    watched(|| {
        for (policy, asked, flusher) in setups() {
            let log = Log::new(policy, Limits { flusher, ..WIDE });
            fill(&log, 1);
            let ticket = log.submit_one(1, asked).expect("it has joined");
            for _ in 0..2 {
                let deadline = Instant::now() + Duration::from_millis(3);
                assert_eq!(
                    log.wait(&ticket, Some(deadline)),
                    None,
                    "{policy:?} {asked:?}, flusher: {flusher}"
                );
            }
            until_deferred(&log);
            thread::scope(|scope| {
                let waits = scope.spawn(|| log.wait(&ticket, None));
                log.retry();
                assert_eq!(waits.join().expect("nobody panics"), Some(Ok(())));
            });
        }
    });
}

#[test]
fn a_close_tells_whoever_waits_for_room_and_says_why() {
    watched(|| {
        for (policy, asked, flusher) in setups() {
            let log = Log::new(policy, Limits { flusher, ..WIDE });
            log.put(1, asked).expect("there is room");
            fill(&log, 9);
            let (first, second) = (log.put_aside(2, asked), log.put_aside(3, asked));
            until_deferred(&log);
            log.until_joined(3);
            assert_eq!(log.close_well(), Err(FULL));
            for waits in [first, second] {
                assert_eq!(waits.join().expect("nobody panics"), Err(Error::Closed));
            }
            assert_eq!(log.fake().record().entries, [1]);
        }
    });
}

#[test]
fn what_gathered_in_a_buffer_and_finds_no_room_is_told_by_the_close() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { buffered_bytes: Some(1 << 20), ..WIDE });
        log.put(1, Durability::Buffered).expect("it gathers");
        fill(&log, 9);
        let commit = log.share();
        let flush = thread::spawn(move || commit.flush());
        until_deferred(&log);
        log.put(2, Durability::Buffered).expect("it gathers");
        assert_eq!(close_well(&log.share()), Err(FULL));
        assert_eq!(flush.join().expect("nobody panics"), Err(Error::Closed));
    });
}

#[test]
fn a_sync_that_fails_beside_it_fails_whoever_waits_for_room() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
        log.put(1, Durability::Written).expect("there is room");
        fill(&log, 9);
        let waits = log.put_aside(2, Durability::Written);
        until_deferred(&log);
        // Of the ones in front alone: whoever syncs all waits for room, too.
        log.fake().change(|record| record.next_syncs.push_back(Deed::FailPassing));
        let failed = log.drop_before(1, |fake| match wal_sync::Target::sync(&**fake) {
            Ok(_) => stays(fake, Ok(())),
            Err(error) => stays(fake, Err(Fault::Final(error))),
        });
        assert_eq!(failed, Err(Error::Failed(Named("no device"))));
        assert_eq!(waits.join().expect("nobody panics"), Err(Error::Failed(Named("no device"))));
        assert!(!log.is_deferred());
    });
}

#[test]
fn a_truncation_that_panics_or_fails_while_others_wait_for_room_leaves_nobody_asleep() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        fill(&log, 2);
        let waits = log.put_aside(1, Durability::Durable);
        until_deferred(&log);
        let failed = log.drop_before(0, |fake| stays(fake, Err(Fault::Passing(Named("no anchor")))));
        assert_eq!(failed, Err(Error::Failed(Named("no anchor"))));
        assert!(log.is_deferred() && !waits.is_finished(), "it was tried again, and there is no room");
        let commit = log.share();
        thread::spawn(move || commit.drop_before(0, |_| panic!("in a truncation, on purpose")))
            .join()
            .expect_err("it panics");
        assert_eq!(waits.join().expect("nobody panics"), Err(Error::Panicked));
    });
}

#[test]
fn a_cut_drops_what_waits_behind_it_and_is_refused_when_it_would_keep_some_of_it() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.put(1, Durability::Durable).expect("there is room");
        fill(&log, 2);
        let waits = log.put_aside(2, Durability::Durable);
        until_deferred(&log);
        assert_eq!(log.drop_from(2, |_| unreachable!("it cannot be kept")), Err(FULL));
        assert!(log.is_deferred());
        log.drop_from(1, |fake| stays(fake, Ok(()))).expect("it gets through");
        assert_eq!(waits.join().expect("nobody panics"), Err(Error::Truncated { from: 1 }));
        log.fake().change(|record| record.next_writes.clear());
        assert_eq!(log.put(3, Durability::Durable), Ok(1));
    });
}

/// Whoever joins as soon as a truncation lets it is written behind what waited for room, and is told how that went for its own
/// entry, not for the one in front of it.
#[test]
fn whoever_joins_behind_what_waited_for_room_is_told_of_its_own_write() {
    watched(|| {
        for _ in 0..200 {
            let log = Log::new(SyncPolicy::None, WIDE);
            fill(&log, 1);
            let waits = log.put_aside(1, Durability::Written);
            until_deferred(&log);
            let mut joins = None;
            let dropped = log.drop_before(0, |fake| {
                fake.change(|record| record.next_writes.extend([Deed::Succeed, Deed::FailPassing]));
                // Nothing joins before this has returned.
                joins = Some(log.put_aside(2, Durability::Written));
                thread::sleep(Duration::from_micros(200));
                stays(fake, Ok(()))
            });
            assert_eq!(dropped, Ok(()));
            let joins = joins.expect("it was begun");
            assert_eq!(waits.join().expect("nobody panics"), Ok(0));
            assert!(joins.join().expect("nobody panics").is_err(), "its write failed");
            assert_eq!(log.fake().record().entries, [1]);
        }
    });
}
