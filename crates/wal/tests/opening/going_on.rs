//! A log that is opened again goes on in its last segment, and where it must not it begins another one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::bytes::{frames, header, linked, segments};
use crate::common::seam::{Call, Seam};
use crate::common::{
    CHECKSUMS, EVERY_POLICY, FEW_IMAGES, Ledger, POLICIES, check_images, check_power_cut, contents, copy,
    cut_everywhere, directory, eio, enospc, fault, open, read, refused, small, try_open, view,
};
use wal::{Ending, ErrorKind, Options, Rollover, SyncPolicy, Wal};
use wal_format::{
    ANCHOR_FILE, Anchor, FrameKind, Link, LinkReason, SLOT_BYTES, Seal, SealKind, SegmentHeader,
};
use wal_segment::io::sim::{CallKind, Failure, FaultEffect, SimDisk, Times};

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Close,
    Drop,
    Kill,
}

const DEATHS: [Death; 3] = [Death::Close, Death::Drop, Death::Kill];

fn end(disk: &SimDisk, wal: Wal, death: Death) {
    match death {
        Death::Close => wal.close().expect("nothing fails"),
        Death::Drop => drop(wal),
        Death::Kill => {
            // Nothing that it does from here on reaches the disk.
            let failure = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
            disk.fail(fault(CallKind::Any, 0, Times::Forever, failure));
            drop(wal);
            disk.heal();
        }
    }
}

const SEGMENT: u64 = 64 << 10;

fn options() -> Options {
    Options::new().segment_bytes(SEGMENT).sync(SyncPolicy::Immediate).background(false)
}

/// Lives of an entry and a batch each.
fn lives(disk: &SimDisk, ledger: &mut Ledger, options: &Options, count: usize, death: Death) {
    for _ in 0..count {
        let wal = open(disk, options);
        ledger.append(&wal, 30).expect("nothing fails");
        ledger.batch(&wal, &[17, 0, 200]).expect("nothing fails");
        end(disk, wal, death);
    }
}

fn link(disk: &SimDisk, name: &str) -> Link {
    let bytes = disk.contents(name).expect("it is there");
    Link::decode(&bytes[8192..], header(&bytes).life).expect("a LINK").0
}

/// The kinds of the SEALs of a segment, in order.
fn seals(disk: &SimDisk, name: &str) -> Vec<SealKind> {
    let bytes = disk.contents(name).expect("it is there");
    let seals = frames(&bytes).into_iter().filter(|frame| frame.header.kind == FrameKind::Seal);
    seals.map(|frame| Seal::decode(&bytes[frame.offset..], &frame.header).expect("a SEAL").kind).collect()
}

/// Which slots of the anchor say that the log is closed.
fn closed_slots(disk: &SimDisk) -> [bool; 2] {
    let bytes = disk.contents(ANCHOR_FILE).expect("it is there");
    [0, SLOT_BYTES].map(|at| Anchor::decode(&bytes[at..]).is_ok_and(|anchor| anchor.seal_offset.is_some()))
}

#[test]
fn a_thousand_lives_leave_at_most_three_files_however_they_end() {
    for policy in POLICIES {
        for death in DEATHS {
            let options = Options::new().sync(policy).background(false);
            let disk = SimDisk::new(5);
            let mut ledger = Ledger::new(policy);
            for _ in 0..1000 {
                let wal = open(&disk, &options);
                for bytes in [20, 0, 90] {
                    ledger.append(&wal, bytes).expect("nothing fails");
                }
                end(&disk, wal, death);
                assert!(segments(&disk).len() <= 3, "{policy:?}, {death:?}: {:?}", segments(&disk));
            }
            let wal = open(&disk, &options);
            assert_eq!(contents(&wal), ledger.entries(), "{policy:?}, {death:?}");
            drop(wal);
            let looked = view(&disk);
            assert_eq!(read(looked.range(..)).0, ledger.entries(), "{policy:?}, {death:?}");
            assert!(looked.verify().expect("it can be read").damages.is_empty(), "{policy:?}, {death:?}");
        }
    }
}

