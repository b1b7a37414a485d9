//! The rollover callback runs under no lock and no turn, in order, and what goes wrong in it stays in it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use common::{HALF, open, small, try_open, within};
use wal::{ErrorKind, Options, Rollover, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// A log whose callback is given a handle of it.
fn calling(
    disk: &SimDisk,
    options: Options,
    call: impl Fn(&Wal, &Rollover) + Send + Sync + 'static,
) -> (Wal, Arc<OnceLock<Wal>>) {
    let handle: Arc<OnceLock<Wal>> = Arc::new(OnceLock::new());
    let given = Arc::clone(&handle);
    let options = options.on_rollover(move |rollover| {
        if let Some(wal) = given.get() {
            call(wal, rollover);
        }
    });
    let wal = open(disk, &options);
    assert!(handle.set(wal.clone()).is_ok());
    (wal, handle)
}

// In a log written in Go the callback ran under the writer's lock. One that appended waited for itself, and
// everybody else for it.
#[test]
fn a_callback_may_append_submit_sync_and_read() {
    within(LIMIT, || {
        for background in [false, true] {
            for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
                let told = Arc::new(Mutex::new(Vec::new()));
                let noted = Arc::clone(&told);
                let disk = SimDisk::new(1);
                let (wal, _handle) =
                    calling(&disk, small(policy).background(background), move |wal, rollover| {
                        if noted.lock().expect("no panic").len() >= 3 {
                            return;
                        }
                        wal.append(b"from the callback").expect("nothing fails");
                        wal.submit(b"and this").expect("nothing fails").wait().expect("nothing fails");
                        wal.sync().expect("nothing fails");
                        assert!(wal.read_from(0).expect("the log is open").next().is_some());
                        noted.lock().expect("no panic").push(*rollover);
                    });
                for number in 0..8 {
                    wal.append(&[number; HALF]).expect("nothing fails");
                }
                // With threads the callback runs when it runs; behind a close its appends would be refused.
                while told.lock().expect("no panic").len() < 3 {
                    thread::yield_now();
                }
                wal.sync().expect("nothing fails");
                let told = told.lock().expect("no panic");
                assert!(told.len() >= 3, "{policy:?}, threads: {background}: {told:?}");
                assert!(told.is_sorted_by_key(|rollover| (rollover.to, rollover.first)), "{told:?}");
                assert!(told.iter().all(|rollover| rollover.from.is_none_or(|from| from < rollover.to)));
            }
        }
    });
}

#[test]
fn a_panic_in_the_callback_changes_nothing() {
    within(LIMIT, || {
        for background in [false, true] {
            let disk = SimDisk::new(1);
            let options = small(SyncPolicy::Immediate).background(background);
            let options = options.on_rollover(|_| panic!("in the callback, on purpose"));
            let wal = open(&disk, &options);
            for number in 0..8 {
                assert_eq!(wal.append(&[1; HALF]).expect("the log goes on"), number);
            }
            wal.close().expect("nothing fails");
        }
    });
}

#[test]
fn a_callback_may_close_the_log() {
    within(LIMIT, || {
        for background in [false, true] {
            let disk = SimDisk::new(1);
            let (wal, handle) = calling(&disk, small(SyncPolicy::None).background(background), |wal, _| {
                // The second time it is closed already.
                wal.clone().close().ok();
            });
            let mut appended = 0;
            let refused = loop {
                match wal.append(&[1; HALF]) {
                    Ok(_) => appended += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(refused.kind(), ErrorKind::Closed);
            drop((wal, handle));
            // The callback's close may still be at it, on its own thread.
            let wal = loop {
                match try_open(&disk, &small(SyncPolicy::None)) {
                    Err(error) if error.kind() == ErrorKind::Locked => thread::yield_now(),
                    opened => break opened.expect("a log that was closed"),
                }
            };
            assert_eq!(wal.written(), appended, "threads: {background}");
        }
    });
}
