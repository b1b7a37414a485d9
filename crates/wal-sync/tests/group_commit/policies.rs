//! When each policy syncs, and what an append that returned has promised.

use std::thread;
use std::time::Duration;

use crate::fake::{Log, WIDE, timed, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::{Limits, SyncPolicy};

const LONG: Duration = Duration::from_secs(3600);

/// No entries and no time ask for a sync.
fn never() -> SyncPolicy {
    SyncPolicy::periodic(u64::MAX, LONG)
}

#[test]
fn immediate_and_grouped_sync_before_an_append_returns() {
    watched(|| {
        for policy in [SyncPolicy::Immediate, SyncPolicy::default()] {
            for flusher in [true, false] {
                let log = Log::new(policy, Limits { flusher, ..WIDE });
                for number in 0..5 {
                    assert_eq!(log.put(7, log.promise()), Ok(number));
                    assert!(log.fake().is_durable(number));
                    assert_eq!((log.written(), log.durable()), (number + 1, number + 1));
                }
                assert_eq!(log.fake().syncs(), 5, "alone, one each");
            }
        }
    });
}

#[test]
fn none_hands_over_what_it_appends_and_never_syncs_by_itself() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        for number in 0..100 {
            assert_eq!(log.put(7, log.promise()), Ok(number));
            assert_eq!(log.written(), number + 1);
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!((log.fake().record().syncs_begun, log.durable()), (0, 0));
    });
}

#[test]
fn none_syncs_in_the_background_when_the_target_asks_for_it() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        log.fake().change(|record| (record.soon, record.holds_syncs) = (Some(10), true));
        for _ in 0..9 {
            assert!(log.put(7, Written).is_ok());
        }
        assert_eq!(log.fake().record().syncs_begun, 0);
        assert!(log.put(7, Written).is_ok());
        log.fake().until(|record| record.syncs_begun == 1);
        assert_eq!(log.put(7, Written), Ok(10), "nobody waits for the sync that is running");
        log.fake().change(|record| record.holds_syncs = false);
        log.fake().until(|record| record.durable >= 10);
        // What was written meanwhile asked again, from before that sync: that is no reason for another.
        for _ in 0..8 {
            assert!(log.put(7, Written).is_ok());
        }
        assert_eq!(log.fake().record().syncs_begun, 1);
    });
}

#[test]
fn periodic_syncs_after_so_many_entries() {
    watched(|| {
        let log = Log::wide(SyncPolicy::periodic(10, LONG));
        for round in 1..=3 {
            for _ in 0..9 {
                assert!(log.put(7, log.promise()).is_ok());
            }
            assert_eq!(log.fake().record().syncs_begun, round - 1, "nine are not ten");
            assert!(log.put(7, log.promise()).is_ok());
            log.fake().until(|record| record.durable == 10 * round);
        }
        assert_eq!(log.fake().syncs(), 3);
    });
}

#[test]
fn periodic_syncs_after_so_much_time_and_not_at_all_while_nothing_is_pending() {
    watched(|| {
        let interval = Duration::from_millis(5);
        let log = Log::wide(SyncPolicy::periodic(u64::MAX, interval));
        for round in 1..=4 {
            let ((), took) = timed(|| {
                assert!(log.put(7, log.promise()).is_ok());
                log.fake().until(|record| record.durable == round);
            });
            assert!(took >= interval, "{took:?}");
            thread::sleep(4 * interval);
            assert_eq!(log.fake().record().syncs_begun, round, "one entry, one sync");
        }
    });
}

#[test]
fn periodic_never_blocks_an_append_on_a_sync() {
    watched(|| {
        let log = Log::wide(SyncPolicy::periodic(1, LONG));
        log.fake().change(|record| record.holds_syncs = true);
        assert_eq!(log.put(7, log.promise()), Ok(0));
        log.fake().until(|record| record.syncs_begun == 1);
        for number in 1..100 {
            assert_eq!(log.put(7, log.promise()), Ok(number));
        }
        assert_eq!((log.written(), log.durable()), (100, 0));
        log.fake().change(|record| record.holds_syncs = false);
        log.fake().until(|record| record.durable == 100);
        assert_eq!(log.fake().syncs(), 2, "what came while it ran shares the next");
    });
}

/// A sync sees a write before the thread that made it comes back to say so. Then nothing is pending,
/// although something was written last; the flusher once took its age for a reason to sync for ever.
#[test]
fn a_sync_that_saw_a_write_first_leaves_nothing_pending() {
    watched(|| {
        let log = Log::wide(SyncPolicy::periodic(1, Duration::from_micros(100)));
        for _ in 0..2000 {
            assert!(log.put(7, Written).is_ok());
        }
        log.fake().until(|record| record.durable == 2000);
        thread::sleep(Duration::from_millis(10));
        let syncs = log.fake().record().syncs_begun;
        thread::sleep(Duration::from_millis(20));
        assert_eq!(log.fake().record().syncs_begun, syncs);
        assert_eq!((log.written(), log.durable()), (2000, 2000));
    });
}

/// What was buffered once did not count as pending. Then an entry stayed in the process for as long as
/// nobody filled the buffer, however short the interval.
#[test]
fn periodic_writes_and_syncs_what_is_only_buffered() {
    watched(|| {
        let buffered = Limits { buffered_bytes: Some(1 << 16), ..WIDE };
        for policy in
            [SyncPolicy::periodic(u64::MAX, Duration::from_millis(5)), SyncPolicy::periodic(3, LONG)]
        {
            let log = Log::new(policy, buffered);
            assert_eq!(log.promise(), Buffered);
            for _ in 0..3 {
                assert!(log.put(7, log.promise()).is_ok());
            }
            log.fake().until(|record| record.durable == 3);
        }
    });
}