#[test]
fn a_life_goes_on_in_the_segment_of_the_one_before_and_tells_of_no_rollover() {
    for &checksum in CHECKSUMS {
        for death in DEATHS {
            let told = Arc::new(Mutex::new(Vec::<Rollover>::new()));
            let noted = Arc::clone(&told);
            let options = options()
                .checksum(checksum)
                .on_rollover(move |rollover| noted.lock().expect("no panic").push(*rollover));
            let disk = SimDisk::new(5);
            let mut ledger = Ledger::new(SyncPolicy::Immediate);
            lives(&disk, &mut ledger, &options, 5, death);
            assert_eq!(linked(&disk).len(), 1, "{death:?}");
            assert_eq!(told.lock().expect("no panic").len(), 1, "{death:?}: the first one alone");
            let wal = open(&disk, &options);
            let expected = if death == Death::Close { Ending::Clean } else { Ending::Unclosed };
            assert_eq!(wal.recovery().ending, expected, "{death:?}");
            assert_eq!(contents(&wal), ledger.entries(), "{death:?}");
            let closes = if death == Death::Close { 5 } else { 0 };
            assert_eq!(seals(&disk, &linked(&disk)[0]), vec![SealKind::Close; closes], "{death:?}");
        }
    }
}

#[test]
fn a_full_segment_ends_with_a_final_seal_and_the_next_life_begins_another() {
    for death in DEATHS {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        let options = small(SyncPolicy::Immediate);
        for _ in 0..9 {
            let wal = open(&disk, &options);
            ledger.append(&wal, 1500).expect("nothing fails");
            end(&disk, wal, death);
        }
        let names = linked(&disk);
        assert!(names.len() > 3, "{names:?}");
        for pair in names.windows(2) {
            assert_eq!(seals(&disk, &pair[0]).last(), Some(&SealKind::Final), "{death:?}");
            assert_eq!(link(&disk, &pair[1]).reason, LinkReason::Rollover, "{death:?}");
        }
        // Ended, and nothing begun: nothing may follow in that segment.
        let wal = open(&disk, &options);
        wal.roll().expect("nothing fails");
        end(&disk, wal, death);
        let wal = open(&disk, &options);
        assert_eq!(wal.recovery().ending, Ending::Clean, "{death:?}");
        ledger.append(&wal, 10).expect("nothing fails");
        assert_eq!(linked(&disk).len(), names.len() + 1, "{death:?}");
        assert_eq!(contents(&wal), ledger.entries());
    }
}

#[test]
fn a_segment_is_filled_up_to_the_smaller_of_its_file_and_the_setting() {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    lives(&disk, &mut ledger, &options(), 1, Death::Close);
    let first = linked(&disk)[0].clone();
    let reserved = disk.contents(&first).expect("it is there").len() as u64;
    assert_eq!(reserved, SEGMENT, "a close does not shorten the file");
    // A larger setting counts from the next segment on, and makes no file longer.
    let larger = options().segment_bytes(4 * SEGMENT);
    let wal = open(&disk, &larger);
    while linked(&disk).len() == 1 {
        ledger.append(&wal, 2000).expect("nothing fails");
        assert!(disk.contents(&first).expect("it is there").len() as u64 <= SEGMENT);
    }
    assert!(disk.contents(&linked(&disk)[1]).expect("it is there").len() as u64 > SEGMENT);
    wal.close().expect("nothing fails");
    // A smaller one ends the segment before the next frame.
    let wal = open(&disk, &options().segment_bytes(12 << 10));
    ledger.append(&wal, 2000).expect("nothing fails");
    while linked(&disk).len() == 2 {
        ledger.append(&wal, 2000).expect("nothing fails");
    }
    assert_eq!(contents(&wal), ledger.entries());
    check_images(&disk, &ledger, &options(), FEW_IMAGES, 3);
}

