//! After a failed sync nobody is told that anything became durable, and nobody waits for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::seam::{Call, Seam};
use crate::common::{
    HALF, LOSSES, Ledger, POLICIES, contents, eio, fault, open, read, refused, small, try_open, within,
};
use wal::{Error, ErrorKind, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, SyncLoss, Times};

const LIMIT: Duration = Duration::from_secs(20);

fn losing(nth: u64, loss: SyncLoss) -> wal_segment::io::sim::Fault {
    fault(CallKind::SyncFile, nth, Times::Once, FaultEffect::SyncLoss(loss))
}

#[track_caller]
fn refuses_everything(wal: Wal) {
    refused(wal.append(b"after"), ErrorKind::Poisoned);
    refused(wal.append_batch([b"after", b"after"]), ErrorKind::Poisoned);
    refused(wal.append_batch(&[] as &[&[u8]]), ErrorKind::Poisoned);
    refused(wal.sync(), ErrorKind::Poisoned);
    refused(wal.append(&[7; HALF]), ErrorKind::Poisoned);
    refused(wal.sync(), ErrorKind::Poisoned);
    refused(wal.close(), ErrorKind::Poisoned);
}

/// The first error of a life, and the log unless it was closed.
type Stopped = Box<(Option<Wal>, Error)>;

/// Every kind of call that syncs; stops at the first error.
fn life(wal: Wal, ledger: &mut Ledger) -> Result<(), Stopped> {
    for bytes in [10, HALF, HALF, HALF, 20, 20_000, 30] {
        if let Err(error) = ledger.append(&wal, bytes) {
            return Err(Box::new((Some(wal), error)));
        }
        if bytes < HALF
            && let Err(error) = ledger.sync(&wal)
        {
            return Err(Box::new((Some(wal), error)));
        }
    }
    ledger.close(wal).map_err(|error| Box::new((None, error)))
}

// redb#312, turso#3077, neon#9108 and raft-engine#131 retried a failed fsync, and the second one said Ok.
// Linux had marked the pages clean and dropped the error, so the bytes were never written. The caller was
// told that they were durable.
#[test]
fn after_a_failed_sync_every_later_call_is_refused_and_the_disk_decides() {
    for policy in POLICIES {
        for loss in LOSSES {
            let mut poisoned = 0;
            for nth in 0..40 {
                let disk = SimDisk::new(nth);
                let mut ledger = Ledger::new(policy);
                let wal = open(&disk, &small(policy));
                disk.fail(losing(nth, loss));
                match life(wal, &mut ledger).map_err(|stopped| *stopped) {
                    Err((Some(wal), error)) if error.kind() == ErrorKind::Poisoned => {
                        poisoned += 1;
                        let (durable, syncs) = (wal.durable_end(), disk.calls(CallKind::SyncFile));
                        assert!(durable <= ledger.entries().len() as u64);
                        refuses_everything(wal);
                        assert_eq!(disk.calls(CallKind::SyncFile), syncs, "a sync was tried again");
                    }
                    Err((Some(wal), error)) => {
                        // A segment that could not be prepared costs this append and nothing else.
                        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                        ledger.append(&wal, 10).expect("the fault is over");
                        ledger.close(wal).expect("the fault is over");
                    }
                    Err((None, _)) => poisoned += 1,
                    Ok(()) => {}
                }
                if loss == SyncLoss::ReportedLate {
                    continue; // A sync that lied before is beyond every promise.
                }
                // On a warm cache, as after a restart of the process alone.
                let warm = disk.kill();
                let shown = contents(&open(&warm, &small(policy)));
                if let Err(broken) = ledger.check_power_cut(&shown) {
                    panic!("{policy:?}, {loss:?} at sync {nth}: {broken}");
                }
                // And what it showed was on the device.
                let cold = open(&warm.power_cut_losing_everything(), &small(policy));
                assert_eq!(contents(&cold), shown, "{policy:?}, {loss:?} at sync {nth}");
            }
            assert!(poisoned > 4, "{policy:?}, {loss:?}: {poisoned}");
        }
    }
}

