//! Ending a segment by hand, and by age.

use std::thread;
use std::time::Duration;

use crate::common::bytes::{frames, linked, segments};
use crate::common::ledger::payload;
use crate::common::{
    Acknowledged, FEW_IMAGES, LOSSES, Ledger, check_images, check_power_cut, contents, cut_everywhere,
    enospc, eventually, every_setup, fault, holds_all, open, refused, small, view, within,
};
use wal::{ErrorKind, SyncPolicy};
use wal_format::{Seal, SealKind};
use wal_segment::io::Directory;
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_next_append_goes_into_another_segment_and_what_was_there_is_durable() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let options = small(policy).background(background);
            let wal = open(&disk, &options);
            let mut ledger = Ledger::new(policy);
            wal.roll().expect("there is nothing to end");
            assert!(linked(&disk).is_empty());
            ledger.append(&wal, 10).expect("nothing fails");
            let commit = wal.submit(&payload(1 << 20, 20)).expect("nothing fails");
            wal.roll().expect("nothing fails");
            commit.outcome().expect("it is written, and synced").expect("nothing fails");
            assert_eq!((wal.durable_end(), linked(&disk).len()), (2, 1), "{policy:?}");
            let file = linked(&disk).pop().expect("one");
            let info = view(&disk).segments().next().expect("one");
            assert!(info.closed);
            assert_eq!(
                disk.contents(&file).map(|bytes| bytes.len() as u64),
                Some(info.bytes),
                "no space is kept"
            );

            let before = disk.operations();
            wal.roll().expect("it has ended");
            assert!(background || disk.operations() == before, "nothing is done");
            wal.append(b"next").expect("nothing fails");
            assert_eq!(linked(&disk).len(), 2);
            wal.truncate_after(0).expect("nothing fails");
            wal.roll().expect("the segment of the cut has no entry");
            assert_eq!(wal.append(b"again").expect("nothing fails"), 1);
            let shown = contents(&wal);
            wal.close().expect("nothing fails");
            assert_eq!(contents(&open(&disk.power_cut_losing_everything(), &options)), shown);
        }
    });
}

#[test]
fn a_log_that_is_closed_or_poisoned_is_not_rolled() {
    let disk = SimDisk::new(2);
    let wal = open(&disk, &small(POLICY));
    wal.append(b"a").expect("nothing fails");
    let other = wal.clone();
    wal.close().expect("nothing fails");
    refused(other.roll(), ErrorKind::Closed);
}

#[test]
fn a_sync_that_fails_in_a_roll_poisons() {
    for policy in [POLICY, SyncPolicy::None] {
        // The last one shows at a later sync.
        for loss in &LOSSES[..3] {
            let disk = SimDisk::new(3);
            let wal = open(&disk, &small(policy));
            let mut ledger = Ledger::new(policy);
            ledger.append(&wal, 10).expect("nothing fails");
            wal.sync().expect("nothing fails");
            let synced = contents(&wal);
            disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::SyncLoss(*loss)));
            refused(wal.roll(), ErrorKind::Poisoned);
            refused(wal.roll(), ErrorKind::Poisoned);
            refused(wal.append(b"more"), ErrorKind::Poisoned);
            drop(wal);
            assert_eq!(contents(&open(&disk.power_cut_losing_everything(), &small(policy))), synced);
        }
    }
}

#[test]
fn on_a_full_disk_a_roll_is_refused_or_not_needed_and_the_log_goes_on() {
    for (policy, background) in every_setup() {
        for stored in [0, 30, 5000] {
            let disk = SimDisk::new(4);
            let options = small(policy).background(background);
            let wal = open(&disk, &options);
            let mut ledger = Ledger::new(policy);
            ledger.append(&wal, 10).expect("nothing fails");
            wal.sync().expect("nothing fails");
            disk.fail(fault(
                CallKind::Write,
                0,
                Times::Once,
                FaultEffect::PartialThenError(stored, enospc()),
            ));
            // The anchor may have met it, in the background.
            if let Err(error) = wal.roll() {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                wal.roll().expect("no segment is open");
            }
            disk.heal();
            ledger.append(&wal, 20).expect("there is space again");
            ledger.roll(&wal).expect("there is space again");
            assert_eq!(contents(&wal), ledger.entries());
            drop(wal);
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
        }
    }
}

/// A write fails, so the segment takes no more frames. A roll finds no open segment, has nothing to end and says so. What
/// was written in front of the failure was never synced, and a power cut lost what the roll had promised.
#[test]
fn a_roll_behind_a_failed_write_makes_durable_what_was_written_before() {
    for (_, background) in every_setup() {
        let disk = SimDisk::new(4);
        let options = small(SyncPolicy::None).background(background);
        let wal = open(&disk, &options);
        wal.append(b"written").expect("nothing fails");
        disk.fail(fault(CallKind::Write, 0, Times::Forever, FaultEffect::Error(enospc())));
        refused(wal.append(b"never"), ErrorKind::NoSpace);
        wal.roll().expect("there is nothing to be written");
        assert_eq!(wal.durable_end(), 1);
        let cut = disk.power_cut_losing_everything();
        assert_eq!(contents(&open(&cut, &options)), [b"written"]);
    }
}