#[cfg(feature = "crc64")]
#[test]
fn another_kind_of_checksum_begins_a_segment_and_is_no_cut() {
    for death in DEATHS {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        lives(&disk, &mut ledger, &options().checksum(CHECKSUMS[0]), 2, death);
        lives(&disk, &mut ledger, &options().checksum(CHECKSUMS[1]), 2, death);
        let names = linked(&disk);
        assert_eq!(names.len(), 2, "{death:?}");
        assert_eq!(link(&disk, &names[1]).reason, LinkReason::Reopen, "{death:?}");
        assert_eq!(contents(&open(&disk, &options())), ledger.entries(), "{death:?}");
    }
}

#[test]
fn a_segment_with_features_of_a_later_version_is_read_and_not_appended_to() {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    lives(&disk, &mut ledger, &options(), 2, Death::Close);
    let name = linked(&disk)[0].clone();
    assert!(disk.damage(&name, |bytes| {
        let later = SegmentHeader { features: 0x0100, ..header(bytes) }.encode();
        [0, 4096].into_iter().for_each(|at| bytes[at..at + later.len()].copy_from_slice(&later));
    }));
    lives(&disk, &mut ledger, &options(), 1, Death::Close);
    assert_eq!(linked(&disk).len(), 2);
    assert_eq!(contents(&open(&disk, &options())), ledger.entries());
}

/// What a later version has put into the anchor stays there, whatever this one writes.
#[test]
fn sections_of_the_anchor_are_handed_on() {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    lives(&disk, &mut ledger, &options(), 1, Death::Close);
    let mut section = [0; wal_format::section_bytes(5)];
    wal_format::encode_section(&mut section, 77, b"later");
    assert!(disk.damage(ANCHOR_FILE, |bytes| {
        for at in [0, SLOT_BYTES] {
            let slot = Anchor::decode(&bytes[at..]).expect("whole").encode(&section);
            bytes[at..at + SLOT_BYTES].copy_from_slice(&slot);
        }
    }));
    let kept = |disk: &SimDisk| {
        let bytes = disk.contents(ANCHOR_FILE).expect("it is there");
        [0, SLOT_BYTES].map(|at| Anchor::sections(&bytes[at..at + SLOT_BYTES]) == section)
    };
    lives(&disk, &mut ledger, &options(), 3, Death::Close);
    let wal = open(&disk, &options());
    wal.truncate_before(2).expect("nothing fails");
    wal.truncate_after(9).expect("nothing fails");
    assert_eq!(kept(&disk), [true, true]);
    let target = SimDisk::new(6);
    wal.copy_into(&target).expect("nothing fails");
    assert_eq!(kept(&target), [true, true], "and in a copy");
}

#[test]
fn a_torn_tail_begins_a_segment_and_so_do_stray_bytes_unless_the_log_was_closed() {
    for (what, strays) in [("a header that is genuine", false), ("bytes that are none", true)] {
        for death in DEATHS {
            let disk = SimDisk::new(5);
            let mut ledger = Ledger::new(SyncPolicy::Immediate);
            lives(&disk, &mut ledger, &options(), 2, death);
            if !strays {
                // The entry and the batch of a life that nothing has covered; the first of them is lost.
                let wal = open(&disk, &options().sync(SyncPolicy::None));
                wal.append(&[1; 40]).expect("nothing fails");
                wal.append(&[2; 40]).expect("nothing fails");
                end(&disk, wal, Death::Kill);
            }
            let name = linked(&disk)[0].clone();
            assert!(disk.damage(&name, |bytes| {
                let all = frames(bytes);
                let last = all[all.len() - 1];
                if strays { bytes[last.end + 9000] = 1 } else { bytes[all[all.len() - 2].offset] ^= 1 }
            }));
            let closed = closed_slots(&disk) != [false, false];
            let wal = open(&disk, &options());
            if strays && closed {
                // One look is all that a log gets that was closed: nothing is written after a close that could tear.
                assert_eq!(wal.recovery().ending, Ending::Clean, "{what}");
                ledger.append(&wal, 10).expect("nothing fails");
                assert_eq!((linked(&disk).len(), contents(&wal)), (1, ledger.entries()), "{what}");
                continue;
            }
            assert!(matches!(wal.recovery().ending, Ending::Torn { .. }), "{what}: {}", wal.recovery());
            ledger.append(&wal, 10).expect("nothing fails");
            assert_eq!(linked(&disk).len(), 2, "{what}");
            assert_eq!(link(&disk, &linked(&disk)[1]).reason, LinkReason::Torn, "{what}");
            assert_eq!(contents(&wal), ledger.entries(), "{what}");
        }
    }
}

