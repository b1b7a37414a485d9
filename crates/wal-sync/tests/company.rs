//! Who shares a sync, and how long a leader waits for company.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

mod fake;

use std::thread;
use std::time::{Duration, Instant};

use fake::{Log, put, said, timed, watched};
use wal_sync::Durability::Durable;
use wal_sync::SyncPolicy;

const LONG: Duration = Duration::from_secs(3600);

/// How long an append of one entry took from the call to its write.
fn until_write(log: &Log) -> Duration {
    let called = Instant::now();
    log.put(7, Durable).unwrap();
    log.fake().record().write_begun_at.unwrap().saturating_duration_since(called)
}

/// Two who share a sync that takes so long; then the log expects two.
fn two_meet(log: &Log, sync_takes: Duration) {
    let next = log.next();
    log.fake().change(|record| record.holds_syncs = true);
    let syncs = log.fake().record().syncs_begun;
    let first = log.put_aside(7, Durable);
    log.fake().until(|record| record.syncs_begun == syncs + 1);
    let pair = [log.put_aside(7, Durable), log.put_aside(7, Durable)];
    log.until_joined(next + 3);
    log.fake().change(|record| (record.holds_syncs, record.sync_takes) = (false, sync_takes));
    assert!(said(first).unwrap().is_ok());
    for one in pair {
        assert!(said(one).unwrap().is_ok());
    }
    assert_eq!(log.fake().record().syncs_begun, syncs + 2, "the pair shared one");
}

#[test]
fn a_lone_appender_never_waits_for_the_window() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        let sync_takes = Duration::from_millis(60);
        log.fake().change(|record| record.sync_takes = sync_takes);
        log.put(7, Durable).unwrap();
        // One that waited would wait for a third of a sync each time. The fastest of some does not
        // mind what else the machine does.
        let fastest = (0..5).map(|_| until_write(&log)).min().unwrap();
        assert!(fastest < sync_takes / 6, "{fastest:?}");
    });
}

#[test]
fn the_window_is_an_upper_bound() {
    watched(|| {
        let window = Duration::from_millis(10);
        let log = Log::wide(SyncPolicy::grouped(window));
        two_meet(&log, Duration::from_millis(600));
        log.fake().change(|record| record.sync_takes = Duration::ZERO);
        let waited = until_write(&log);
        assert!(waited >= window, "two were here lately, but {waited:?}");
        assert!(waited < Duration::from_millis(200), "a third of the sync was longer: {waited:?}");
    });
}

#[test]
fn nobody_waits_for_company_for_longer_than_a_third_of_a_sync() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        two_meet(&log, Duration::from_millis(30));
        let (waited, _) = timed(|| until_write(&log));
        assert!(waited >= Duration::from_millis(10), "{waited:?}");
        assert!(waited < LONG / 1000, "{waited:?}");
        let fastest = (0..5).map(|_| until_write(&log)).min().unwrap();
        assert!(fastest < Duration::from_millis(5), "nobody came back, so nobody is expected: {fastest:?}");
    });
}

/// A leader waited for company although somebody else had taken its group away to write it; nobody told,
/// and its group lay written and not synced until the wait was over.
#[test]
fn a_leader_whose_group_is_written_by_another_waits_no_longer() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        two_meet(&log, Duration::from_millis(1500));
        log.fake().change(|record| record.sync_takes = Duration::ZERO);
        let next = log.next();
        let (outcome, took) = timed(|| {
            let leader = log.put_aside(7, Durable);
            log.until_joined(next + 1);
            log.flush().unwrap();
            said(leader)
        });
        assert_eq!(outcome, Some(Ok(next)));
        assert!(took < Duration::from_millis(400), "it would have waited for 500 ms: {took:?}");
    });
}

#[test]
fn many_share_a_sync() {
    watched(|| {
        for policy in [SyncPolicy::Immediate, SyncPolicy::default()] {
            let log = Log::wide(policy);
            log.fake().change(|record| record.sync_takes = Duration::from_millis(2));
            let (threads, appends) = (16, 40);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..appends {
                            let number = put(&log, 7, Durable).unwrap();
                            assert!(log.fake().is_durable(number));
                        }
                    });
                }
            });
            let syncs = log.fake().syncs();
            assert!(syncs < threads * appends / 4, "{syncs} syncs under {}", policy.name());
            assert_eq!(log.durable(), threads * appends);
        }
    });
}

#[test]
fn what_joins_while_a_sync_runs_shares_the_next() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.fake().change(|record| record.holds_syncs = true);
        let first = log.put_aside(0, Durable);
        log.fake().until(|record| record.syncs_begun == 1);
        let rest: Vec<_> = (1..=8).map(|entry| log.put_aside(entry, Durable)).collect();
        log.until_joined(9);
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(first), Some(Ok(0)));
        let mut numbers: Vec<_> = rest.into_iter().map(|one| said(one).unwrap().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
        let record = log.fake().record();
        assert_eq!((record.syncs, record.writes, record.widest), (2, 2, 8));
    });
}
