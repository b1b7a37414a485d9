//! A crash inside recovery, and inside the recovery from that, changes nothing that a later open decides.

use crate::common::{HALF, Ledger, POLICIES, contents, enospc, fault, open, small, try_open};
use wal::{Options, SyncPolicy};
use wal_segment::io::sim::{CallKind, CrashModel, FaultEffect, SimDisk, Times};

const FIRST: CrashModel = CrashModel { exhaustive_up_to: 8, random: 3, tearing: 2, garbage: 1 };
const NESTED: CrashModel = CrashModel { exhaustive_up_to: 4, random: 1, tearing: 1, garbage: 0 };

/// Something of everything: rollovers, a failed write with its cut, a batch, a close.
fn life(disk: &SimDisk, options: &Options, ledger: &mut Ledger) -> Result<(), wal::Error> {
    let wal = try_open(disk, options)?;
    ledger.append(&wal, 30)?;
    ledger.append(&wal, HALF)?;
    let effect = FaultEffect::PartialThenError(45, enospc());
    disk.fail(fault(CallKind::Write, 0, Times::Once, effect));
    if ledger.append(&wal, 30).is_err() && disk.crashed() {
        return Ok(());
    }
    disk.heal();
    ledger.append(&wal, 30)?;
    ledger.batch(&wal, &[HALF, 0, 10])?;
    ledger.append(&wal, HALF)?;
    ledger.append(&wal, 5000)?;
    ledger.close(wal)
}

/// Opens, checks, appends twice so that a LINK or a cut is published; cut at `operation`. Returns whether
/// it ran to its end.
fn recover(disk: &SimDisk, options: &Options, ledger: &mut Ledger, operation: u64) -> bool {
    disk.crash_at(operation);
    let Ok(wal) = try_open(disk, options) else {
        assert!(disk.crashed(), "a crash alone always opens\n{}", disk.origin());
        return false;
    };
    let Ok(entries) = wal.range(..) else { return false };
    let Ok(shown) =
        entries.map(|entry| Ok(entry?.payload().to_vec())).collect::<Result<Vec<_>, wal::Error>>()
    else {
        assert!(disk.crashed());
        return false;
    };
    if let Err(broken) = ledger.check_power_cut(&shown) {
        panic!("{broken}\n{}", disk.origin());
    }
    ledger.adopt(&shown);
    ledger.append(&wal, 40).is_ok() && ledger.append(&wal, HALF).is_ok() && ledger.close(wal).is_ok()
}

/// Crashes the recovery of `image` at every operation, and so on, `depth` times; then it must open.
fn crash_again(image: &SimDisk, options: &Options, ledger: &Ledger, depth: usize) -> u64 {
    if depth == 0 {
        let shown = contents(&open(image, options));
        if let Err(broken) = ledger.check_power_cut(&shown) {
            panic!("{broken}\n{}", image.origin());
        }
        return 1;
    }
    let mut opened = 0;
    for operation in 0.. {
        // The same image again, which starts with everything on the device.
        let disk = image.power_cut_keeping_everything();
        let mut ledger = ledger.clone();
        let done = recover(&disk, options, &mut ledger, operation);
        if done {
            return opened;
        }
        for image in disk.crash_images(NESTED, operation) {
            opened += crash_again(&image, options, &ledger, depth - 1);
        }
    }
    opened
}

// In cockroach#68319 a crash during recovery left two files that each could be the last one. The second open
// found both and refused to start.
#[test]
fn a_crash_at_every_operation_of_recovery_and_of_the_next_recovery_still_opens() {
    for policy in POLICIES {
        let options = small(policy);
        let (mut bases, mut opened) = (0_u64, 0);
        for operation in 0.. {
            let disk = SimDisk::new(operation);
            let mut ledger = Ledger::new(policy);
            disk.crash_at(operation);
            let ended = life(&disk, &options, &mut ledger);
            let done = !disk.crashed();
            assert!(!done || ended.is_ok(), "{ended:?}");
            // Twice nested where it is worth it, once everywhere.
            for (place, image) in disk.crash_images(FIRST, operation).enumerate() {
                bases += 1;
                let depth = if (place as u64 + operation).is_multiple_of(17) { 2 } else { 1 };
                opened += crash_again(&image, &options, &ledger, depth);
            }
            if done {
                break;
            }
        }
        assert!(bases > 150 && opened > 10_000, "{bases} images, {opened} opens");
    }
}

#[test]
fn a_kill_at_every_operation_of_recovery_changes_nothing() {
    let options = small(SyncPolicy::None);
    for operation in 0.. {
        let disk = SimDisk::new(operation);
        let mut ledger = Ledger::new(SyncPolicy::None);
        disk.crash_at(operation);
        life(&disk, &options, &mut ledger).ok();
        let shown = contents(&open(&disk.kill(), &options));
        ledger.check_kill(&shown).expect("a kill takes nothing");
        for step in 0.. {
            let restarted = disk.kill();
            restarted.crash_at(step);
            let done = try_open(&restarted, &options).is_ok();
            assert!(
                contents(&open(&restarted.kill(), &options)) == shown,
                "killed at step {step} of the open"
            );
            if done {
                break;
            }
        }
        if !disk.crashed() {
            break;
        }
    }
}

#[test]
fn opening_again_and_again_gives_the_same_log_and_writes_nothing_new() {
    for policy in POLICIES {
        for operation in 5..40 {
            let disk = SimDisk::new(operation);
            let mut ledger = Ledger::new(policy);
            disk.crash_at(operation);
            life(&disk, &small(policy), &mut ledger).ok();
            let image = disk.power_cut_keeping_everything();
            let shown = contents(&open(&image, &small(policy)));
            let files = crate::common::directory(&image);
            for _ in 0..3 {
                assert!(contents(&open(&image, &small(policy))) == shown);
                assert!(
                    crate::common::directory(&image) == files,
                    "an open that appends nothing writes nothing"
                );
            }
        }
    }
}
