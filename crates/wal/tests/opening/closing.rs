//! Closing and dropping a log while others use it: every call ends, and what was promised is there.

use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::common::bytes::{linked, segments};
use crate::common::gate::Gate;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::task::block_on;
use crate::common::{
    Acknowledged, contents, eventually, every_setup, holds_all, open, read, refused, small, within,
};
use wal::{Durability, Ending, Error, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(60);
/// More entries than any of these logs get.
const FAR: u64 = 1_000_000;

/// Appends with every call until one is refused.
/// A call that may be refused.
type Asked = fn(&Wal) -> Result<(), Error>;

fn append_until_closed(wal: &Wal, appender: u64) -> (Acknowledged, Error) {
    let mut acknowledged = Acknowledged::new();
    let mut dropped = Vec::new();
    for turn in 0.. {
        let payload = payload(appender * 100_000 + turn, 300);
        let appended = match turn % 7 {
            0 => wal.append(&payload),
            1 => wal.append_with(&payload, Durability::Durable),
            2 => wal.submit_with(&payload, Durability::Durable).and_then(|commit| commit.wait()),
            3 => wal.submit(&payload).and_then(block_on),
            4 => wal.append_batch([&payload]).map(|numbers| numbers.start),
            5 => {
                // Nobody waits for this one.
                match wal.submit(&payload) {
                    Ok(commit) => dropped.push(commit),
                    Err(error) => return (acknowledged, error),
                }
                continue;
            }
            _ => wal.append_with(&payload, Durability::Written),
        };
        match appended {
            Ok(number) => acknowledged.push((number, payload)),
            Err(error) => return (acknowledged, error),
        }
    }
    unreachable!("a log is closed at some time")
}

// A log written in Go hung when it was closed while somebody appended: the close waited for the syncing
// thread, that one for the lock, and the appender held the lock and waited for a sync.
#[test]
fn a_close_among_appenders_submitters_waiters_and_readers_ends_every_call_and_loses_nothing() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for delay_us in [0, 30, 300, 2000] {
                let what = format!("{policy:?}, threads: {background}, after {delay_us} us");
                let disk = SimDisk::new(delay_us);
                let options = small(policy).background(background).max_in_flight_bytes(2000);
                let wal = open(&disk, &options);
                let appenders: Vec<_> = (0..4)
                    .map(|appender| {
                        let wal = wal.clone();
                        thread::spawn(move || append_until_closed(&wal, appender))
                    })
                    .collect();
                let waiting: [Asked; 4] = [
                    |wal| wal.until_durable(FAR).wait(),
                    |wal| block_on(wal.until_written(FAR)),
                    |wal| loop {
                        wal.sync()?;
                    },
                    |wal| loop {
                        let (_, error) = read(wal.range(..)?);
                        assert!(error.is_none(), "{error:?}");
                    },
                ];
                let waiters: Vec<_> = waiting
                    .into_iter()
                    .map(|waits| {
                        let wal = wal.clone();
                        thread::spawn(move || waits(&wal))
                    })
                    .collect();
                thread::sleep(Duration::from_micros(delay_us));
                wal.clone().close().expect("nothing fails");
                let reopened = open(&disk, &small(policy));
                let shown = contents(&reopened);
                for appender in appenders {
                    let (acknowledged, error) = appender.join().expect("nobody panics");
                    assert_eq!(error.kind(), ErrorKind::Closed, "{what}: {error}");
                    holds_all(&shown, &acknowledged);
                }
                for waiter in waiters {
                    refused(waiter.join().expect("nobody panics"), ErrorKind::Closed);
                }
                // A close makes durable whatever was written, too.
                assert_eq!(wal.durable_end(), shown.len() as u64, "{what}");
                let cut = open(&disk.power_cut_losing_everything(), &small(policy));
                assert!(contents(&cut) == shown, "{what}");
            }
        }
    });
}

#[test]
fn everything_is_refused_behind_a_close_and_the_second_close_too() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            wal.append(b"entry").expect("nothing fails");
            let (clone, another) = (wal.clone(), wal.clone());
            wal.close().expect("nothing fails");
            let calls: [Asked; 13] = [
                |wal| wal.append(b"after").map(drop),
                |wal| wal.append_with(b"after", Durability::Buffered).map(drop),
                |wal| wal.append_batch([b"after"]).map(drop),
                |wal| wal.append_batch(&[] as &[&[u8]]).map(drop),
                |wal| wal.submit(b"after").map(drop),
                |wal| wal.try_submit(b"after").map(drop),
                |wal| wal.submit_timeout(b"after", LIMIT).map(drop),
                |wal| wal.submit_batch([b"after"]).map(drop),
                Wal::sync,
                Wal::flush,
                |wal| wal.until_durable(1).wait(),
                |wal| wal.read_from(0).map(drop),
                |wal| wal.range(..).map(drop),
            ];
            let before = (crate::common::directory(&disk), disk.operations());
            for call in calls {
                refused(call(&clone), ErrorKind::Closed);
            }
            refused(clone.close(), ErrorKind::Closed);
            clone_still_answers(&another);
            refused(another.close(), ErrorKind::Closed);
            assert!((crate::common::directory(&disk), disk.operations()) == before, "something was done");
        }
    });
}