// fjall#304 and #308: a write or sync failed, a later one succeeded, and the entries in between were
// reported as stored.
#[test]
fn a_sync_that_failed_once_is_not_forgotten_by_the_next_one() {
    for loss in LOSSES {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::None));
        wal.append(b"first").expect("nothing fails");
        disk.fail(losing(0, loss));
        if loss == SyncLoss::ReportedLate {
            wal.sync().expect("this one lies");
            wal.append(b"second").expect("nothing is synced");
        }
        let durable = wal.durable_end();
        refused(wal.sync(), ErrorKind::Poisoned);
        disk.heal();
        assert_eq!(wal.durable_end(), durable);
        refuses_everything(wal);
    }
}

#[test]
fn a_sync_that_fails_at_a_rollover_poisons_the_log() {
    for policy in POLICIES {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        wal.append(&[1; HALF]).expect("nothing fails");
        wal.append(&[2; HALF]).expect("nothing fails");
        disk.fail(losing(0, SyncLoss::CacheNewDiskOld));
        let error = refused(wal.append(&[3; HALF]), ErrorKind::Poisoned);
        assert!(error.to_string().contains("00000000000000000001.wal"), "{error}");
        refuses_everything(wal);
        let shown = contents(&open(&disk.kill(), &small(policy)));
        assert_eq!(shown.len(), if policy.waits() { 2 } else { 0 });
    }
}

#[test]
fn a_sync_that_fails_at_close_is_told_to_whoever_closes() {
    for policy in POLICIES {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        wal.append(b"entry").expect("nothing fails");
        disk.fail(losing(0, SyncLoss::CacheNewDiskOld));
        // Where the entry is durable already, the anchor alone is synced.
        refused(wal.close(), if policy.waits() { ErrorKind::Io } else { ErrorKind::Poisoned });
        let shown = contents(&open(&disk.kill(), &small(policy)));
        assert_eq!(shown.len(), usize::from(policy.waits()), "what was acknowledged before is there");
    }
}

// Measured on ext4, xfs and btrfs: after a failed fsync the page cache shows the new bytes and the device
// has the old ones. A process that restarts at once reads entries that a power cut takes away again.
#[test]
fn a_warm_restart_after_a_failed_sync_shows_only_what_the_device_has() {
    let options = small(SyncPolicy::Immediate);
    let disk = SimDisk::new(1);
    let wal = open(&disk, &options);
    wal.append(b"durable").expect("nothing fails");
    disk.fail(losing(0, SyncLoss::CacheNewDiskOld));
    refused(wal.append(b"in the cache alone"), ErrorKind::Poisoned);
    drop(wal);

    let name = crate::common::bytes::segment_name(1);
    let holds = |bytes: Option<Vec<u8>>| {
        bytes.is_some_and(|bytes| bytes.windows(18).any(|found| found == b"in the cache alone"))
    };
    assert!(holds(disk.contents(&name)), "the simulated cache has it, or this test shows nothing");
    assert!(!holds(disk.durable_contents(&name)));

    let warm = disk.kill();
    let wal = open(&warm, &options);
    assert_eq!(contents(&wal), [b"durable"]);
    assert_eq!(wal.append(b"later").expect("nothing fails"), 1, "the number is used again");
    drop(wal);
    let cold = open(&warm.power_cut_losing_everything(), &options);
    assert_eq!(contents(&cold), [b"durable".as_slice(), b"later"]);
}

/// Appends on eight threads until the log is poisoned. Returns what was acknowledged by those that did not
/// panic, and how many did.
fn append_until_poisoned(wal: &Arc<Wal>) -> (Vec<(u64, Vec<u8>)>, usize) {
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let wal = Arc::clone(wal);
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for turn in 0..200 {
                    let payload = crate::common::ledger::payload(thread * 1000 + turn, 150);
                    match wal.append(&payload) {
                        Ok(number) => acknowledged.push((number, payload)),
                        Err(error) if error.kind() == ErrorKind::Poisoned => break,
                        // A segment that cannot be prepared costs this append alone.
                        Err(_) => {}
                    }
                }
                acknowledged
            })
        })
        .collect();
    let ended: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    let panicked = ended.iter().filter(|ended| ended.is_err()).count();
    (ended.into_iter().flatten().flatten().collect(), panicked)
}

#[track_caller]
fn holds_all(shown: &[Vec<u8>], acknowledged: &[(u64, Vec<u8>)]) {
    for (number, payload) in acknowledged {
        let found = usize::try_from(*number).ok().and_then(|number| shown.get(number));
        assert_eq!(found, Some(payload), "acknowledged entry {number} of {}", shown.len());
    }
}

