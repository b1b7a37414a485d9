//! What happens when a write or a sync fails, and who is told.

use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::fake::{Counts, Deed, Log, Named, ROLLOVER, WIDE, close_well, said, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::{Error, Limits, Mark, Patience, SyncPolicy, Watch};

const NO_DEVICE: Error<Named> = Error::Failed(Named("no device"));
const NO_SPACE: Error<Named> = Error::Failed(Named("no space"));

/// Everything that is asked of a log that has failed gets this.
fn everything_is(log: &Log, failure: &Error<Named>) {
    let begun = log.fake().begun();
    let durable = log.durable();
    for _ in 0..3 {
        for asked in [Buffered, Written, Durable] {
            assert_eq!(log.put(7, asked).as_ref(), Err(failure));
            assert_eq!(log.submit_one(7, asked).err().as_ref(), Some(failure));
        }
        assert_eq!(log.flush().as_ref(), Err(failure));
        assert_eq!(log.sync().as_ref(), Err(failure));
        assert_eq!(log.check().as_ref(), Err(failure));
        assert_eq!(log.failure().as_ref(), Some(failure));
        let mut watch = Watch::new(Mark::Durable, durable);
        let watched = Counts::new().poll(|context| log.poll_watch(&mut watch, context));
        assert_eq!(watched, Poll::Ready(Err(failure.clone())));
    }
    assert_eq!(log.close_well().as_ref(), Err(failure));
    assert_eq!(log.durable(), durable, "nothing became durable");
    assert_eq!(log.fake().record().durable, durable);
    assert_eq!(log.fake().begun(), begun, "nothing was tried again");
}

/// A log slept on after a failed sync, another tried once more and believed the second answer: the bytes
/// were gone, and the system had said so only once. So a failure reaches everybody, and stays.
#[test]
fn a_failed_sync_wakes_everybody_and_is_never_tried_again() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
            let log = Log::new(policy, Limits { in_flight_bytes: 24, ..WIDE });
            assert_eq!(log.put(7, Durable), Ok(0));
            log.fake().change(|record| {
                (record.holds_syncs, record.next_syncs) = (true, [Deed::FailFinally].into());
            });
            let leader = log.put_aside(7, Durable);
            log.fake().until(|record| record.syncs_begun == 2);
            let follower = log.put_aside(7, Durable);
            log.until_joined(3);
            let mut ticket = log.submit_one(7, Durable).unwrap();
            let task = Counts::new();
            assert!(task.poll(|context| ticket.poll(context)).is_pending());
            let watcher = Counts::new();
            let mut watch = Watch::new(Mark::Durable, 1);
            assert!(watcher.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
            let no_room = log.put_aside(7, Durable);
            let syncs = thread::spawn({
                let commit = log.share();
                move || commit.sync()
            });
            let waits = thread::spawn({
                let commit = log.share();
                let ticket = commit.submit(
                    wal_sync::Batch { entries: 1, bytes: 0 },
                    Durable,
                    Patience::None,
                    |frame| frame.push(7),
                );
                move || commit.wait(&ticket.unwrap(), None)
            });
            thread::sleep(Duration::from_millis(10));
            log.fake().change(|record| record.holds_syncs = false);
            assert_eq!(said(leader), Some(Err(NO_DEVICE)));
            assert_eq!(said(follower), Some(Err(NO_DEVICE)));
            assert_eq!(said(no_room), Some(Err(NO_DEVICE)));
            assert_eq!(said(syncs), Some(Err(NO_DEVICE)));
            assert_eq!(said(waits), Some(Some(Err(NO_DEVICE))));
            task.until_woken(1);
            watcher.until_woken(1);
            assert_eq!(task.poll(|context| ticket.poll(context)), Poll::Ready(Err(NO_DEVICE)));
            assert_eq!(log.wait(&ticket, None), Some(Err(NO_DEVICE)));
            assert_eq!(log.in_flight_bytes(), 0);
            assert_eq!((log.durable(), log.fake().record().syncs_begun), (1, 2));
            everything_is(&log, &NO_DEVICE);
        }
    });
}

