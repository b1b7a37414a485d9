//! The buffer of a frame is used again: nothing of what failed is in what comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{EVERY_POLICY, HALF, contents, enospc, every_setup, fault, open, refused, small, within};
use wal::{Durability, ErrorKind, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const LIMIT: Duration = Duration::from_secs(30);

fn buffering() -> [SyncPolicy; 2] {
    [SyncPolicy::None, EVERY_POLICY[2]]
}

/// Where frames begin; in front of it stand the headers, which a thread may write beside them. (It may
/// write zeros, too, unless the log is opened without.)
const FRAMES: u64 = 8192;

/// A log of which a number of writes to segments fail, from this offset on.
fn failing_writes(options: &wal::Options, from: u64) -> (SimDisk, Wal, Arc<AtomicU64>) {
    let disk = SimDisk::new(1);
    let fails = Arc::new(AtomicU64::new(0));
    let left = Arc::clone(&fails);
    let seam = Seam::new(disk.clone(), move |call| match call {
        Call::Write { name, offset, .. } if name.ends_with(".wal") && offset >= from => {
            let failed = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if failed.is_ok() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
        _ => Ok(()),
    });
    let wal = options.open_in(seam).expect("nothing is written");
    (disk, wal, fails)
}

/// An append, a batch, a submitted entry or a submitted batch that fails.
fn fails(wal: &Wal, turn: u64) {
    let lost = b"lost ".repeat(100);
    let failed = match turn % 4 {
        0 => wal.append(&lost).map(drop),
        1 => wal.append_batch([&lost[..], b"lost", &lost]).map(drop),
        2 => wal.submit_with(&lost, Durability::Durable).and_then(|commit| commit.wait()).map(drop),
        _ => wal.submit_batch([&lost[..], b"lost"]).and_then(|commit| commit.wait()).map(drop),
    };
    refused(failed, ErrorKind::NoSpace);
}

// pebble#3865: the buffer of a record was not reset when its write had failed. The next record was written
// behind the bytes of the failed one. Replay then found an entry that its caller had been told was lost.
#[test]
fn nothing_of_a_failed_write_is_in_the_next_one() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for segment_bytes in [crate::common::SMALL, 1 << 20] {
                let options =
                    small(policy).segment_bytes(segment_bytes).background(background).zero_ahead(false);
                let (disk, wal, failing) = failing_writes(&options, FRAMES);
                let mut kept = Vec::new();
                for turn in 0..40_u64 {
                    if turn % 3 == 1 {
                        failing.store(1 + turn % 2, Ordering::SeqCst);
                        fails(&wal, turn / 3);
                        // With a fault left over, what comes next fails as well.
                        failing.store(0, Ordering::SeqCst);
                    }
                    let payload = payload(turn, 10 + usize::try_from(turn).expect("few") * 20);
                    assert_eq!(wal.append(&payload).expect("the fault is over"), turn);
                    kept.push(payload);
                }
                assert!(contents(&wal) == kept, "{policy:?}, threads: {background}");
                drop(wal);
                assert!(contents(&open(&disk.kill(), &options)) == kept, "{policy:?}, threads: {background}");
            }
        }
    });
}

#[test]
fn nothing_of_a_failed_rollover_is_in_the_next_segment() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            // SEAL, headers of the next segment, LINK with the first frame.
            for writes in 1..5 {
                let options = small(policy).background(background);
                let (disk, wal, failing) = failing_writes(&options, 0);
                let mut kept = Vec::new();
                for turn in 0..9 {
                    if turn % 2 == 0 {
                        failing.store(writes, Ordering::SeqCst);
                    }
                    let payload = payload(turn, HALF);
                    while wal.append(&payload).is_err() {}
                    kept.push(payload);
                }
                failing.store(0, Ordering::SeqCst);
                assert!(contents(&wal) == kept, "{policy:?}, threads: {background}, {writes} writes");
                wal.close().expect("nothing fails");
                assert!(contents(&open(&disk.kill(), &options)) == kept, "{policy:?}, {writes} writes");
            }
        }
    });
}