// In okaywal, and in a log written in Go, the thread that synced for the others returned early on an
// error. Those who waited for its sync were never woken.
#[test]
fn a_failed_sync_leaves_no_appender_asleep() {
    within(LIMIT * 2, || {
        for loss in LOSSES {
            for nth in [0, 1, 2, 5, 17, 40] {
                let disk = SimDisk::new(nth);
                let wal = Arc::new(open(&disk, &small(SyncPolicy::Immediate)));
                // The first syncs prepare the first segment; a failure there is no reason to stop.
                wal.append(b"first").expect("nothing fails");
                disk.fail(fault(CallKind::SyncFile, nth, Times::Forever, FaultEffect::SyncLoss(loss)));
                let (acknowledged, panicked) = append_until_poisoned(&wal);
                assert_eq!(panicked, 0);
                // Where no segment could be prepared, nothing was ever waiting for a sync.
                match wal.sync() {
                    Ok(()) => assert_eq!(wal.durable_end(), wal.written_end()),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Poisoned),
                }
                drop(wal);
                if loss != SyncLoss::ReportedLate {
                    holds_all(&contents(&open(&disk.kill(), &small(SyncPolicy::Immediate))), &acknowledged);
                }
            }
        }
    });
}

#[test]
fn a_panic_under_a_write_or_a_sync_leaves_no_appender_asleep_and_poisons_the_log() {
    for panics_in_write in [true, false] {
        for nth in [1, 2, 7, 30] {
            let (disk, acknowledged) = within(LIMIT, move || {
                let disk = SimDisk::new(nth);
                let calls = AtomicU64::new(0);
                let armed = Arc::new(AtomicBool::new(false));
                let is_armed = Arc::clone(&armed);
                let seam = Seam::new(disk.clone(), move |call| {
                    let struck = match call {
                        Call::Write { .. } => panics_in_write,
                        Call::Sync { .. } => !panics_in_write,
                        _ => false,
                    };
                    if struck && is_armed.load(Ordering::SeqCst) {
                        // Also of the calls after that: a panic in the preparation of a segment costs one append.
                        let before = calls.fetch_add(1, Ordering::SeqCst);
                        assert!(before < nth, "a panic below the log, on purpose");
                    }
                    Ok(())
                });
                let options = small(SyncPolicy::Immediate);
                let wal = Arc::new(options.open_in(seam).expect("nothing fails"));
                wal.append(b"first").expect("nothing fails");
                armed.store(true, Ordering::SeqCst);
                let (acknowledged, panicked) = append_until_poisoned(&wal);
                assert_eq!(panicked, 1, "the seam panics once");
                let what = if panics_in_write { "write" } else { "sync" };
                for call in [wal.append(b"after"), wal.sync().map(|()| 0)] {
                    let kind = call.map_err(|error| error.kind());
                    assert_eq!(kind, Err(ErrorKind::Poisoned), "after a panic under {what} {nth}");
                }
                drop(wal);
                (disk, acknowledged)
            });
            let shown = contents(&open(&disk.power_cut_losing_everything(), &small(SyncPolicy::Immediate)));
            holds_all(&shown, &acknowledged);
        }
    }
}

#[test]
fn a_panic_under_a_lone_append_or_sync_poisons_the_log() {
    for panics_in_write in [true, false] {
        let disk = SimDisk::new(1);
        let armed = Arc::new(AtomicBool::new(false));
        let is_armed = Arc::clone(&armed);
        let seam = Seam::new(disk.clone(), move |call| {
            let struck = match call {
                Call::Write { .. } => panics_in_write,
                Call::Sync { .. } => !panics_in_write,
                _ => false,
            };
            assert!(!(struck && is_armed.swap(false, Ordering::SeqCst)), "a panic below the log, on purpose");
            Ok(())
        });
        let wal = small(SyncPolicy::Immediate).open_in(seam).expect("nothing fails");
        wal.append(b"first").expect("nothing fails");
        armed.store(true, Ordering::SeqCst);
        let panicked = catch_unwind(AssertUnwindSafe(|| wal.append(b"second").map(|_| ())));
        assert!(panicked.is_err(), "the seam panicked");
        refuses_everything(wal);
    }
}