#[test]
fn without_a_flusher_whoever_comes_when_a_sync_is_due_runs_it() {
    watched(|| {
        for buffered_bytes in [None, Some(1 << 16)] {
            let log =
                Log::new(SyncPolicy::periodic(10, LONG), Limits { flusher: false, buffered_bytes, ..WIDE });
            for number in 0..9 {
                assert_eq!(log.put(7, log.promise()), Ok(number));
            }
            assert_eq!(log.fake().record().syncs_begun, 0);
            assert_eq!(log.put(7, log.promise()), Ok(9));
            assert_eq!((log.fake().syncs(), log.durable()), (1, 10));
        }
    });
}

#[test]
fn an_append_may_ask_for_more_than_the_policy() {
    watched(|| {
        for policy in [SyncPolicy::None, never()] {
            for flusher in [true, false] {
                let log = Log::new(policy, Limits { flusher, ..WIDE });
                assert_eq!(log.put(7, Written), Ok(0));
                assert_eq!(log.put(7, Durable), Ok(1));
                assert_eq!((log.fake().syncs(), log.fake().record().durable), (1, 2));
            }
        }
    });
}

#[test]
fn an_append_may_ask_for_less_than_the_policy() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        assert_eq!(log.put(7, Written), Ok(0));
        assert_eq!((log.fake().record().syncs_begun, log.written(), log.durable()), (0, 1, 0));
        assert_eq!(log.put(7, Durable), Ok(1));
        assert_eq!(log.durable(), 2);
    });
}

#[test]
fn who_asked_for_the_write_alone_is_not_kept_by_the_sync_of_the_others() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.fake().change(|record| (record.holds_writes, record.holds_syncs) = (true, true));
        let first = log.put_aside(7, Written);
        log.fake().until(|record| record.writes_begun == 1);
        // These share the next write: one leads it and syncs.
        let durable = log.put_aside(7, Durable);
        log.until_joined(2);
        let written = log.put_aside(7, Written);
        log.until_joined(3);
        let ticket = log.submit_one(7, Written).unwrap();
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!(crate::fake::said(first), Some(Ok(0)));
        assert_eq!(crate::fake::said(written), Some(Ok(2)));
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
        assert_eq!((log.fake().syncs(), durable.is_finished()), (0, false));
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(crate::fake::said(durable), Some(Ok(1)));
    });
}

#[test]
fn buffered_entries_reach_the_target_when_the_buffer_is_full_at_a_flush_a_sync_and_the_end() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { buffered_bytes: Some(80), ..WIDE });
        for number in 0..9 {
            assert_eq!(log.put(7, log.promise()), Ok(number));
        }
        assert_eq!((log.written(), log.fake().record().writes), (0, 0));
        assert_eq!(log.put(7, log.promise()), Ok(9));
        assert_eq!((log.written(), log.fake().record().writes), (10, 1));
        assert_eq!(log.put(7, log.promise()), Ok(10));
        assert_eq!(log.flush(), Ok(()));
        assert_eq!((log.written(), log.fake().record().syncs_begun), (11, 0));
        assert_eq!(log.put(7, log.promise()), Ok(11));
        assert_eq!(log.sync(), Ok(()));
        assert_eq!((log.written(), log.durable(), log.fake().syncs()), (12, 12, 1));
        assert_eq!(log.put(7, log.promise()), Ok(12));
        assert_eq!(log.close_well(), Ok(()));
        assert_eq!(log.fake().record().durable, 13);
    });
}

/// A `sync` that did nothing was found in more than one published log, years later. So every call that
/// promises a sync is counted where the sync happens.
#[test]
fn every_call_that_promises_a_sync_is_seen_by_the_target() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default(), never()] {
            for flusher in [true, false] {
                for buffered_bytes in [None, Some(1 << 16)] {
                    let log = Log::new(policy, Limits { flusher, buffered_bytes, ..WIDE });
                    let before = Buffered.max(log.promise().min(Written));
                    let mut syncs = 0;
                    let mut one_more = |log: &Log| {
                        syncs += 1;
                        let record = log.fake().record();
                        assert_eq!((record.syncs, record.durable), (syncs, record.entries.len() as u64));
                    };
                    log.put(7, before).unwrap();
                    log.sync().unwrap();
                    one_more(&log);
                    log.sync().unwrap();
                    assert_eq!(log.fake().syncs(), 1, "there was nothing to sync");
                    log.put(7, Durable).unwrap();
                    one_more(&log);
                    let ticket = log.submit_one(7, Durable).unwrap();
                    assert_eq!(log.wait(&ticket, None), Some(Ok(())));
                    one_more(&log);
                    log.put(7, before).unwrap();
                    log.close_well().unwrap();
                    one_more(&log);
                }
            }
        }
    });
}

#[test]
fn a_write_between_two_segments_makes_durable_what_came_before() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        for number in 0..3 {
            assert_eq!(log.put(7, Written), Ok(number));
        }
        let ticket = log.submit_one(7, Durable).unwrap();
        assert_eq!(log.wait(&ticket, None), Some(Ok(())));
        assert_eq!(log.put(7, Written), Ok(4));
        assert_eq!(log.put(crate::fake::ROLLOVER, Written), Ok(5));
        assert_eq!((log.written(), log.durable()), (6, 5));
    });
}