/// Six syncs a life: the directory, the anchor and the segment at the open; the anchor, which says that the log is open; the
/// entry; and the anchor, which says that the log is closed. On a real disk the parent of the directory is the seventh.
#[test]
fn a_life_of_one_durable_entry_takes_at_most_six_syncs_in_the_directory() {
    for (death, most) in [(Death::Close, 6), (Death::Drop, 5), (Death::Kill, 5)] {
        let disk = SimDisk::new(5);
        let syncs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&syncs);
        let seam = Seam::new(disk.clone(), move |call| {
            if matches!(call, Call::Sync { .. } | Call::SyncDirectory) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        for life in 0..20 {
            syncs.store(0, Ordering::SeqCst);
            let wal = options().open_in(seam.clone()).expect("nothing fails");
            wal.append(b"an entry").expect("nothing fails");
            end(&disk, wal, death);
            let took = syncs.load(Ordering::SeqCst);
            assert!(life == 0 || took <= most, "{death:?}: {took} syncs in life {life}");
        }
    }
}

/// While a slot of the anchor says closed and is believed, nothing is written after the SEAL.
#[test]
fn before_the_first_write_the_anchor_says_that_the_log_is_open_and_when_that_fails_nothing_is_written() {
    for call in [CallKind::Write, CallKind::SyncFile] {
        for with in [eio(), enospc()] {
            let disk = SimDisk::new(5);
            let mut ledger = Ledger::new(SyncPolicy::Immediate);
            lives(&disk, &mut ledger, &options(), 2, Death::Close);
            let name = linked(&disk)[0].clone();
            let before = disk.contents(&name);
            let wal = open(&disk, &options());
            assert_ne!(closed_slots(&disk), [false, false]);
            for _ in 0..3 {
                disk.fail(fault(call, 0, Times::Once, FaultEffect::Error(with)));
                let error = ledger.append(&wal, 10).expect_err("the anchor cannot be written");
                assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace), "{call:?}: {error}");
                assert_eq!(disk.contents(&name), before, "{call:?}: nothing was written");
                assert_eq!(contents(&wal), ledger.entries());
                for image in disk.crash_images(FEW_IMAGES, 7) {
                    check_power_cut(&image, &ledger, &options());
                }
            }
            ledger.append(&wal, 10).expect("the next append tries again");
            check_images(&disk, &ledger, &options(), FEW_IMAGES, 7);
            wal.close().expect("nothing fails");
            assert_eq!(contents(&open(&disk, &options())), ledger.entries());
        }
    }
}

