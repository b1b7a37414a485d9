//! Who shares a sync, and how long a leader waits for siblings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Deed, Fake, Log, put, said, timed, watched};
use wal_sync::Durability::{Durable, Written};
use wal_sync::{GroupCommit, Mark, SyncPolicy, Watch};

const LONG: Duration = Duration::from_secs(3600);

/// How long an append of one entry took from the call to its write.
fn until_write(log: &Log) -> Duration {
    let called = Instant::now();
    log.put(7, Durable).unwrap();
    log.fake().record().write_begun_at.unwrap().saturating_duration_since(called)
}

/// Two share a sync that takes so long; then the log expects two.
fn two_meet(log: &Log, sync_takes: Duration) {
    let (next, syncs) = (log.next(), log.fake().record().syncs_begun);
    log.fake().change(|record| record.sync_takes = Duration::from_millis(300));
    let first = log.put_aside(7, Durable);
    log.fake().until(|record| record.syncs_begun == syncs + 1);
    let second = log.put_aside(7, Durable);
    log.until_joined(next + 2);
    log.fake().change(|record| record.sync_takes = sync_takes);
    assert!(said(first).unwrap().is_ok());
    // The leader of the second entry waits for this one.
    let third = log.put_aside(7, Durable);
    for one in [second, third] {
        assert!(said(one).unwrap().is_ok());
    }
    assert_eq!(log.fake().record().syncs_begun, syncs + 2, "the second and the third shared one");
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
fn no_leader_waits_for_siblings_for_longer_than_a_third_of_a_sync() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        two_meet(&log, Duration::from_millis(30));
        let (waited, _) = timed(|| until_write(&log));
        assert!(waited >= Duration::from_millis(10), "{waited:?}");
        assert!(waited < LONG / 1000, "{waited:?}");
        let fastest = (0..5).map(|_| until_write(&log)).min().unwrap();
        assert!(fastest < Duration::from_millis(5), "no caller came back, so none is expected: {fastest:?}");
    });
}

/// Two callers each of which joins while the other syncs: neither comes back within a third of a sync, so a leader that waited
/// for the other each time would make every append a third longer.
#[test]
fn leaders_that_waited_in_vain_stop_waiting() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        let sync_takes = Duration::from_millis(90);
        log.fake().change(|record| record.sync_takes = sync_takes);
        let mut running = log.put_aside(7, Durable);
        let begun = Instant::now();
        for sync in 1..=20 {
            log.fake().until(|record| record.syncs_begun >= sync);
            let joins = log.put_aside(8, Durable);
            log.until_joined(sync + 1);
            assert!(said(running).unwrap().is_ok());
            running = joins;
        }
        // Of 20 leaders four wait: before 1, 3, 7 and 15 that do not.
        let waited = begun.elapsed().saturating_sub(20 * sync_takes);
        assert!(waited < 12 * sync_takes / 3, "{waited:?}");
        assert!(said(running).unwrap().is_ok());
    });
}

/// Counting those of the last frame alone, callers fall apart into two groups, each of which waits for the other's sync.
#[test]
fn callers_that_a_sync_released_and_those_that_joined_meanwhile_are_siblings() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        log.fake().change(|record| record.sync_takes = Duration::from_millis(1500));
        let first = log.put_aside(7, Durable);
        log.fake().until(|record| record.syncs_begun == 1);
        let second = log.put_aside(8, Durable);
        log.until_joined(2);
        log.fake().change(|record| record.sync_takes = Duration::ZERO);
        assert_eq!(said(first), Some(Ok(0)));
        // The leader of the second entry waits for half a second for this one.
        assert_eq!(log.put(9, Durable), Ok(2));
        assert_eq!(said(second), Some(Ok(1)));
        assert_eq!(log.fake().syncs(), 2, "the second and the third entry share one");
    });
}

/// A leader waited for siblings although another thread had taken its group to write it, and no one told it,
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

/// The leader's wait is over with the last of its siblings, whatever the window: who completes it leads.
#[test]
fn the_last_sibling_leads_at_once() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        two_meet(&log, Duration::from_millis(1500));
        log.fake().change(|record| record.sync_takes = Duration::ZERO);
        let (next, syncs) = (log.next(), log.fake().syncs());
        let ((leader, second), took) = timed(|| {
            let leader = log.put_aside(7, Durable);
            log.until_joined(next + 1);
            let second = log.put(8, Durable);
            // The leader sleeps on, but for what it waits for.
            (said(leader), second)
        });
        assert_eq!((leader, second), (Some(Ok(next)), Ok(next + 1)));
        assert_eq!(log.fake().syncs(), syncs + 1, "they shared it");
        assert!(took < Duration::from_millis(400), "a wait of 500 ms was not needed: {took:?}");
    });
}

