//! Torn tails: what a power cut leaves of writes that no sync covered is dropped, without an alarm.

use crate::common::bytes::{frames, segment_name};
use crate::common::{Ledger, check_power_cut, contents, open, small, view};
use wal::{Ending, Options, SyncPolicy};
use wal_segment::io::sim::{CrashModel, SimDisk};

const SECTOR: usize = 512;

/// A log of which `durable` entries were synced, and behind them `pending` ones that were not.
fn unsynced(options: &Options, durable: usize, pending: &[usize]) -> (SimDisk, Ledger) {
    let disk = SimDisk::new(3);
    let mut ledger = Ledger::new(SyncPolicy::None);
    let wal = open(&disk, options);
    for _ in 0..durable {
        ledger.append(&wal, 100).expect("nothing fails");
    }
    ledger.sync(&wal).expect("nothing fails");
    for &bytes in pending {
        ledger.append(&wal, bytes).expect("nothing fails");
    }
    drop(wal);
    (disk.kill(), ledger)
}

/// The same disk with other bytes in the first segment, all of it on the device.
fn with(disk: &SimDisk, change: impl FnOnce(&mut Vec<u8>)) -> SimDisk {
    let copy = crate::common::copy(&crate::common::directory(disk));
    assert!(copy.damage(&segment_name(1), change));
    copy
}

// cqlite#1390 and leveldb#1287 opened a log with a torn record at its end and appended behind it. The next
// open stopped at the torn record, and everything that had been acknowledged since was gone.
#[test]
fn what_is_appended_behind_a_torn_tail_is_found_again() {
    let options = small(SyncPolicy::Immediate);
    let (disk, _) = unsynced(&options, 1, &[70]);
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let torn = *frames(&bytes).last().expect("a frame");
    let model = CrashModel { exhaustive_up_to: 16, random: 4, tearing: 2, garbage: 2 };
    for kept in torn.offset..torn.end {
        if bytes[kept..torn.end].iter().all(|&byte| byte == 0) {
            continue; // Padding: nothing is torn.
        }
        let disk = with(&disk, |bytes| bytes[kept..torn.end].fill(0));
        let wal = open(&disk, &options);
        assert_eq!(wal.recovery().next, 1, "{kept}");
        let is_torn = kept > torn.offset;
        assert_eq!(matches!(wal.recovery().ending, Ending::Torn { .. }), is_torn, "{kept}");
        let stats = wal.stats();
        assert_eq!((stats.last, stats.recovery_dropped_bytes > 0), (Some(0), is_torn), "{kept}");
        assert!(!stats.recovery_duration.is_zero());
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        let shown = contents(&wal);
        let own = open(&SimDisk::new(1), &options);
        assert_eq!((own.stats().last, own.stats().recovery_dropped_bytes), (None, 0));
        ledger.append_group(&own, shown.clone()).expect("a log of its own");
        // The same size as the torn one, so that its remains would fit behind it.
        ledger.append(&wal, 70).expect("nothing fails");
        for image in disk.crash_images(model, 1) {
            check_power_cut(&image, &ledger, &options);
        }
        drop(wal);
        let killed = disk.kill();
        let wal = open(&killed, &options);
        assert_eq!(contents(&wal), ledger.entries(), "{kept}");
        ledger.append(&wal, 70).expect("nothing fails");
        drop(wal);
        assert_eq!(contents(&open(&killed.power_cut_losing_everything(), &options)), ledger.entries());
    }
}

// unisondb#216: a shorter history was written over a longer one, and the old records behind its end were
// read as its continuation.
#[test]
fn a_dropped_tail_never_comes_back_behind_entries_of_the_same_size() {
    let options = small(SyncPolicy::None);
    let (disk, _) = unsynced(&options, 1, &[64, 64, 64]);
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let lost = frames(&bytes)[2];
    let mut disk = with(&disk, |bytes| bytes[lost.offset..lost.offset + 8].fill(0));
    let mut expected = contents(&open(&disk, &options));
    assert_eq!(expected.len(), 1);
    for turn in 0..3_u8 {
        let wal = open(&disk, &options);
        assert_eq!(contents(&wal), expected);
        let payload = vec![turn; 64];
        wal.append(&payload).expect("nothing fails");
        wal.sync().expect("nothing fails");
        expected.push(payload);
        drop(wal);
        disk = disk.power_cut_losing_everything();
        assert_eq!(contents(&open(&disk, &options)), expected);
    }
}