/// One slot says closed, and the other one, which is newer, that the log was opened again; that one is damaged. What
/// was acknowledged since then stands after the SEAL that the older slot names.
#[test]
fn entries_after_a_close_are_there_when_the_newer_slot_of_the_anchor_is_damaged() {
    for death in DEATHS {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        lives(&disk, &mut ledger, &options(), 2, Death::Close);
        lives(&disk, &mut ledger, &options(), 1, death);
        for slot in 0..2 {
            let damaged = disk.kill();
            assert!(damaged.damage(ANCHOR_FILE, |bytes| bytes[slot * SLOT_BYTES + 40] ^= 1));
            assert_eq!(read(view(&damaged).range(..)).0, ledger.entries(), "{death:?}, slot {slot}");
            let wal = open(&damaged, &options());
            assert_eq!(contents(&wal), ledger.entries(), "{death:?}, slot {slot}");
            wal.append(b"and it goes on").expect("nothing fails");
            let again = open(&damaged.power_cut_losing_everything(), &options());
            assert_eq!(contents(&again).len(), ledger.entries().len() + 1, "{death:?}, slot {slot}");
        }
    }
}

/// A close that finds all entries durable does not sync its SEAL, so a power cut may take that away.
#[test]
fn a_close_whose_seal_is_lost_loses_no_entry_and_the_log_goes_on_before_its_place() {
    let closed = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    lives(&closed, &mut ledger, &options(), 2, Death::Close);
    let disk = closed.power_cut_losing_everything();
    let name = linked(&disk)[0].clone();
    assert_eq!(seals(&disk, &name).len(), 1, "the first SEAL was synced by the second life");
    assert_ne!(closed_slots(&disk), [false, false], "and the anchor says closed");
    let wal = open(&disk, &options());
    assert_eq!(wal.recovery().ending, Ending::Unclosed);
    assert_eq!(contents(&wal), ledger.entries());
    assert_eq!(
        closed_slots(&disk).map(usize::from).iter().sum::<usize>(),
        1,
        "the newer slot does not say so any more"
    );
    ledger.append(&wal, 10).expect("nothing fails");
    check_images(&disk, &ledger, &options(), FEW_IMAGES, 7);
    for slot in 0..2 {
        let damaged = disk.kill();
        assert!(damaged.damage(ANCHOR_FILE, |bytes| bytes[slot * SLOT_BYTES + 40] ^= 1));
        assert_eq!(contents(&open(&damaged, &options())), ledger.entries(), "slot {slot}");
    }
    drop(wal);
    lives(&disk, &mut ledger, &options(), 2, Death::Close);
    assert_eq!(linked(&disk).len(), 1);
    assert_eq!(contents(&open(&disk, &options())), ledger.entries());
}