#[test]
fn a_failed_sync_in_the_background_fails_what_comes_after() {
    watched(|| {
        let log = Log::wide(SyncPolicy::periodic(3, Duration::from_secs(3600)));
        log.fake().change(|record| record.next_syncs = [Deed::FailFinally].into());
        for number in 0..3 {
            assert_eq!(log.put(7, Written), Ok(number));
        }
        while log.failure().is_none() {
            thread::yield_now();
        }
        everything_is(&log, &NO_DEVICE);
    });
}

#[test]
fn a_write_that_fails_for_good_is_latched() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        assert_eq!(log.put(7, Durable), Ok(0));
        log.fake().change(|record| record.next_writes = [Deed::FailFinally].into());
        assert_eq!(log.put(7, Durable), Err(NO_DEVICE));
        everything_is(&log, &NO_DEVICE);
    });
}

/// The flusher wrote, the write failed for good, and the flusher went on to sync what had been written
/// before, for those who still wanted it. Nobody would have believed the answer, but nobody may ask.
#[test]
fn after_a_write_that_failed_for_good_nothing_is_synced() {
    watched(|| {
        for _ in 0..50 {
            let log = Log::wide(SyncPolicy::None);
            assert_eq!(log.put(7, Written), Ok(0));
            log.fake().change(|record| record.next_writes = [Deed::FailFinally].into());
            let ticket = log.submit_one(7, Durable).unwrap();
            assert_eq!(log.wait(&ticket, None), Some(Err(NO_DEVICE)));
            thread::yield_now();
            assert_eq!(log.fake().record().syncs_begun, 0);
        }
    });
}

/// A write between two segments waits for a sync that is in flight, and then syncs. When that one failed,
/// this would be the second try.
#[test]
fn a_rollover_behind_a_sync_that_failed_is_not_written() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        assert_eq!(log.put(7, Written), Ok(0));
        log.fake()
            .change(|record| (record.holds_syncs, record.next_syncs) = (true, [Deed::FailFinally].into()));
        let ticket = log.submit_one(7, Durable).unwrap();
        log.fake().until(|record| record.syncs_begun == 1);
        let rolls = log.put_aside(ROLLOVER, Written);
        log.until_joined(3);
        thread::sleep(Duration::from_millis(10));
        let writes = log.fake().record().writes_begun;
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(rolls), Some(Err(NO_DEVICE)));
        assert_eq!(log.wait(&ticket, None), Some(Err(NO_DEVICE)));
        assert_eq!(log.fake().record().writes_begun, writes);
        everything_is(&log, &NO_DEVICE);
    });
}

#[test]
fn a_write_beside_a_sync_that_fails_is_told_so() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        assert_eq!(log.put(7, Written), Ok(0));
        log.fake().change(|record| {
            (record.holds_syncs, record.holds_writes) = (true, true);
            record.next_syncs = [Deed::FailFinally].into();
        });
        let syncs = thread::spawn({
            let commit = log.share();
            move || commit.sync()
        });
        log.fake().until(|record| record.syncs_begun == 1);
        let writes = log.put_aside(7, Written);
        log.fake().until(|record| record.writes_begun == 2);
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(syncs), Some(Err(NO_DEVICE)));
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!(said(writes), Some(Err(NO_DEVICE)));
        everything_is(&log, &NO_DEVICE);
    });
}

