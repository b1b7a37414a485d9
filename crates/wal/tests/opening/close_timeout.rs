//! A close on a disk that does not answer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::gate::Gate;
use crate::common::seam::{Call, Seam};
use crate::common::{EVERY_POLICY, contents, fault, open, refused, small, try_open, within};
use wal::{ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, SyncLoss, Times};

const SHORT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(20);

/// A log of which such calls wait at the gate while it is shut.
fn gated(disk: &SimDisk, options: &Options, stops: fn(Call<'_>) -> bool) -> (Wal, Arc<Gate>) {
    let gate = Gate::new();
    let theirs = Arc::clone(&gate);
    let seam = Seam::new(disk.clone(), move |call| if stops(call) { theirs.pass() } else { Ok(()) });
    (options.open_in(seam).expect("nothing fails"), gate)
}

/// Waits until another writer gets the log.
#[track_caller]
fn reopened(disk: &SimDisk, options: &Options) -> Wal {
    let begun = Instant::now();
    loop {
        match try_open(disk, options) {
            Err(error) if error.kind() == ErrorKind::Locked && begun.elapsed() < LONG => {
                thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.expect("the close has ended"),
        }
    }
}

#[test]
fn a_close_on_a_disk_that_hangs_gives_up_says_what_is_durable_and_leaves_the_log_locked() {
    for background in [false, true] {
        for policy in EVERY_POLICY {
            let (disk, options) = (SimDisk::new(1), small(policy).background(background));
            let (wal, gate) = gated(&disk, &options, |call| matches!(call, Call::Sync { .. }));
            wal.append(b"one").expect("nothing fails");
            wal.sync().expect("nothing fails");
            let durable = wal.durable_end();
            let (kept, other) = (wal.clone(), wal.clone());
            gate.shut();
            // Under these policies nothing waits for the sync that hangs.
            if !policy.waits() {
                wal.append(b"two").expect("written");
            }
            let begun = Instant::now();
            let error = refused(within(LONG, move || wal.close_timeout(SHORT)), ErrorKind::TimedOut);
            assert!(begun.elapsed() >= SHORT);
            assert_eq!(error.durable_end(), Some(durable), "{policy:?}");
            assert!(
                error.to_string().contains(&format!("everything before entry {durable} is durable")),
                "{error}"
            );

            // Other handles are told, and to drop one waits for nothing.
            refused(kept.append(b"three"), ErrorKind::Closed);
            assert_eq!(kept.durable_end(), durable);
            within(LONG, move || drop(other));
            refused(within(LONG, move || kept.close_timeout(LONG)), ErrorKind::Closed);
            refused(try_open(&disk, &options), ErrorKind::Locked);

            gate.open();
            let next = reopened(&disk, &options);
            assert_eq!(contents(&next).len(), if policy.waits() { 1 } else { 2 }, "{policy:?}");
        }
    }
}

#[test]
fn a_close_while_an_append_hangs_gives_up_too_and_the_append_is_acknowledged_when_the_disk_answers() {
    let (disk, options) = (SimDisk::new(1), small(SyncPolicy::Immediate));
    let (wal, gate) = gated(&disk, &options, |call| matches!(call, Call::Sync { .. }));
    wal.append(b"one").expect("nothing fails");
    gate.shut();
    let appender = wal.clone();
    let appender = thread::spawn(move || appender.append(b"two"));
    gate.until_somebody_waits();
    let error = refused(within(LONG, move || wal.close_timeout(SHORT)), ErrorKind::TimedOut);
    assert_eq!(error.durable_end(), Some(1));
    gate.open();
    assert_eq!(appender.join().expect("no panic").expect("the close lets it end"), 1);
    assert_eq!(contents(&reopened(&disk, &options)), [b"one", b"two"]);
}

#[test]
fn a_close_that_waits_for_a_thread_alone_says_that_everything_is_durable() {
    let (disk, options) = (SimDisk::new(1), small(SyncPolicy::Immediate).background(true));
    let (wal, gate) = gated(&disk, &options, |call| call == Call::FreeBytes);
    wal.append(b"one").expect("nothing fails");
    // A probe makes the thread ask for the free space.
    gate.shut();
    assert!(wal.health().poisoned.is_none());
    gate.until_somebody_waits();
    let error = refused(within(LONG, move || wal.close_timeout(SHORT)), ErrorKind::TimedOut);
    assert_eq!(error.durable_end(), Some(1));
    gate.open();
    assert_eq!(contents(&reopened(&disk, &options)).len(), 1);
}

#[test]
fn within_its_limit_it_is_a_close() {
    for policy in EVERY_POLICY {
        let disk = SimDisk::new(1);
        let options = small(policy).background(true);
        let wal = open(&disk, &options);
        wal.append(b"one").expect("nothing fails");
        wal.close_timeout(LONG).expect("nothing hangs");
        let wal = open(&disk, &options);
        assert_eq!(wal.recovery().to_string(), "closed; entries 0 to before 1 in 1 segments");

        wal.append(b"two").expect("nothing fails");
        disk.fail(fault(
            CallKind::SyncFile,
            0,
            Times::Forever,
            FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld),
        ));
        // Where the entry is durable already, the anchor alone is synced.
        refused(wal.close_timeout(LONG), if policy.waits() { ErrorKind::Io } else { ErrorKind::Poisoned });
    }
}