/// A copy that was made file by file: the anchor of a log that was closed, and later a segment that goes on.
#[test]
fn an_anchor_that_is_older_than_its_segment_is_damage_and_no_shorter_log() {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    lives(&disk, &mut ledger, &options(), 2, Death::Close);
    let older = disk.contents(ANCHOR_FILE);
    lives(&disk, &mut ledger, &options(), 1, Death::Close);
    let mut files = directory(&disk);
    files.insert(ANCHOR_FILE.to_owned(), older);
    let raw = copy(&files);
    let error = refused(try_open(&raw, &options()), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the anchor says that the log was closed"), "{error}");
    let looked = view(&raw);
    assert_eq!(
        looked.recovery().ending.clone(),
        Ending::Corrupt(error.damage().expect("it says where").clone())
    );
    assert_eq!(read(looked.range(..)).0, ledger.entries()[..8], "what is before it is shown");
    assert_eq!(looked.verify().expect("it can be read").losses.readable, 12, "and all can be read");
}

#[test]
fn at_each_step_of_a_life_that_goes_on_a_power_cut_or_a_fault_loses_nothing() {
    for policy in EVERY_POLICY {
        let options = options().sync(policy);
        let steps = cut_everywhere(
            || Ledger::new(policy),
            |disk, ledger| lives(disk, ledger, &options, 2, Death::Close),
            |disk, ledger| {
                let Ok(wal) = try_open(disk, &options) else { return };
                for bytes in [30, 10] {
                    ledger.append(&wal, bytes).ok();
                }
                ledger.close(wal).ok();
            },
            |disk, ledger| check_images(disk, ledger, &options, FEW_IMAGES, 11),
        );
        assert!(steps > 8, "{policy:?}: {steps} steps");
    }
}

#[test]
fn a_copy_has_no_room_to_go_on_so_it_and_its_original_never_share_a_life() {
    for death in DEATHS {
        for copies_a_view in [false, true] {
            let disk = SimDisk::new(5);
            let mut ledger = Ledger::new(SyncPolicy::Immediate);
            lives(&disk, &mut ledger, &options(), 2, death);
            let target = SimDisk::new(6);
            if copies_a_view {
                view(&disk).copy_into(&target).expect("nothing fails");
            } else {
                open(&disk, &options()).copy_into(&target).expect("nothing fails");
            }
            let mut copied = ledger.clone();
            let shared = linked(&target)[0].clone();
            let before = target.contents(&shared);
            lives(&disk, &mut ledger, &options(), 1, death);
            lives(&target, &mut copied, &options(), 1, death);
            assert_eq!((linked(&disk).len(), linked(&target).len()), (1, 2), "{death:?}");
            assert_eq!(
                target.contents(&shared),
                before,
                "the copy writes nothing in the life that both have"
            );
            assert_eq!(contents(&open(&target, &options())), copied.entries(), "{death:?}");
        }
    }
}

#[test]
fn what_a_log_takes_is_the_same_before_and_after_it_is_opened_again() {
    for death in DEATHS {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        lives(&disk, &mut ledger, &options(), 1, death);
        let before = open(&disk, &options()).stats().disk_bytes;
        for _ in 0..5 {
            lives(&disk, &mut ledger, &options(), 1, death);
            let wal = open(&disk, &options());
            assert_eq!(wal.stats().disk_bytes, before, "{death:?}: the reserved length counts once");
        }
        // So a cap of two segments never refuses a log that goes on.
        let capped = options().max_log_bytes(2 * SEGMENT);
        lives(&disk, &mut ledger, &capped, 20, death);
        assert_eq!(contents(&open(&disk, &capped)), ledger.entries());
    }
}

/// Each SEAL has the points since the last one that has any, and names that one: reads of single entries do not walk.
#[test]
fn entries_of_many_lives_in_one_segment_are_found_by_the_indexes_of_all_their_seals() {
    let options = Options::new().segment_bytes(1 << 20).sync(SyncPolicy::None).background(false);
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::None);
    for life in 0..120 {
        let wal = open(&disk, &options);
        for _ in 0..20 {
            ledger.append(&wal, 300).expect("nothing fails");
        }
        end(&disk, wal, if life % 3 == 0 { Death::Kill } else { Death::Close });
    }
    let wal = open(&disk, &options);
    wal.roll().expect("nothing fails");
    assert_eq!(linked(&disk).len(), 1);
    let entries = ledger.entries();
    let read_bytes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&read_bytes);
    let seam = Seam::new(disk.clone(), move |call| {
        if let Call::Read { bytes, .. } = call {
            counted.fetch_add(bytes as u64, Ordering::SeqCst);
        }
        Ok(())
    });
    let looked = options.mapped_reads(false).open_read_only_in(seam).expect("a log");
    looked.read(0).expect("the index is read once");
    let mut most = 0;
    for (number, payload) in entries.iter().enumerate() {
        read_bytes.store(0, Ordering::SeqCst);
        assert_eq!(looked.read(number as u64).expect("it is there").payload(), payload, "entry {number}");
        most = most.max(read_bytes.load(Ordering::SeqCst));
    }
    assert!(most < 64 << 10, "{most} bytes for one entry of {} KiB", (entries.len() * 300) >> 10);
    assert_eq!(read(looked.range(..)).0, entries);
    let backward: Vec<_> =
        looked.range(..).rev().map(|entry| entry.expect("whole").payload().to_vec()).collect();
    assert!(backward.iter().rev().eq(entries.iter()));
    assert!(looked.verify().expect("it can be read").bad_indexes.is_empty());
}