/// One failed flush left a hole in a log, which went on behind it. Another log kept the bytes of the
/// failed write in its buffer, and wrote them again under the next number.
#[test]
fn a_write_that_fails_in_passing_takes_back_all_that_is_numbered_and_the_log_goes_on() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
            for flusher in [true, false] {
                let log = Log::new(policy, Limits { flusher, ..WIDE });
                assert_eq!(log.put(10, Durable), Ok(0));
                log.fake().change(|record| {
                    (record.holds_writes, record.next_writes) = (true, [Deed::FailPassing].into());
                });
                let leader = log.put_aside(66, Durable);
                log.fake().until(|record| record.writes_begun == 2);
                let behind = [log.put_aside(66, Durable), log.put_aside(66, Written)];
                log.until_joined(4);
                let mut ticket = log.submit_one(66, Durable).unwrap();
                let task = Counts::new();
                assert!(task.poll(|context| ticket.poll(context)).is_pending());
                let flushes = thread::spawn({
                    let commit = log.share();
                    move || commit.flush()
                });
                let syncs = thread::spawn({
                    let commit = log.share();
                    move || commit.sync()
                });
                thread::sleep(Duration::from_millis(5));
                log.fake().change(|record| record.holds_writes = false);
                assert_eq!(said(leader), Some(Err(NO_SPACE)));
                for one in behind {
                    assert_eq!(said(one), Some(Err(NO_SPACE)));
                }
                assert_eq!(log.wait(&ticket, None), Some(Err(NO_SPACE)));
                task.until_woken(1);
                // Whoever asks for what had joined must not be told that it is there.
                assert_eq!(said(flushes), Some(Err(NO_SPACE)));
                assert_eq!(said(syncs), Some(Err(NO_SPACE)));
                assert_eq!((log.next(), log.in_flight_bytes(), log.failure()), (1, 0, None));
                assert_eq!(log.put(11, Durable), Ok(1));
                assert_eq!(log.put(12, Written), Ok(2));
                assert_eq!(log.sync(), Ok(()));
                assert_eq!(log.close_well(), Ok(()));
                assert_eq!(log.fake().record().entries, [10, 11, 12]);
            }
        }
    });
}

#[test]
fn many_passing_failures_leave_nothing_behind() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        let mut expected = Vec::new();
        for entry in 0..100 {
            let fails = entry % 3 == 1;
            log.fake().change(|record| record.next_writes.extend(fails.then_some(Deed::FailPassing)));
            match log.put(entry, Durable) {
                Ok(number) => {
                    assert_eq!(number, expected.len() as u64);
                    expected.push(entry);
                }
                Err(error) => assert!(fails && error == NO_SPACE),
            }
            assert_eq!(log.in_flight_bytes(), 0);
        }
        assert_eq!(log.fake().record().entries, expected);
    });
}

#[test]
fn buffered_entries_that_cannot_be_written_stay_and_are_tried_first_by_the_next_call() {
    watched(|| {
        for flusher in [true, false] {
            let log = Log::new(SyncPolicy::None, Limits { buffered_bytes: Some(1 << 12), flusher, ..WIDE });
            for entry in 0..3 {
                assert_eq!(log.put(entry, Buffered), Ok(entry));
            }
            log.fake().change(|record| record.next_writes.extend([Deed::FailPassing; 5]));
            assert_eq!(log.flush(), Err(NO_SPACE));
            assert_eq!(log.put(99, Buffered), Err(NO_SPACE));
            assert_eq!(log.put(99, Durable), Err(NO_SPACE));
            assert_eq!(log.submit_one(99, Written).err(), Some(NO_SPACE));
            assert_eq!(log.sync(), Err(NO_SPACE));
            assert_eq!((log.next(), log.written(), log.in_flight_bytes()), (3, 0, 24));
            assert_eq!(log.put(3, Buffered), Ok(3), "there is room again");
            assert_eq!(log.fake().record().entries, [0, 1, 2]);
            assert_eq!(log.sync(), Ok(()));
            assert_eq!(log.fake().record().entries, [0, 1, 2, 3]);
            assert_eq!((log.durable(), log.in_flight_bytes()), (4, 0));
        }
    });
}

#[test]
fn who_waits_behind_buffered_entries_is_told_and_no_number_is_given_twice() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { buffered_bytes: Some(1 << 12), ..WIDE });
        assert_eq!(log.put(0, Buffered), Ok(0));
        log.fake()
            .change(|record| (record.holds_writes, record.next_writes) = (true, [Deed::FailPassing].into()));
        let leader = log.put_aside(1, Durable);
        log.fake().until(|record| record.writes_begun == 1);
        assert_eq!(log.put(2, Buffered), Ok(2));
        let behind = log.put_aside(3, Written);
        log.until_joined(4);
        let ticket = log.submit_one(4, Durable).unwrap();
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!((said(leader), said(behind)), (Some(Err(NO_SPACE)), Some(Err(NO_SPACE))));
        assert_eq!(log.wait(&ticket, None), Some(Err(NO_SPACE)));
        assert_eq!(log.put(5, Durable), Ok(5));
        assert_eq!(log.fake().record().entries, [0, 1, 2, 3, 4, 5], "nothing is lost, and the order is kept");
        assert_eq!((log.fake().record().durable, log.in_flight_bytes()), (6, 0));
    });
}

