//! Opens on a system that does not drop its cache when it is asked: a kernel without the advice, a sandbox, macOS.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::bytes::{frames, linked};
use crate::common::seam::{Call, Seam};
use crate::common::{HALF, LOSSES, Ledger, POLICIES, contents, fault, open, small};
use wal::{Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, SyncLoss, Times};
use wal_segment::io::{Access, Directory, Residency};

/// The disk under such a system, which has room for something else in its cache at the read with this number: from
/// there on what is read is what the device holds.
fn kept(disk: &SimDisk, evicted_at: u64) -> (Arc<Seam>, Arc<AtomicU64>) {
    let reads = Arc::new(AtomicU64::new(0));
    let (counted, evicted) = (Arc::clone(&reads), disk.clone());
    let seam = Seam::new(disk.clone(), move |call| match call {
        Call::DropCache => Err(io::ErrorKind::Unsupported.into()),
        Call::Read { .. } if counted.fetch_add(1, Ordering::SeqCst) == evicted_at => {
            for listed in evicted.list().expect("it is there") {
                evicted.open(&listed.name, Access::Read).expect("listed").drop_cache().expect("simulated");
            }
            Ok(())
        }
        _ => Ok(()),
    });
    (seam, reads)
}

const NEVER: u64 = u64::MAX;

/// A log that a failed sync has poisoned, with the process that had it gone and the cache as it was.
fn poisoned(options: &Options, ledger: &mut Ledger, nth: u64, loss: SyncLoss) -> SimDisk {
    let disk = SimDisk::new(nth);
    let wal = open(&disk, options);
    disk.fail(fault(CallKind::SyncFile, nth, Times::Once, FaultEffect::SyncLoss(loss)));
    live(&wal, ledger).ok();
    drop(wal);
    disk.kill()
}

fn live(wal: &Wal, ledger: &mut Ledger) -> Result<(), wal::Error> {
    for bytes in [10, HALF, 2 * HALF, 20, 20_000, 30] {
        ledger.append(wal, bytes)?;
        ledger.sync(wal)?;
    }
    wal.truncate_before(3)?;
    ledger.append(wal, 10).map(drop)
}

// The open dropped the cache or failed: where the system refused the advice, no log could be opened for writing a second
// time.
#[test]
fn what_an_open_shows_is_on_the_device_although_the_cache_was_not_dropped() {
    for policy in POLICIES {
        for loss in LOSSES.into_iter().filter(|loss| *loss != SyncLoss::ReportedLate) {
            let mut rewritten = 0;
            for nth in 0..24 {
                let options = small(policy);
                let count_reads = || {
                    let (seam, reads) = kept(&poisoned(&options, &mut Ledger::new(policy), nth, loss), NEVER);
                    options.open_in(seam).expect("the end can be settled");
                    reads.load(Ordering::SeqCst)
                };
                for evicted_at in (0..=count_reads()).step_by(2) {
                    let what = || format!("{policy:?}, {loss:?} at sync {nth}, evicted at read {evicted_at}");
                    let mut ledger = Ledger::new(policy);
                    let disk = poisoned(&options, &mut ledger, nth, loss);
                    let (seam, _) = kept(&disk, evicted_at);
                    let wal = options.open_in(seam).unwrap_or_else(|error| panic!("{}: {error}", what()));
                    let recovery = wal.recovery().clone();
                    assert_eq!(recovery.residency, Residency::Unknown);
                    rewritten += recovery.rewritten_bytes;
                    let (first, shown) = (wal.first(), contents(&wal));
                    // Nothing of what it shows is in the cache alone.
                    let cold = open(&disk.power_cut_losing_everything(), &options);
                    assert_eq!((cold.first(), contents(&cold)), (first, shown.clone()), "{}", what());
                    if first == 0 {
                        ledger
                            .check_power_cut(&shown)
                            .unwrap_or_else(|broken| panic!("{}: {broken}", what()));
                    }
                }
            }
            assert!(rewritten > 0, "{policy:?}, {loss:?}");
        }
    }
}

#[test]
fn what_is_stated_to_be_durable_is_not_written_again() {
    let disk = SimDisk::new(1);
    let options = small(SyncPolicy::None);
    let wal = options.open_in(kept(&disk, NEVER).0).expect("a new log");
    for _ in 0..3 {
        wal.append(&[1; HALF]).expect("nothing fails");
    }
    wal.close().expect("nothing fails");
    let anchor_bytes = disk.contents("ANCHOR").expect("it is there").len() as u64;
    let reopened = options.open_in(kept(&disk, NEVER).0).expect("a log");
    let last = frames(&disk.contents(&linked(&disk).pop().expect("a segment")).expect("it is there")).pop();
    let seal_bytes = last.map_or(0, |seal| (seal.end - seal.offset) as u64);
    let rewritten = reopened.recovery().rewritten_bytes;
    assert_eq!(
        rewritten,
        anchor_bytes + seal_bytes,
        "a closed log: its anchor, and the SEAL that it does not vouch for"
    );
    reopened.append(&[2; HALF]).expect("nothing fails");
    drop(reopened);
    let next = options.open_in(kept(&disk.kill(), NEVER).0).expect("a log");
    assert_eq!(contents(&next).len(), 4);
}

// A truncation wrote its new front into both slots of the anchor, and the second sync failed: in the cache both have it, on
// the device one. An open that believed the cache removed what lies before the front. Then the slot that had it was
// damaged, and the other one named entries that were gone.
#[test]
fn the_anchor_is_on_the_device_before_an_open_goes_by_it() {
    let options = small(SyncPolicy::Immediate);
    let mut cut = 0;
    for nth in 0..6 {
        let disk = SimDisk::new(nth);
        let wal = open(&disk, &options);
        for _ in 0..8 {
            wal.append(&[1; HALF]).expect("nothing fails");
        }
        disk.fail(fault(
            CallKind::SyncFile,
            nth,
            Times::Once,
            FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld),
        ));
        let truncated = wal.truncate_before(5);
        drop(wal);
        if truncated.is_ok() {
            continue;
        }
        let disk = disk.kill();
        let wal = options.open_in(kept(&disk, NEVER).0).expect("the end can be settled");
        let first = wal.first();
        cut += u64::from(first > 0);
        let slot_bytes = disk.contents("ANCHOR").expect("it is there").len() / 2;
        for slot in 0..2 {
            let cold = disk.power_cut_losing_everything();
            assert!(cold.damage("ANCHOR", |bytes| bytes[slot * slot_bytes..][..slot_bytes].fill(0x77)));
            let reopened = open(&cold, &options);
            assert_eq!(reopened.first(), first, "sync {nth} failed, slot {slot} is damaged");
        }
    }
    assert!(cut > 0, "no sync of the anchor failed");
}