// etcd#5230: the file was preallocated, and a power cut left a record torn at a page in the middle of it,
// zeros behind. The decoder took that for corruption and refused to start.
#[test]
fn a_frame_torn_at_any_sector_of_a_preallocated_file_is_dropped_without_an_alarm() {
    let options = Options::new().segment_bytes(64 << 10).sync(SyncPolicy::None);
    let (disk, ledger) = unsynced(&options, 2, &[3 * 4096 + 77, 900]);
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let (first, last) = (frames(&bytes)[3], frames(&bytes)[4]);
    let sectors = first.offset / SECTOR..last.end.div_ceil(SECTOR);
    assert!(sectors.len() > 20);
    let noise = crate::common::ledger::payload(9, bytes.len());
    // What an earlier life of the file might have left: frames, at the same places, under another salt.
    let other = {
        let disk = SimDisk::new(99);
        let wal = open(&disk, &options);
        for bytes in [100, 100, 3 * 4096 + 77, 900] {
            wal.append(&noise[..bytes]).expect("nothing fails");
        }
        disk.contents(&segment_name(1)).expect("the first segment")
    };
    let zeros = vec![0; bytes.len()];
    for (what, source) in [("zeros", &zeros), ("old frames", &other), ("random bytes", &noise)] {
        for sector in sectors.clone() {
            for only in [true, false] {
                // Nothing in front of the first pending byte was being written.
                let start = (sector * SECTOR).max(first.offset);
                let end = if only { (sector + 1) * SECTOR } else { last.end };
                let torn = with(&disk, |bytes| {
                    let end = end.min(bytes.len());
                    bytes[start..end].copy_from_slice(&source[start..end]);
                });
                let wal = open(&torn, &options);
                let shown = contents(&wal);
                ledger.check_power_cut(&shown).unwrap_or_else(|broken| panic!("{what} {sector}: {broken}"));
                assert!(shown.len() < 4, "{what} from sector {sector}: a torn frame was shown");
                assert!(view(&torn).verify().expect("it opens").damages.is_empty(), "{what} {sector}");
                wal.append(b"behind").expect("nothing fails");
            }
        }
    }
}

// A strict reading of "a good record behind a bad one proves corruption" refused logs after ordinary power
// cuts: two records of one unsynced stretch reach the device in any order, or one of them not at all.
#[test]
fn a_later_unsynced_frame_that_survived_an_earlier_one_raises_no_alarm() {
    let options = small(SyncPolicy::None);
    for durable in [0, 1, 3] {
        let (disk, ledger) = unsynced(&options, durable, &[60; 6]);
        let bytes = disk.contents(&segment_name(1)).expect("the first segment");
        let pending: Vec<_> = frames(&bytes).into_iter().skip(1 + durable).collect();
        assert_eq!(pending.len(), 6);
        for kept in 0..1_u32 << 6 {
            let survived = with(&disk, |bytes| {
                for (index, frame) in pending.iter().enumerate() {
                    if kept >> index & 1 == 0 {
                        bytes[frame.offset..frame.end].fill(0);
                    }
                }
            });
            let wal = open(&survived, &options);
            let whole = kept.trailing_ones() as usize;
            assert_eq!(contents(&wal), ledger.entries()[..durable + whole], "{kept:b}");
            let torn = matches!(wal.recovery().ending, Ending::Torn { .. });
            assert_eq!(torn, kept >> whole != 0, "{kept:b}: {}", wal.recovery());
            assert!(view(&survived).verify().expect("it opens").damages.is_empty(), "{kept:b}");
        }
    }
}

#[test]
fn a_torn_tail_is_dropped_and_reported_with_its_place_and_size() {
    let options = small(SyncPolicy::None);
    let (disk, _) = unsynced(&options, 2, &[100]);
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let torn = *frames(&bytes).last().expect("a frame");
    let disk = with(&disk, |bytes| bytes[torn.end - 50] ^= 1);
    let wal = open(&disk, &options);
    let Ending::Torn { segment, offset, bytes } = wal.recovery().ending else {
        panic!("{}", wal.recovery());
    };
    assert_eq!((segment.value(), offset, bytes), (1, torn.offset as u64, (torn.end - torn.offset) as u64));
    assert_eq!((wal.recovery().first, wal.recovery().next), (0, 2));
    assert!(wal.recovery().to_string().contains("torn"), "{}", wal.recovery());
}

#[test]
fn an_unsynced_batch_is_whole_or_absent_whatever_sector_is_lost() {
    let options = Options::new().segment_bytes(64 << 10).sync(SyncPolicy::None);
    let disk = SimDisk::new(3);
    let mut ledger = Ledger::new(SyncPolicy::None);
    let wal = open(&disk, &options);
    ledger.append(&wal, 10).expect("nothing fails");
    ledger.sync(&wal).expect("nothing fails");
    ledger.batch(&wal, &[700, 0, 3000, 1, 5000]).expect("nothing fails");
    let bytes = disk.contents(&segment_name(1)).expect("the first segment");
    let batch = *frames(&bytes).last().expect("a frame");
    for sector in batch.offset / SECTOR..batch.end.div_ceil(SECTOR) {
        let torn = with(&disk, |bytes| {
            bytes[(sector * SECTOR).max(batch.offset)..((sector + 1) * SECTOR).min(batch.end)].fill(0);
        });
        assert_eq!(contents(&open(&torn, &options)).len(), 1, "sector {sector}");
    }
}