/// Where a directory cannot be locked and LOCK can be removed, a second writer may get in.
#[test]
fn without_a_lock_on_the_directory_each_life_begins_a_segment() {
    let disk = SimDisk::new(5);
    disk.set_directory_lockable(false);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    lives(&disk, &mut ledger, &options(), 3, Death::Close);
    assert_eq!(linked(&disk).len(), 3);
    assert_eq!(contents(&open(&disk, &options())), ledger.entries());
}

#[test]
fn a_segment_that_a_truncation_has_cut_keeps_its_length() {
    let disk = SimDisk::new(5);
    let wal = open(&disk, &options());
    for number in 0..20_u8 {
        wal.append(&[number; 400]).expect("nothing fails");
    }
    let old = wal.range(..).expect("it is open");
    let first = linked(&disk)[0].clone();
    let reserved = disk.contents(&first).expect("it is there").len();
    wal.truncate_after(9).expect("nothing fails");
    wal.append(b"another").expect("nothing fails");
    wal.sync().expect("nothing fails");
    assert_eq!(disk.contents(&first).expect("it is there").len(), reserved);
    let (entries, error) = read(old);
    assert!(error.is_none() && entries.len() == 20, "{error:?}");
    drop(wal);
    let wal = open(&disk, &options());
    wal.append(b"once more").expect("nothing fails");
    assert_eq!(disk.contents(&first).expect("it is there").len(), reserved);
}

/// A torn tail leaves a segment with the space that was reserved for it, until the next one is the log's for certain.
#[test]
fn the_space_after_a_torn_tail_is_given_back_and_when_that_fails_nothing_is_lost() {
    for fails in [false, true] {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        lives(&disk, &mut ledger, &options(), 1, Death::Kill);
        let name = linked(&disk)[0].clone();
        assert!(disk.damage(&name, |bytes| {
            let end = frames(bytes).last().expect("a frame").end;
            bytes[end + 8] = 1;
        }));
        let wal = open(&disk, &options());
        assert_eq!(disk.contents(&name).expect("it is there").len() as u64, SEGMENT, "not by an open");
        if fails {
            disk.fail(fault(CallKind::SetLen, 0, Times::Forever, FaultEffect::Error(eio())));
        }
        ledger.append(&wal, 40).expect("nothing needs it");
        ledger.sync(&wal).expect("nothing needs it");
        let bytes = disk.contents(&name).expect("it is there").len() as u64;
        assert_eq!(bytes < 8192 + 1000, !fails, "{bytes} bytes");
        assert_eq!(contents(&wal), ledger.entries());
    }
}

/// What a later version may do to a log: empty it, and go on at another number. This one reads it so.
#[test]
fn an_anchor_that_begins_after_the_last_segment_is_an_empty_log_that_begins_there() {
    for first in [3, 100] {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        lives(&disk, &mut ledger, &options(), 2, Death::Close);
        assert!(disk.damage(ANCHOR_FILE, |bytes| {
            for at in [0, SLOT_BYTES] {
                let anchor = Anchor::decode(&bytes[at..]).expect("whole");
                let first_segment = wal_format::SegmentNumber::new(2).expect("not 0");
                let first = wal_format::Sequence::try_from(first).expect("small");
                let reset =
                    Anchor { first, first_segment, active: None, durable: None, seal_offset: None, ..anchor };
                bytes[at..at + SLOT_BYTES].copy_from_slice(&reset.encode(&[]));
            }
        }));
        assert_eq!((view(&disk).first(), view(&disk).written_end()), (first, first));
        let wal = open(&disk, &options());
        assert_eq!(wal.append(b"the first one").expect("nothing fails"), first);
        wal.close().expect("nothing fails");
        let wal = open(&disk.power_cut_losing_everything(), &options());
        assert_eq!((wal.first(), contents(&wal)), (first, vec![b"the first one".to_vec()]));
    }
}