fn clone_still_answers(wal: &Wal) {
    assert_eq!((wal.first(), wal.last(), wal.written_end(), wal.durable_end()), (0, Some(0), 1, 1));
    assert!(wal.recovery().ending == Ending::New && !wal.is_empty());
    wal.until_durable(0).wait().expect("it is");
    assert!(format!("{wal:?}").contains("written: 1"));
}

#[test]
fn of_many_closes_at_once_one_closes() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            wal.append(b"entry").expect("nothing fails");
            let closers: Vec<_> = (0..8)
                .map(|_| {
                    let wal = wal.clone();
                    thread::spawn(move || wal.close().map_err(|error| error.kind()))
                })
                .collect();
            let mut outcomes: Vec<_> =
                closers.into_iter().map(|closer| closer.join().expect("nobody panics")).collect();
            outcomes.sort_by_key(Result::is_err);
            assert_eq!(outcomes[0], Ok(()));
            assert!(outcomes[1..].iter().all(|outcome| *outcome == Err(ErrorKind::Closed)), "{outcomes:?}");
        }
    });
}

#[test]
fn a_close_finishes_what_was_submitted_and_a_drop_ends_it() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for closes in [true, false] {
                let what = format!("{policy:?}, threads: {background}, closes: {closes}");
                let disk = SimDisk::new(1);
                let wal = open(&disk, &small(policy).background(background));
                let commits: Vec<_> = (0..30)
                    .map(|turn| {
                        let durability = [Durability::Written, Durability::Durable][turn % 2];
                        wal.submit_with(&payload(turn as u64, 400), durability).expect("nothing fails")
                    })
                    .collect();
                // Nobody waits for these.
                drop(wal.submit_with(b"dropped", Durability::Durable).expect("nothing fails"));
                let far = wal.until_durable(FAR);
                let near = wal.until_durable(7);
                if closes {
                    wal.close().expect("nothing fails");
                } else {
                    drop(wal);
                }
                // The lock is free at once.
                let reopened = open(&disk, &small(policy));
                let shown = contents(&reopened);
                assert_eq!(shown.len(), 31, "{what}: what was submitted was written");
                refused(far.wait(), ErrorKind::Closed);
                match near.wait() {
                    Ok(()) => {}
                    Err(error) => assert!(!closes && error.kind() == ErrorKind::Closed, "{what}: {error}"),
                }
                for (turn, commit) in commits.into_iter().enumerate() {
                    match commit.wait() {
                        Ok(number) => assert_eq!(number, turn as u64),
                        Err(error) => {
                            let may = !closes && turn % 2 == 1 && error.kind() == ErrorKind::Closed;
                            assert!(may, "{what}: {turn}: {error}");
                        }
                    }
                    let known = commit.outcome().expect("it is known").is_ok();
                    assert_eq!(block_on(commit).is_ok(), known, "it does not change");
                }
            }
        }
    });
}

#[test]
fn a_commit_that_was_durable_before_the_drop_stays_so() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            let commit = wal.submit_with(b"entry", Durability::Durable).expect("nothing fails");
            wal.sync().expect("nothing fails");
            drop(wal);
            assert_eq!(commit.wait().expect("it is durable"), 0);
            let cut = open(&disk.power_cut_losing_everything(), &small(policy));
            assert_eq!(contents(&cut), [b"entry"]);
        }
    });
}