// In a buffered log the callers of what has gathered have gone on: it is kept, under its numbers, and
// written once.
#[test]
fn what_has_gathered_survives_a_failed_write_and_is_written_once_and_in_order() {
    within(LIMIT, || {
        for policy in buffering() {
            for background in [false, true] {
                for stored in [0, 20, 200, 4000] {
                    let what = format!("{policy:?}, threads: {background}, {stored} bytes stored");
                    let slow = match policy {
                        SyncPolicy::Periodic { .. } => SyncPolicy::periodic(1_000, Duration::from_secs(60)),
                        policy => policy,
                    };
                    let options = small(slow).segment_bytes(1 << 20).background(background).buffered(1 << 20);
                    let disk = SimDisk::new(1);
                    let wal = open(&disk, &options);
                    let payloads: Vec<_> = (0..60).map(|number| payload(number, 100)).collect();
                    let mut refusals = 0;
                    for (number, payload) in (0..).zip(&payloads) {
                        if number % 20 == 10 {
                            let effect = FaultEffect::PartialThenError(stored, enospc());
                            disk.fail(fault(CallKind::Write, 0, Times::Once, effect));
                            refused(wal.flush(), ErrorKind::NoSpace);
                            disk.heal();
                            refusals += 1;
                        }
                        assert_eq!(wal.append(payload).expect("it gathers"), number, "{what}");
                    }
                    assert_eq!(refusals, 3);
                    wal.flush().expect("the fault is over");
                    assert_eq!(wal.written_end(), 60, "{what}");
                    assert!(contents(&wal) == payloads, "{what}");
                    let killed = disk.kill();
                    wal.close().expect("nothing fails");
                    assert!(contents(&open(&killed, &small(slow))) == payloads, "{what}");
                    assert!(contents(&open(&disk, &small(slow))) == payloads, "{what}");
                }
            }
        }
    });
}

#[test]
fn a_buffered_log_that_cannot_write_says_so_at_each_call_and_keeps_what_it_took() {
    within(LIMIT, || {
        for background in [false, true] {
            let options = small(SyncPolicy::None).segment_bytes(1 << 20).background(background);
            let (disk, wal, failing) = failing_writes(&options.clone().buffered(1000), FRAMES);
            let mut taken = Vec::new();
            failing.store(u64::MAX, Ordering::SeqCst);
            for number in 0..200 {
                let payload = payload(number, 100);
                match wal.append(&payload) {
                    Ok(number) => {
                        assert_eq!(number, taken.len() as u64);
                        taken.push(payload);
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
                }
            }
            assert!(taken.len() < 20, "{} entries gathered in a buffer of ten", taken.len());
            refused(wal.flush(), ErrorKind::NoSpace);
            refused(wal.sync(), ErrorKind::NoSpace);
            assert_eq!((wal.written_end(), wal.durable_end()), (0, 0));
            failing.store(0, Ordering::SeqCst);
            wal.sync().expect("there is space again");
            assert_eq!(wal.durable_end(), taken.len() as u64);
            assert!(contents(&wal) == taken);
            drop(wal);
            assert!(contents(&open(&disk.power_cut_losing_everything(), &options)) == taken);
        }
    });
}

#[test]
fn an_entry_whose_promise_could_not_be_kept_by_a_buffered_log_is_there_once_or_not_at_all() {
    within(LIMIT, || {
        for background in [false, true] {
            let options = small(SyncPolicy::None).segment_bytes(1 << 20).background(background);
            let (disk, wal, failing) = failing_writes(&options.clone().buffered(1 << 20), FRAMES);
            wal.append(b"gathers").expect("it gathers");
            for durability in [Durability::Written, Durability::Durable] {
                failing.store(1, Ordering::SeqCst);
                refused(wal.append_with(b"in doubt", durability), ErrorKind::NoSpace);
                failing.store(0, Ordering::SeqCst);
                wal.append(b"kept").expect("it gathers");
            }
            wal.close().expect("nothing fails");
            let shown = contents(&open(&disk.kill(), &options));
            let certain: Vec<_> = shown.iter().filter(|payload| payload.as_slice() != b"in doubt").collect();
            assert_eq!(certain, [&b"gathers"[..], b"kept", b"kept"]);
            assert!(shown.len() <= 5, "{shown:?}");
        }
    });
}