/// An append may ask for no more than to be buffered where nothing else is. It was told its number, and
/// the number was given again after a failed write of somebody else.
#[test]
fn a_number_that_somebody_has_gone_on_with_is_not_given_again() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.fake()
            .change(|record| (record.holds_writes, record.next_writes) = (true, [Deed::FailPassing].into()));
        let leader = log.put_aside(0, Durable);
        log.fake().until(|record| record.writes_begun == 1);
        assert_eq!(log.put(1, Buffered), Ok(1));
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!(said(leader), Some(Err(NO_SPACE)));
        assert_eq!(log.put(2, Durable), Ok(2));
        assert_eq!(log.fake().record().entries, [0, 1, 2]);
    });
}

#[test]
fn the_flusher_tries_buffered_entries_again_once_an_interval() {
    watched(|| {
        let interval = Duration::from_millis(10);
        for entries in [1, u64::MAX] {
            let policy = SyncPolicy::periodic(entries, interval);
            let log = Log::new(policy, Limits { buffered_bytes: Some(1 << 12), ..WIDE });
            log.fake().change(|record| record.next_writes.extend([Deed::FailPassing; 3]));
            assert_eq!(log.put(0, Buffered), Ok(0));
            let ((), took) = crate::fake::timed(|| log.fake().until(|record| record.durable == 1));
            assert!(took >= 2 * interval, "it does not spin: {took:?}");
            assert_eq!(log.fake().record().writes_begun, 4);
        }
    });
}

#[test]
fn the_end_tells_what_could_not_be_written() {
    watched(|| {
        for buffered_bytes in [None, Some(1 << 12)] {
            let log = Log::new(SyncPolicy::None, Limits { buffered_bytes, flusher: false, ..WIDE });
            assert_eq!(log.put(0, Durable), Ok(0));
            let ticket = log.submit_one(1, Written).unwrap();
            if buffered_bytes.is_some() {
                assert_eq!(log.put(2, Buffered), Ok(2));
            }
            log.fake().change(|record| record.next_writes = [Deed::FailPassing].into());
            assert_eq!(close_well(&log.share()), Err(NO_SPACE));
            assert!(matches!(ticket.outcome(), Some(Err(_))));
            assert_eq!(log.fake().record().entries, [0]);
            assert_eq!(log.in_flight_bytes(), 0);
        }
    });
}

/// A close writes what has joined. When that write fails, no entry gets the number later, and the watch of it is
/// told that the log is closed.
#[test]
fn a_watch_of_an_entry_whose_last_write_failed_is_told_that_the_log_is_closed() {
    watched(|| {
        for mark in [Mark::Written, Mark::Durable] {
            for deed in [Deed::FailPassing, Deed::FailCapReached] {
                let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..WIDE });
                let ticket = log.submit_one(1, Written).unwrap();
                let task = Counts::new();
                let (mut polled, mut unpolled) = (log.watch(mark, 0), log.watch(mark, 0));
                assert!(task.poll(|context| log.poll_watch(&mut polled, context)).is_pending());
                log.fake().change(|record| record.next_writes = [deed].into());
                assert!(matches!(log.close_well(), Err(Error::Failed(_))));
                assert!(matches!(ticket.outcome(), Some(Err(Error::Failed(_)))));
                for watch in [&mut polled, &mut unpolled] {
                    let told = task.poll(|context| log.poll_watch(watch, context));
                    assert_eq!(told, Poll::Ready(Err(Error::Closed)));
                }
            }
        }
    });
}
