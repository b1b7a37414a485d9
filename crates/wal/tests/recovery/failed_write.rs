//! A write that failed, wholly or in part, leaves nothing that a later reader could take for an entry.

use crate::common::{
    HALF, Ledger, POLICIES, check_power_cut, contents, cut_everywhere, enospc, fault, open, refused, small,
};
use wal::{ErrorKind, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, CrashModel, FaultEffect, SimDisk, Times};

const MODEL: CrashModel = CrashModel { exhaustive_up_to: 16, random: 6, tearing: 2, garbage: 2 };

/// The next write stores so many bytes and fails for want of space.
fn stores_only(disk: &SimDisk, bytes: usize) {
    a_later_one_stores_only(disk, 0, bytes);
}

/// The same of one that comes so many writes later.
fn a_later_one_stores_only(disk: &SimDisk, later: u64, bytes: usize) {
    let effect = FaultEffect::PartialThenError(bytes, enospc());
    disk.fail(fault(CallKind::Write, later, Times::Once, effect));
}

/// What is written before the SEAL of a segment that is ended for want of room: where nothing was synced in it, an anchor,
/// and the headers of the next one.
fn writes_before_a_seal(policy: SyncPolicy) -> u64 {
    if policy == SyncPolicy::None { 2 } else { 0 }
}

/// Entry 0 is there; the write of entry 1 stops after `stored` bytes; another entry takes its number.
fn fails_then_goes_on(policy: SyncPolicy, stored: usize, first: usize, failed: usize, later: usize) {
    // Headers of the first segment are written before its first frame.
    let nth = u64::from(first == 0);
    assert!(fails_at(policy, nth, stored, first, failed, later), "the append fails");
}

/// The same, with the `nth` write of that append as the one that stops. Tells whether the append waited for it.
fn fails_at(policy: SyncPolicy, nth: u64, stored: usize, first: usize, failed: usize, later: usize) -> bool {
    let options = small(policy);
    let what = format!("{policy:?}: {stored} bytes of {failed} behind {first}, write {nth}, then {later}");
    let disk = SimDisk::new(1);
    let mut ledger = Ledger::new(policy);
    let wal = open(&disk, &options);
    if first > 0 {
        ledger.append(&wal, first).expect("nothing fails");
    }
    a_later_one_stores_only(&disk, nth, stored);
    let Err(error) = ledger.append(&wal, failed) else { return false };
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
    disk.heal();
    assert_eq!(contents(&wal), ledger.entries(), "{what}");

    ledger.append(&wal, later).expect("there is space again");
    assert_eq!(contents(&wal), ledger.entries(), "{what}");
    let killed = open(&disk.kill(), &options);
    assert_eq!(contents(&killed), ledger.entries(), "{what}: after a kill");
    for image in disk.crash_images(MODEL, stored as u64) {
        check_power_cut(&image, &ledger, &options);
    }
    ledger.append(&wal, 33).expect("nothing fails");
    ledger.close(wal).expect("nothing fails");
    check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
    true
}

// prometheus#13027 and qdrant#7877: the disk was full, a write was short, and a fragment stayed behind
// the last record. The next record was appended behind the fragment, where no reader ever found it.
#[test]
fn a_write_that_stopped_at_any_byte_never_shows_once_a_later_one_was_accepted() {
    for policy in POLICIES {
        for (failed, later) in [(70, 70), (70, 3), (70, 200)] {
            for stored in 0..=40 + failed + 8 {
                fails_then_goes_on(policy, stored, 90, failed, later);
            }
        }
    }
}

#[test]
fn the_first_write_of_a_segment_that_stopped_at_any_byte_never_shows_once_a_later_one_was_accepted() {
    for policy in POLICIES {
        for stored in 0..=64 + 40 + 30 + 8 {
            fails_then_goes_on(policy, stored, 0, 30, 30);
        }
    }
}

#[test]
fn a_large_write_that_stopped_anywhere_never_shows_once_a_later_one_was_accepted() {
    for policy in POLICIES {
        for stored in (0..30_200).step_by(997) {
            fails_then_goes_on(policy, stored, HALF, 2_000, 10);
            // Among them the SEAL, and the LINK with the entry. A spare or an anchor that fails is tried again.
            let failures = (0..5).filter(|&nth| fails_at(policy, nth, stored, 100, 30_000, 30_000)).count();
            assert!(failures >= 2, "{policy:?}, {stored}: {failures}");
        }
    }
}

#[test]
fn a_failed_entry_that_nothing_followed_is_there_whole_or_not_at_all() {
    for policy in POLICIES {
        for stored in 0..=120 {
            let disk = SimDisk::new(1);
            let mut ledger = Ledger::new(policy);
            let wal = open(&disk, &small(policy));
            ledger.append(&wal, 90).expect("nothing fails");
            stores_only(&disk, stored);
            ledger.batch(&wal, &[30, 0, 20]).expect_err("the write fails");
            drop(wal);
            let wal = open(&disk.kill(), &small(policy));
            ledger.check_kill(&contents(&wal)).expect("whole or not at all");
        }
    }
}

