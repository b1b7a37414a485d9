//! What is called durable was synced, and what was shown is durable.

use crate::common::bytes::{frames, segment_name, segments};
use crate::common::{HALF, Ledger, POLICIES, contents, cut_everywhere, open, small, try_open, view};
use wal::SyncPolicy;
use wal_segment::io::sim::SimDisk;

/// How often the first segment is synced by `act`.
fn syncs_of_first_segment(disk: &SimDisk, act: impl FnOnce()) -> usize {
    disk.keep_log(true);
    act();
    let sync = format!(" sync {}", segment_name(1));
    disk.log().iter().filter(|line| line.ends_with(&sync)).count()
}

// In raft-engine#395, and in the commitlog crate, `sync` returned Ok and did not reach the device.
#[test]
fn every_call_that_promises_durability_syncs() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    wal.append(b"the first one makes a segment").expect("nothing fails");
    let append = || wal.append(b"entry").map(drop).expect("nothing fails");
    assert_eq!(syncs_of_first_segment(&disk, append), 1, "append under immediate");
    let batch = || wal.append_batch([b"a", b"b"]).map(drop).expect("nothing fails");
    assert_eq!(syncs_of_first_segment(&disk, batch), 1, "append_batch under immediate");
    let sync = || wal.sync().expect("nothing fails");
    assert_eq!(syncs_of_first_segment(&disk, sync), 0, "nothing is left to sync");

    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    wal.append(b"the first one makes a segment").expect("nothing fails");
    let append = || wal.append(b"entry").map(drop).expect("nothing fails");
    assert_eq!(syncs_of_first_segment(&disk, append), 0, "append under none");
    let sync = || wal.sync().expect("nothing fails");
    assert_eq!(syncs_of_first_segment(&disk, sync), 1, "sync");
    assert_eq!(syncs_of_first_segment(&disk, sync), 0, "nothing is left to sync");
    append();
    assert_eq!(syncs_of_first_segment(&disk, sync), 1, "sync again");
    append();
    let close = || wal.close().expect("nothing fails");
    assert_eq!(syncs_of_first_segment(&disk, close), 1, "close");
}

#[test]
fn a_rollover_syncs_the_segment_that_it_closes_under_every_policy() {
    for policy in POLICIES {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        wal.append(&[1; HALF]).expect("nothing fails");
        wal.append(&[2; HALF]).expect("nothing fails");
        disk.keep_log(true);
        wal.append(&[3; HALF]).expect("nothing fails");
        let sync = format!("sync {}", segment_name(1));
        assert!(disk.log().iter().any(|line| line.ends_with(&sync)), "{:?}", disk.log());
        let closed = disk.contents(&segment_name(1));
        assert_eq!(disk.durable_contents(&segment_name(1)), closed);
    }
}

// hiqlite#361, robustmq#2039 and nats#7564 told the caller before the flush.
#[test]
fn what_is_called_durable_is_on_the_device_at_that_moment() {
    for policy in POLICIES {
        let disk = SimDisk::new(1);
        let options = small(policy);
        let wal = open(&disk, &options);
        for turn in 0..40_u64 {
            let number = wal.append(&turn.to_le_bytes().repeat(20)).expect("nothing fails");
            if policy.waits() {
                assert_eq!(wal.durable_end(), number + 1);
            }
            if turn % 7 == 6 {
                wal.sync().expect("nothing fails");
                assert_eq!(wal.durable_end(), number + 1);
            }
            let there = contents(&open(&disk.power_cut_losing_everything(), &options)).len() as u64;
            assert!(there >= wal.durable_end(), "{there} entries of {}", wal.durable_end());
        }
    }
}

// In pebble#6031 the watermark never moved, so every damaged record looked like one that had never been
// durable, and was dropped without a word.
#[test]
fn the_durable_point_moves_in_the_watermark_the_frames_and_the_anchor() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for turn in 0..6 {
        wal.append(b"entry").expect("nothing fails");
        assert_eq!(wal.durable_end(), turn + 1, "the watermark");
    }
    // Each frame says that everything in front of it was durable when it was written.
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let data: Vec<_> = frames(&bytes).into_iter().skip(1).collect();
    assert_eq!(data.len(), 6);
    assert_eq!(data[0].header.durable_offset, 8192, "nothing of the segment was durable");
    for pair in data.windows(2) {
        assert_eq!(pair[1].header.durable_offset, pair[1].offset as u64, "a frame's durable point");
    }
    // A reader, who has nothing but the files, sees all but the last entry proven; after a close, all.
    assert_eq!(view(&disk).durable_end(), 5);
    wal.close().expect("nothing fails");
    assert_eq!(view(&disk).durable_end(), 6, "the anchor's durable point");
}

#[test]
fn under_none_the_durable_point_moves_with_each_sync_and_each_rollover() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    wal.append(b"zero").expect("nothing fails");
    wal.append(b"one").expect("nothing fails");
    assert_eq!(wal.durable_end(), 0, "no sync has run");
    wal.sync().expect("nothing fails");
    assert_eq!(wal.durable_end(), 2);
    wal.append(b"two").expect("nothing fails");
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let last = *frames(&bytes).last().expect("a frame");
    assert_eq!(last.header.durable_offset, last.offset as u64);
    wal.append(&[3; HALF]).expect("nothing fails");
    wal.append(&[4; HALF]).expect("nothing fails");
    assert_eq!(wal.durable_end(), 2);
    wal.append(&[5; HALF]).expect("nothing fails");
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(wal.durable_end(), 5, "everything before the new segment");
}

// kafka#8812 and spacetimedb#5830 handed out, after a restart, entries that were in the page cache and had
// never been synced. A power cut took them away again after others had acted on them.
#[test]
fn what_an_open_showed_survives_a_power_cut() {
    for policy in POLICIES {
        let options = small(policy);
        cut_everywhere(
            || Ledger::new(policy),
            |_, _| {},
            |disk, ledger| {
                let Ok(wal) = try_open(disk, &options) else { return };
                for bytes in [10, HALF, HALF, 20, HALF, 9000, 30, 40] {
                    if ledger.append(&wal, bytes).is_err() {
                        return;
                    }
                }
            },
            |disk, ledger| {
                let killed = disk.kill();
                let wal = open(&killed, &options);
                let shown = contents(&wal);
                ledger.check_kill(&shown).expect("a kill takes nothing");
                assert_eq!(wal.durable_end(), shown.len() as u64);
                for image in killed.crash_images(crate::common::FEW_IMAGES, 1) {
                    assert!(contents(&open(&image, &options)) == shown, "{}", image.origin());
                }
            },
        );
    }
}

#[test]
fn an_open_for_writing_reports_everything_as_durable() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    for _ in 0..3 {
        wal.append(b"never synced").expect("nothing fails");
    }
    drop(wal);
    let wal = open(&disk.kill(), &small(SyncPolicy::None));
    assert_eq!(wal.durable_end(), 3);
    assert_eq!(wal.recovery().next, 3);
    assert_eq!(wal.recovery().durable, 3, "an open for writing proves all: {}", wal.recovery());
}