#[test]
fn a_power_cut_anywhere_in_a_roll_loses_nothing_that_was_acknowledged() {
    for policy in [POLICY, SyncPolicy::None] {
        let options = small(policy);
        let rolls = |disk: &SimDisk, ledger: &mut Ledger| {
            let Ok(wal) = crate::common::try_open(disk, &options) else { return };
            for bytes in [10, 1500, 20] {
                if ledger.append(&wal, bytes).is_err() || ledger.roll(&wal).is_err() {
                    return;
                }
            }
        };
        cut_everywhere(
            || Ledger::new(policy),
            |_, _| {},
            rolls,
            |disk, ledger| check_images(disk, ledger, &options, FEW_IMAGES, 5),
        );
    }
}

#[test]
fn appends_go_on_while_others_roll() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(6);
            let options = small(policy).background(background);
            let wal = open(&disk, &options);
            let acknowledged: Acknowledged = thread::scope(|scope| {
                let appenders: Vec<_> = (0..3_u64)
                    .map(|appender| {
                        let wal = wal.clone();
                        scope.spawn(move || {
                            let append = |n| {
                                let payload = payload((appender * 100 + n) << 20, 200);
                                (wal.append(&payload).expect("nothing fails"), payload)
                            };
                            (0..60).map(append).collect::<Acknowledged>()
                        })
                    })
                    .collect();
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..25 {
                            let before = wal.written_end();
                            wal.roll().expect("nothing fails");
                            assert!(wal.durable_end() >= before);
                        }
                    });
                }
                appenders.into_iter().flat_map(|appender| appender.join().expect("nobody panics")).collect()
            });
            wal.roll().expect("nothing fails");
            drop(wal);
            let shown = contents(&open(&disk.power_cut_losing_everything(), &options));
            assert_eq!(shown.len(), 180);
            holds_all(&shown, &acknowledged);
        }
    });
}

#[test]
fn a_segment_that_has_had_its_first_entry_for_long_is_ended_and_one_without_an_entry_is_not() {
    within(LIMIT, || {
        for background in [false, true] {
            let disk = SimDisk::new(7);
            let wal =
                open(&disk, &small(POLICY).background(background).roll_after(Duration::from_millis(20)));
            wal.append(b"a").expect("nothing fails");
            wal.append(b"b").expect("nothing fails");
            eventually("it is sealed", LIMIT, || {
                wal.flush().expect("nothing fails");
                view(&disk).segments().last().is_some_and(|segment| segment.closed)
            });
            wal.append(b"c").expect("nothing fails");
            assert_eq!(linked(&disk).len(), 2);
            wal.truncate_after(1).expect("nothing fails");
            let names = segments(&disk);
            thread::sleep(Duration::from_millis(50));
            wal.flush().expect("nothing fails");
            assert_eq!(segments(&disk), names);
            assert!(!view(&disk).segments().last().expect("the cut").closed, "it has no entry");
            wal.append(b"d").expect("nothing fails");
            eventually("it is sealed", LIMIT, || {
                wal.flush().expect("nothing fails");
                view(&disk).segments().last().is_some_and(|segment| segment.closed)
            });
            assert_eq!(wal.stats().maintenance_errors, 0);
            wal.close().expect("the thread is joined");
        }
    });
}

/// The process is started anew every twelve hours, so that no life of it sees a segment for a day.
#[test]
fn a_log_that_is_restarted_every_twelve_hours_rolls_after_twenty_four() {
    const TWELVE_HOURS: Duration = Duration::from_secs(12 * 3600);
    within(LIMIT, || {
        for background in [false, true] {
            for closes in [false, true] {
                let disk = SimDisk::new(7);
                let options = small(POLICY).background(background).roll_after(2 * TWELVE_HOURS);
                for life in 0..8 {
                    let wal = open(&disk, &options);
                    let rolls = life > 0 && life % 2 == 0;
                    if rolls {
                        eventually("the segment is ended", LIMIT, || {
                            wal.flush().expect("nothing fails");
                            ends_for_good(&disk)
                        });
                    }
                    wal.append(b"an entry").expect("nothing fails");
                    assert_eq!(linked(&disk).len(), 1 + life / 2, "life {life}");
                    if closes {
                        wal.close().expect("nothing fails");
                    }
                    disk.wait(TWELVE_HOURS);
                }
            }
        }
    });
}

/// An append after an open does not make the segment younger.
#[test]
fn a_segment_that_is_nearly_old_enough_at_an_open_is_ended_soon_though_something_is_appended() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    within(LIMIT, || {
        for background in [false, true] {
            let disk = SimDisk::new(7);
            let options = small(POLICY).background(background).roll_after(DAY);
            let wal = open(&disk, &options);
            wal.append(b"an entry").expect("nothing fails");
            wal.close().expect("nothing fails");
            disk.wait(DAY - Duration::from_millis(300));
            let wal = open(&disk, &options);
            wal.append(b"another").expect("nothing fails");
            assert!(!ends_for_good(&disk), "not yet");
            eventually("the segment is ended", LIMIT, || {
                wal.flush().expect("nothing fails");
                ends_for_good(&disk)
            });
        }
    });
}

/// Whether the last segment ends with a final SEAL.
fn ends_for_good(disk: &SimDisk) -> bool {
    let bytes = disk.contents(&linked(disk).pop().expect("a segment")).expect("it is there");
    let last = frames(&bytes).pop().expect("a LINK at least");
    Seal::decode(&bytes[last.offset..], &last.header).is_ok_and(|seal| seal.kind == SealKind::Final)
}