#[test]
fn the_last_of_many_handles_ends_the_log_whichever_that_is() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for round in 0..10 {
                let disk = SimDisk::new(round);
                let wal = open(&disk, &small(policy).background(background));
                let threads: Vec<_> = (0..4_u64)
                    .map(|appender| {
                        let wal = wal.clone();
                        thread::spawn(move || {
                            let mut acknowledged = Acknowledged::new();
                            for turn in 0..6 {
                                let payload = payload(appender * 100 + turn, 500);
                                let appended = if turn % 2 == 0 {
                                    wal.append_with(&payload, Durability::Durable)
                                } else {
                                    wal.append(&payload)
                                };
                                acknowledged.push((appended.expect("the log is open"), payload));
                            }
                            drop(wal.submit(b"nobody waits").expect("the log is open"));
                            acknowledged
                        })
                    })
                    .collect();
                drop(wal);
                let acknowledged: Acknowledged =
                    threads.into_iter().flat_map(|thread| thread.join().expect("nobody panics")).collect();
                let wal = open(&disk, &small(policy));
                holds_all(&contents(&wal), &acknowledged);
                assert_eq!(wal.written_end(), 28, "what was submitted was written");
            }
        }
    });
}

#[test]
fn a_close_waits_for_the_sync_that_is_in_flight_and_so_does_a_drop() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for closes in [true, false] {
                let disk = SimDisk::new(1);
                let gate = Gate::new();
                let syncs = Arc::clone(&gate);
                let seam = Seam::new(disk.clone(), move |call| match call {
                    Call::Sync { name } if name.ends_with(".wal") => syncs.pass(),
                    _ => Ok(()),
                });
                let options = small(policy).segment_bytes(1 << 20).background(background);
                let wal = options.open_in(seam).expect("nothing fails");
                wal.append_with(b"first", Durability::Durable).expect("nothing fails");
                gate.shut();
                let appender = {
                    let wal = wal.clone();
                    thread::spawn(move || {
                        let appended = wal.append_with(b"second", Durability::Durable);
                        drop(wal);
                        appended
                    })
                };
                gate.until_somebody_waits();
                let ender = thread::spawn(move || {
                    if closes {
                        wal.close()
                    } else {
                        drop(wal);
                        Ok(())
                    }
                });
                thread::sleep(Duration::from_millis(3));
                assert!(!closes || !ender.is_finished(), "it waits");
                gate.open();
                assert_eq!(appender.join().expect("nobody panics").expect("it was in flight"), 1);
                ender.join().expect("nobody panics").expect("nothing fails");
                assert_eq!(contents(&open(&disk, &small(policy))).len(), 2);
            }
        }
    });
}

#[test]
fn whoever_waits_for_room_is_turned_away_by_a_close() {
    within(LIMIT, || {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate] {
            let disk = SimDisk::new(1);
            let gate = Gate::new();
            let writes = Arc::clone(&gate);
            let seam = Seam::new(disk.clone(), move |call| match call {
                Call::Write { name, .. } if name.ends_with(".wal") => writes.pass(),
                _ => Ok(()),
            });
            let options = Options::new().sync(policy).max_in_flight_bytes(100);
            let wal = options.open_in(seam).expect("nothing is written");
            gate.shut();
            let first = wal.submit(&[1; 80]).expect("there is room");
            let waiting: Vec<_> = (0..3)
                .map(|turn| {
                    let wal = wal.clone();
                    thread::spawn(move || match turn {
                        0 => wal.append(&[2; 80]).map(drop),
                        1 => wal.submit(&[2; 80]).map(drop),
                        _ => wal.submit_timeout(&[2; 80], LIMIT).map(drop),
                    })
                })
                .collect();
            gate.until_somebody_waits();
            thread::sleep(Duration::from_millis(3));
            let closer = thread::spawn(move || wal.close());
            for waiter in waiting {
                refused(waiter.join().expect("nobody panics"), ErrorKind::Closed);
            }
            gate.open();
            closer.join().expect("nobody panics").expect("nothing fails");
            first.wait().expect("it had joined before the close");
            assert_eq!(contents(&open(&disk, &small(policy))), [[1; 80]]);
        }
    });
}

#[test]
fn a_reader_goes_on_behind_a_close_and_a_drop() {
    for (policy, background) in every_setup() {
        for closes in [true, false] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            let kept: Vec<_> = (0..12).map(|number| payload(number, 900)).collect();
            for payload in &kept {
                wal.append(payload).expect("nothing fails");
            }
            let mut entries = wal.range(..).expect("open");
            let first = entries.next().expect("twelve").expect("whole");
            if closes {
                wal.close().expect("nothing fails");
            } else {
                drop(wal);
            }
            assert_eq!(first.payload(), kept[0]);
            let (shown, error) = read(entries);
            assert!(error.is_none() && shown == kept[1..], "{error:?}");
        }
    }
}