#[test]
fn a_seal_that_could_not_be_written_costs_nothing() {
    for policy in POLICIES {
        for stored in [0, 1, 8, 31, 32, 39, 40, 55, 56] {
            for at_close in [false, true] {
                let options = small(policy);
                let disk = SimDisk::new(1);
                let mut ledger = Ledger::new(policy);
                let wal = open(&disk, &options);
                ledger.append(&wal, HALF).expect("nothing fails");
                ledger.append(&wal, HALF).expect("nothing fails");
                a_later_one_stores_only(
                    &disk,
                    if at_close { 0 } else { writes_before_a_seal(policy) },
                    stored,
                );
                if at_close {
                    refused(ledger.close(wal), ErrorKind::NoSpace);
                } else {
                    refused(ledger.append(&wal, HALF), ErrorKind::NoSpace);
                    assert_eq!(contents(&wal), ledger.entries());
                    ledger.append(&wal, HALF).expect("there is space again");
                    ledger.append(&wal, HALF).expect("there is space again");
                    ledger.sync(&wal).expect("nothing fails");
                    drop(wal);
                }
                let killed = open(&disk.kill(), &options);
                assert_eq!(contents(&killed), ledger.entries());
                check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
            }
        }
    }
}

#[test]
fn a_short_write_that_goes_on_is_no_failure() {
    for policy in POLICIES {
        for taken in [1, 7, 31, 32, 40, 41, 100, 4095, 4096] {
            let disk = SimDisk::new(1);
            let mut ledger = Ledger::new(policy);
            let effect = FaultEffect::ShortWrite(taken);
            disk.fail(fault(CallKind::Write, 0, Times::Forever, effect));
            let wal = open(&disk, &small(policy));
            for bytes in [10, 0, HALF, HALF, 5000] {
                ledger.append(&wal, bytes).expect("short is not failed");
            }
            ledger.close(wal).expect("short is not failed");
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(policy));
        }
    }
}

#[test]
fn a_device_that_takes_no_byte_is_an_error_and_no_endless_loop() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    wal.append(b"first").expect("nothing fails");
    let kinds = [
        FaultEffect::ShortWrite(0),
        FaultEffect::Error(crate::common::failure(4, std::io::ErrorKind::Interrupted)),
    ];
    for effect in kinds {
        disk.fail(fault(CallKind::Write, 0, Times::Forever, effect));
        refused(wal.append(b"second"), ErrorKind::Io);
        disk.heal();
    }
    assert_eq!(wal.append(b"third").expect("the device works again"), 1);
}

// A cut that publishes the failure is itself interrupted: at each of its operations the power goes.
#[test]
fn a_power_cut_at_any_operation_behind_a_failed_write_loses_nothing_acknowledged() {
    for policy in POLICIES {
        for stored in [0, 20, 32, 60, 132, 140] {
            let options = small(policy);
            cut_everywhere(
                || Ledger::new(policy),
                |_, _| {},
                |disk, ledger| {
                    let mut fails = || -> Result<Wal, wal::Error> {
                        let wal = crate::common::try_open(disk, &options)?;
                        ledger.append(&wal, 90)?;
                        stores_only(disk, stored);
                        let failed = ledger.append(&wal, 90);
                        if disk.crashed() {
                            failed?;
                        }
                        disk.heal();
                        ledger.append(&wal, 90)?;
                        ledger.append(&wal, HALF)?;
                        ledger.append(&wal, HALF)?;
                        ledger.append(&wal, HALF)?;
                        Ok(wal)
                    };
                    fails().map_or_else(drop, drop);
                },
                |disk, ledger| {
                    for image in disk.crash_images(MODEL, 1) {
                        check_power_cut(&image, ledger, &options);
                    }
                },
            );
        }
    }
}

// pebble#3865 kept the bytes of a failed record in its buffer and wrote them again in front of the next.
#[test]
fn nothing_of_a_failed_batch_is_in_the_next_one() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    wal.append(b"first").expect("nothing fails");
    for turn in 0..5_u8 {
        stores_only(&disk, usize::from(turn) * 20);
        refused(wal.append_batch([[b'x'; 300], [b'y'; 300]]), ErrorKind::NoSpace);
        assert_eq!(wal.append(&[turn]).expect("there is space again"), u64::from(turn) + 1);
    }
    let shown = contents(&open(&disk.kill(), &small(SyncPolicy::Immediate)));
    assert_eq!(shown, [b"first".as_slice(), &[0], &[1], &[2], &[3], &[4]]);
}

// What a cut has declared gone is held back by the LINK and, should the LINK be damaged, by the anchor. So
// nothing is accepted behind the cut before the anchor is synced, and a sync that failed is not forgotten
// because another one succeeds a moment later.
#[test]
fn nothing_is_accepted_behind_a_cut_before_the_anchor_knows_of_it() {
    let mut anchor_failed = false;
    for nth in 0..8 {
        let options = small(SyncPolicy::None);
        let disk = SimDisk::new(1);
        let mut ledger = Ledger::new(SyncPolicy::None);
        let wal = open(&disk, &options);
        ledger.append(&wal, 50).expect("nothing fails");
        ledger.sync(&wal).expect("nothing fails");
        stores_only(&disk, 30);
        ledger.append(&wal, 60).expect_err("the write fails");
        disk.heal();
        disk.fail(fault(CallKind::SyncFile, nth, Times::Once, FaultEffect::Error(crate::common::eio())));
        let appended = ledger.append(&wal, 70);
        disk.heal();
        let Err(error) = appended else { continue };
        if error.kind() == ErrorKind::Poisoned {
            continue;
        }
        anchor_failed |= error.to_string().contains("ANCHOR");
        assert_eq!(contents(&wal), ledger.entries(), "sync {nth}: {error}");
        ledger.append(&wal, 80).expect("the fault is over");
        assert_eq!(contents(&wal), ledger.entries(), "sync {nth}: {error}");
        ledger.close(wal).expect("nothing fails");
        check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
    }
    assert!(anchor_failed, "one of the syncs was the anchor's");
}