// One thread syncs a segment and the sync fails. Before it can say so, another one fills the segment and
// syncs it to close it: the system has told its error already and says Ok. What the first sync lost is
// then called durable, in the watermark and in the anchor, and the next open reports damage.
#[test]
fn a_rollover_never_syncs_again_what_another_thread_is_failing_to_sync() {
    // Large enough that the SEAL is in another block than what was lost.
    const SEGMENT: u64 = 32 << 10;
    let options = small(SyncPolicy::None).segment_bytes(SEGMENT);
    let (disk, rolled, durable) = within(LIMIT, || {
        let disk = SimDisk::new(1);
        let name = crate::common::bytes::segment_name(1);
        let armed = Arc::new(AtomicBool::new(false));
        // 0: no sync has failed, 1: one has and is on its way back, 2: the other thread is done.
        let stage = Arc::new((Mutex::new(0), Condvar::new()));
        let seam = {
            let (armed, stage) = (Arc::clone(&armed), Arc::clone(&stage));
            Seam::new(disk.clone(), move |call| {
                if call == (Call::Synced { name: &name, ok: false }) && armed.swap(false, Ordering::SeqCst) {
                    let (turn, moved) = &*stage;
                    let mut turn = turn.lock().expect("nobody panics");
                    *turn = 1;
                    moved.notify_all();
                    // A log that makes the other thread wait does not get to stage 2: go on all the same.
                    drop(moved.wait_timeout_while(turn, Duration::from_millis(500), |turn| *turn < 2));
                }
                Ok(())
            })
        };
        let options = small(SyncPolicy::None).segment_bytes(SEGMENT);
        let wal = Arc::new(options.open_in(seam).expect("nothing fails"));
        wal.append(b"durable").expect("nothing fails");
        wal.sync().expect("nothing fails");
        assert_eq!(wal.durable_end(), 1);
        for number in 1..=8 {
            wal.append(&[number; 3000]).expect("nothing fails");
        }
        armed.store(true, Ordering::SeqCst);
        disk.fail(losing(0, SyncLoss::CacheNewDiskOld));
        let failing = {
            let wal = Arc::clone(&wal);
            thread::spawn(move || wal.sync().map_err(|error| error.kind()))
        };
        let (turn, moved) = &*stage;
        drop(moved.wait_while(turn.lock().expect("nobody panics"), |turn| *turn < 1).expect("nobody panics"));
        // Does not fit: the segment is closed.
        let rolled = wal.append(&[9; 3000]).map_err(|error| error.kind());
        *turn.lock().expect("nobody panics") = 2;
        moved.notify_all();
        assert_eq!(failing.join().expect("no panic"), Err(ErrorKind::Poisoned));
        (disk, rolled, wal.durable_end())
    });
    let said = format!("the rollover said {rolled:?}, the watermark {durable}");
    let warm = disk.kill();
    let cold = disk.power_cut_losing_everything();
    for (restart, disk) in [("cold", cold), ("warm", warm.clone()), ("warm, then cold", warm)] {
        let disk = if restart == "warm, then cold" { disk.power_cut_losing_everything() } else { disk };
        let opened = try_open(&disk, &options);
        match opened.map(|wal| read(wal.range(..).expect("the log is open"))) {
            Ok((shown, None)) => {
                assert!(shown.len() as u64 >= durable, "{restart}: {} entries; {said}", shown.len());
            }
            Ok((_, Some(error))) | Err(error) => {
                panic!("{restart}: a failed sync became damage: {error}; {said}")
            }
        }
    }
    assert_eq!(rolled, Err(ErrorKind::Poisoned));
    assert_eq!(durable, 1);
}

#[test]
fn a_failed_sync_that_left_everything_pending_is_told_once_and_for_all() {
    // The error comes before anything was tried, so the bytes may all arrive: still nobody may rely on it.
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    wal.append(b"first").expect("nothing fails");
    disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::Error(eio())));
    refused(wal.append(b"second"), ErrorKind::Poisoned);
    refuses_everything(wal);
    let shown = contents(&open(&disk.kill(), &small(SyncPolicy::Immediate)));
    assert_eq!(shown, [b"first".as_slice(), b"second"], "neither lost nor invented");
}