#[test]
fn a_closed_log_leaves_no_prepared_segment_and_a_dropped_one_may() {
    for (policy, background) in every_setup() {
        for closes in [true, false] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            for number in 0..5 {
                wal.append_with(&payload(number, 900), Durability::Durable).expect("nothing fails");
            }
            if closes {
                wal.close().expect("nothing fails");
            } else {
                drop(wal);
            }
            let prepared = segments(&disk).len() - linked(&disk).len();
            assert!(prepared <= usize::from(!closes), "{policy:?}, threads: {background}: {prepared}");
            let wal = open(&disk, &small(policy));
            assert_eq!(matches!(wal.recovery().ending, Ending::Clean), closes);
            assert_eq!(wal.written_end(), 5);
        }
    }
}

#[test]
fn nothing_holds_the_directory_once_all_handles_are_gone() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for closes in [true, false] {
                let seam = Seam::new(SimDisk::new(1), |_| Ok(()));
                let options = small(policy).background(background).on_rollover(|_| {});
                let wal = options.open_in(Arc::clone(&seam) as Arc<dyn wal::Directory>).expect("no fault");
                for number in 0..8 {
                    wal.submit(&payload(number, 900)).expect("nothing fails").wait().expect("nothing fails");
                }
                if closes {
                    wal.close().expect("nothing fails");
                } else {
                    drop(wal);
                }
                // The threads have been joined, so nothing else is to be waited for.
                assert_eq!(Arc::strong_count(&seam), 1, "{policy:?}, threads: {background}");
            }
        }
    });
}

/// A task that has the last handle, or closes the log, when it is woken: on whichever thread that is.
struct EndsTheLog {
    wal: Mutex<Option<Wal>>,
    closes: bool,
}

impl Wake for EndsTheLog {
    fn wake(self: Arc<Self>) {
        let wal = self.wal.lock().expect("nobody panics").take();
        match wal {
            Some(wal) if self.closes => wal.close().expect("nothing fails"),
            other => drop(other),
        }
    }
}

// A task is woken by the log's own thread, and its executor may run it there and then.
#[test]
fn a_task_that_ends_the_log_when_it_is_woken_ends_it() {
    within(LIMIT, || {
        for (policy, _) in every_setup().filter(|(_, background)| *background) {
            for closes in [true, false] {
                for watches in [true, false] {
                    let disk = SimDisk::new(1);
                    let wal = open(&disk, &small(policy).background(true));
                    let gone = Arc::new(EndsTheLog { wal: Mutex::new(None), closes });
                    let waker = Waker::from(Arc::clone(&gone));
                    let mut context = Context::from_waker(&waker);
                    let mut reached = wal.until_durable(1);
                    wal.append(b"first").expect("nothing fails");
                    let mut commit = None;
                    if watches {
                        assert!(std::pin::Pin::new(&mut reached).poll(&mut context).is_pending());
                        *gone.wal.lock().expect("nobody panics") = Some(wal.clone());
                        drop(wal.submit_with(b"second", Durability::Durable).expect("nothing fails"));
                        drop(wal);
                    } else {
                        // Held back by the lock of the waker, until the handle is where it belongs.
                        let mut slot = gone.wal.lock().expect("nobody panics");
                        let mut second =
                            wal.submit_with(b"second", Durability::Durable).expect("nothing fails");
                        let polled = std::pin::Pin::new(&mut second).poll(&mut context);
                        *slot = Some(wal);
                        drop(slot);
                        if polled.is_ready() {
                            Arc::clone(&gone).wake();
                        }
                        commit = Some(second);
                    }
                    eventually("the log is ended", LIMIT, || {
                        gone.wal.lock().expect("nobody panics").is_none()
                    });
                    eventually("the lock is free", LIMIT, || {
                        crate::common::try_open(&disk, &small(policy)).is_ok()
                    });
                    if let Some(commit) = commit {
                        commit.wait().expect("it is durable");
                    }
                    assert_eq!(contents(&open(&disk, &small(policy))).len(), 2);
                }
            }
        }
    });
}

#[test]
fn a_log_on_a_real_disk_is_opened_again_at_once_in_the_same_process() {
    within(LIMIT, || {
        let home = tempfile::tempdir().expect("a temporary directory");
        for background in [true, false] {
            let path = home.path().join(format!("log-{background}"));
            for round in 0..12_u64 {
                let wal = small(SyncPolicy::Immediate).background(background).open(&path).expect("the lock");
                assert_eq!(wal.written_end(), round * 4);
                for _ in 0..4 {
                    wal.append(&[1; 900]).expect("there is space");
                }
                let second = wal.clone();
                refused(small(SyncPolicy::Immediate).open(&path), ErrorKind::Locked);
                if round % 2 == 0 {
                    wal.close().expect("nothing fails");
                } else {
                    drop((wal, second));
                }
            }
        }
    });
}