/// Two wait to write, and the write in front of them fails: their frame is emptied, and the next one is written all the same.
#[test]
fn whoever_waits_behind_a_failed_write_is_told_and_the_next_one_is_written() {
    watched(|| {
        let log = Log::wide(SyncPolicy::grouped(LONG));
        two_meet(&log, Duration::from_millis(1500));
        log.fake().change(|record| {
            (record.sync_takes, record.holds_writes) = (Duration::ZERO, true);
            record.next_writes.push_back(Deed::FailPassing);
        });
        let (next, writes) = (log.next(), log.fake().begun().0);
        let failing = log.put_aside(7, Written);
        log.fake().until(|record| record.writes_begun == writes + 1);
        let pair: Vec<_> = (1..=2)
            .map(|joined| {
                let one = log.put_aside(7, Durable);
                log.until_joined(next + 1 + joined);
                one
            })
            .collect();
        log.fake().change(|record| record.holds_writes = false);
        for one in std::iter::once(failing).chain(pair) {
            assert!(said(one).unwrap().is_err());
        }
        assert_eq!(log.put(7, Durable), Ok(next));
    });
}

/// So many threads append over and over until `enough`, each time with a pause of so many milliseconds of its own.
fn append_until(log: &Log, threads: u64, pause: impl Fn(u64, u64) -> u64 + Sync, enough: impl Fn(&Log)) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (over, pause) = (&over, &pause);
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let number = put(log, 7, Durable).unwrap();
                    assert!(log.fake().is_durable(number));
                    thread::sleep(Duration::from_millis(pause(thread, round)));
                }
            });
        }
        enough(log);
        over.store(true, Ordering::SeqCst);
    });
}

/// A sync of 6 ms: a leader waits for others for a third of it.
fn with_slow_syncs() -> Log {
    let log = Log::wide(SyncPolicy::grouped(LONG));
    log.fake().change(|record| record.sync_takes = Duration::from_millis(6));
    log
}

/// After every sync a quarter of them are back in time, and the others while the next one is under way.
fn crowd(thread: u64, round: u64) -> u64 {
    (5 * thread + 3 * round) % 8
}

#[test]
fn callers_lead_themselves_however_many_they_are_and_however_late_some_of_them_come() {
    watched(|| {
        for threads in [6, 40] {
            let log = with_slow_syncs();
            append_until(&log, threads, crowd, |log| log.fake().until(|record| record.syncs_begun >= 100));
            assert_eq!(log.fake().record().syncs_by_flusher, 0);
        }
    });
}

/// A waker that appends when it is called.
struct Appends {
    log: std::sync::Weak<GroupCommit<Fake>>,
    on_the_flusher: Arc<AtomicBool>,
}

impl Wake for Appends {
    fn wake(self: Arc<Self>) {
        if let Some(log) = self.log.upgrade() {
            put(&log, 7, Durable).unwrap();
        }
        if thread::current().name() == Some(crate::fake::FLUSHER) {
            self.on_the_flusher.store(true, Ordering::SeqCst);
        }
    }
}

/// A waker that waits while the flusher calls it must not wait for the flusher.
#[test]
fn a_waker_that_appends_on_the_flusher_is_not_left_to_the_flusher() {
    watched(|| {
        let log = with_slow_syncs();
        let on_the_flusher = Arc::new(AtomicBool::new(false));
        while !on_the_flusher.load(Ordering::SeqCst) {
            let mut ticket = log.submit_one(7, Durable).unwrap();
            let appends =
                Appends { log: Arc::downgrade(&log.share()), on_the_flusher: Arc::clone(&on_the_flusher) };
            if ticket.poll(&Context::from_waker(&Waker::from(Arc::new(appends)))).is_pending() {
                assert_eq!(log.wait(&ticket, None), Some(Ok(())));
            }
        }
    });
}

/// A leader whose write reaches a watch calls its waker.
#[test]
fn a_waker_that_appends_on_a_leader_does_not_wait_for_that_leader() {
    watched(|| {
        for policy in [SyncPolicy::Immediate, SyncPolicy::default()] {
            let log = Log::wide(policy);
            let appends = Appends {
                log: Arc::downgrade(&log.share()),
                on_the_flusher: Arc::new(AtomicBool::new(false)),
            };
            let mut watch = Watch::new(Mark::Written, 0);
            let waker = Waker::from(Arc::new(appends));
            assert!(log.poll_watch(&mut watch, &Context::from_waker(&waker)).is_pending());
            assert!(log.put(7, Durable).is_ok());
            assert_eq!(log.durable(), 2, "both are durable: {policy:?}");
        }
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
