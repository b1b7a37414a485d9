//! The bounds on what may gather, and how long a caller waits for room.

use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Log, ONE, WIDE, said, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::{Batch, Error, Limits, Patience, SyncPolicy};

/// Three entries may be in flight.
const NARROW: Limits = Limits { in_flight_bytes: 24, ..WIDE };

fn full(log: &Log, patience: Patience) -> bool {
    log.submit(ONE, Durable, patience, |frame| frame.push(7)).is_err_and(|error| error == Error::Backpressure)
}

#[test]
fn what_is_in_flight_is_bounded() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, NARROW);
        log.fake().change(|record| record.holds_syncs = true);
        for _ in 0..3 {
            log.submit_one(7, Durable).unwrap();
        }
        assert_eq!(log.in_flight_bytes(), 24);
        assert!(full(&log, Patience::None));
        let deadline = Instant::now() + Duration::from_millis(10);
        assert!(full(&log, Patience::Until(deadline)));
        assert!(Instant::now() >= deadline);
        let waits = log.put_aside(7, Durable);
        thread::sleep(Duration::from_millis(5));
        assert_eq!(log.next(), 3, "it has not joined");
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(waits), Some(Ok(3)));
        assert_eq!(log.in_flight_bytes(), 0);
        assert!(!full(&log, Patience::Until(Instant::now() + crate::fake::PATIENCE)));
    });
}

#[test]
fn a_batch_that_is_larger_than_a_bound_goes_in_alone() {
    watched(|| {
        for flusher in [true, false] {
            let limits = Limits { frame_bytes: 16, frame_entries: 2, flusher, ..NARROW };
            let log = Log::new(SyncPolicy::Immediate, limits);
            let large = Batch { entries: 5, bytes: 40 };
            for round in 0..3 {
                assert_eq!(log.append(large, Durable, |frame| frame.extend([7; 5])), Ok(round * 7));
                assert_eq!(log.put(7, Durable), Ok(round * 7 + 5));
                let small = log.submit_one(7, Durable).unwrap();
                assert_eq!(small.first(), round * 7 + 6);
            }
            assert_eq!(log.sync(), Ok(()));
            assert_eq!(log.in_flight_bytes(), 0);
        }
    });
}

#[test]
fn whoever_finds_the_frame_full_writes_it() {
    watched(|| {
        for flusher in [true, false] {
            let limits = Limits { frame_entries: 2, flusher, ..WIDE };
            let log = Log::new(SyncPolicy::None, limits);
            for number in 0..101 {
                assert_eq!(log.submit_one(number, Buffered).unwrap().first(), number);
            }
            assert_eq!(log.flush(), Ok(()));
            let record = log.fake().record();
            assert_eq!((record.entries.len(), record.widest), (101, 2.min(record.widest)));
        }
    });
}

#[test]
fn a_full_frame_that_cannot_be_written_yet_is_waited_for() {
    watched(|| {
        let limits = Limits { frame_entries: 2, ..WIDE };
        let log = Log::new(SyncPolicy::None, limits);
        log.fake().change(|record| record.holds_writes = true);
        let first = log.put_aside(0, Written);
        log.fake().until(|record| record.writes_begun == 1);
        for _ in 0..2 {
            log.submit_one(7, Written).unwrap();
        }
        assert!(full(&log, Patience::None));
        let waits = log.put_aside(0, Written);
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!((said(first), said(waits)), (Some(Ok(0)), Some(Ok(3))));
    });
}

/// What is only buffered counts as in flight, and nobody but its own appenders writes it. With a buffer
/// larger than the bound they all waited for room, for ever.
#[test]
fn a_buffer_that_is_larger_than_the_bound_does_not_lock_itself_in() {
    watched(|| {
        for flusher in [true, false] {
            for policy in [SyncPolicy::None, SyncPolicy::periodic(u64::MAX, Duration::from_secs(3600))] {
                let limits = Limits { buffered_bytes: Some(1 << 16), flusher, ..NARROW };
                let log = Log::new(policy, limits);
                for number in 0..50 {
                    assert_eq!(log.put(7, Buffered), Ok(number));
                    assert!(log.in_flight_bytes() <= NARROW.in_flight_bytes);
                }
            }
        }
    });
}

#[test]
fn without_a_flusher_whoever_finds_too_much_in_flight_makes_it_durable() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { flusher: false, ..NARROW });
        for number in 0..50 {
            assert_eq!(log.submit_one(7, Durable).unwrap().first(), number);
        }
        assert!(log.durable() >= 47);
        assert_eq!(log.sync(), Ok(()));
        assert_eq!((log.durable(), log.in_flight_bytes()), (50, 0));
    });
}
