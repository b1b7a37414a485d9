//! Many short lives of a process: they pile up neither files nor space, and nothing of the log is changed.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::sync::{Arc, Mutex};

use common::bytes::{linked, segments};
use common::{CHECKSUMS, FEW_IMAGES, Ledger, contents, eio, enospc, fault, open, read, view};
use wal::{Checksum, ErrorKind, Options, Rollover, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, Failure, FaultEffect, SimDisk, SyncLoss, Times};

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

/// Segments of which a few lives of a few entries each are a small part, so that a merge holds many of them.
const SEGMENT: u64 = 64 << 10;
const MIN_SEGMENT: u64 = 12 << 10;

fn options() -> Options {
    Options::new().segment_bytes(SEGMENT).sync(SyncPolicy::Immediate).background(false)
}

/// As many lives as it takes until the next one merges.
const LIVES: usize = 9;

/// A log of one segment a life, a batch and an empty entry among them.
fn short_lives(options: &Options, death: Death) -> (SimDisk, Ledger) {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    for _ in 0..LIVES {
        let wal = open(&disk, options);
        ledger.append(&wal, 30).expect("nothing fails");
        ledger.batch(&wal, &[17, 0, 200]).expect("nothing fails");
        end(&disk, wal, death);
    }
    assert_eq!(linked(&disk).len(), LIVES, "one segment a life, so far");
    (disk, ledger)
}

fn disk_bytes(disk: &SimDisk) -> u64 {
    let bytes = |name: &String| disk.contents(name).map_or(0, |bytes| bytes.len() as u64);
    segments(disk).iter().map(bytes).sum()
}

/// Of nine closed segments in a row, the first one left out, what they hold is more than what is merged. There may be eight
/// more, the first one, the last one, and one that is prepared.
fn holds_the_bound(disk: &SimDisk, held_bytes: u64, segment_bytes: u64) {
    let most = (1 << 20).min((segment_bytes - 8192) / 2);
    let files = segments(disk).len() as u64;
    let bound = 11 + 9 * held_bytes / most;
    assert!(files <= bound, "{files} files, and not {bound}, for {held_bytes} bytes");
}

#[test]
fn a_thousand_lives_leave_few_files_and_little_space_however_they_end() {
    for death in DEATHS {
        let disk = SimDisk::new(5);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        let mut most = 0;
        for life in 0..1000_u64 {
            let wal = open(&disk, &options());
            for bytes in [20, 0, 90] {
                ledger.append(&wal, bytes).expect("nothing fails");
            }
            end(&disk, wal, death);
            // A frame is at most this much longer than what is in it.
            let held_bytes = (life + 1) * (3 * 48 + 110 + 64);
            holds_the_bound(&disk, held_bytes, SEGMENT);
            most = most.max(segments(&disk).len());
        }
        let held_bytes = 1000 * (3 * 48 + 110 + 64_u64);
        let files = segments(&disk).len() as u64;
        // Only the last segment, and the one that is prepared, may be longer than what they hold.
        let bound = held_bytes + files * (8192 + 64 + 4096) + 2 * SEGMENT;
        assert!(disk_bytes(&disk) <= bound, "{death:?}: {} bytes, and not {bound}", disk_bytes(&disk));
        assert!(most < 30, "{death:?}: {most} files at once");
        let wal = open(&disk, &options());
        assert_eq!(contents(&wal), ledger.entries(), "{death:?}");
        drop(wal);
        let looked = view(&disk);
        assert_eq!(read(looked.range(..)).0, ledger.entries(), "{death:?}");
        assert!(looked.verify().expect("it can be read").damages.is_empty(), "{death:?}");
    }
}

#[test]
fn a_merge_changes_neither_numbers_nor_bytes_and_removes_the_small_segments() {
    for &before in CHECKSUMS {
        for &after in CHECKSUMS {
            for death in DEATHS {
                let (disk, mut ledger) = short_lives(&options().checksum(before), death);
                let names = linked(&disk);
                let rollovers = Arc::new(Mutex::new(Vec::<Rollover>::new()));
                let noted = Arc::clone(&rollovers);
                let told = options()
                    .checksum(after)
                    .on_rollover(move |rollover| noted.lock().expect("nobody panics").push(*rollover));
                let wal = open(&disk, &told);
                let next = ledger.append(&wal, 40).expect("nothing fails");
                assert_eq!(contents(&wal), ledger.entries());
                assert_eq!(linked(&disk), [names[0].clone(), common::bytes::segment_name(10)]);
                let rollovers = rollovers.lock().expect("nobody panics").clone();
                let told: Vec<_> = rollovers.iter().map(|told| (told.from, told.to, told.first)).collect();
                assert_eq!(told, [(Some(9), 10, next)], "the log went on once, with the new entry");
                for number in 0..ledger.entries().len() as u64 {
                    let entry = wal.read(number).expect("it is there");
                    assert_eq!(entry.payload(), ledger.entries()[usize::try_from(number).expect("few")]);
                }
                let mut backward = wal.range(..).expect("it is open").rev();
                let last = backward.next().expect("there are some").expect("it can be read");
                assert_eq!(last.payload(), ledger.entries().last().expect("there are some"));
                drop(wal);
                assert!(view(&disk).verify().expect("it can be read").damages.is_empty());
                assert_eq!(contents(&open(&disk, &options())), ledger.entries());
            }
        }
    }
}

#[test]
fn a_log_that_begins_inside_one_of_the_small_segments_still_does_so() {
    let (disk, mut ledger) = short_lives(&options(), Death::Kill);
    let wal = open(&disk, &options());
    let first = 6;
    wal.truncate_before(first).expect("nothing fails");
    drop(wal);
    for _ in 0..20 {
        let wal = open(&disk, &options());
        assert_eq!(wal.first(), first);
        ledger.append(&wal, 25).expect("nothing fails");
        assert_eq!(contents(&wal), ledger.entries()[usize::try_from(first).expect("small")..]);
        end(&disk, wal, Death::Kill);
    }
    assert!(linked(&disk).len() <= 9, "{:?}", linked(&disk));
}

#[test]
fn what_a_truncation_has_cut_out_of_a_batch_is_not_copied() {
    let (disk, ledger) = short_lives(&options(), Death::Close);
    let mut entries = ledger.entries();
    let wal = open(&disk, &options());
    // The last batch loses its last entry.
    let last = entries.len() as u64 - 2;
    wal.truncate_after(last).expect("nothing fails");
    entries.pop();
    drop(wal);
    for number in 0..3_u8 {
        let wal = open(&disk, &options());
        assert_eq!(wal.append(&[number; 9]).expect("nothing fails"), entries.len() as u64);
        entries.push(vec![number; 9]);
        assert_eq!(contents(&wal), entries);
        end(&disk, wal, Death::Kill);
    }
    assert!(linked(&disk).len() < LIVES, "{:?}", linked(&disk));
}

#[test]
fn a_reader_that_came_before_a_merge_reads_on() {
    let (disk, mut ledger) = short_lives(&options(), Death::Close);
    let before = ledger.entries();
    let wal = open(&disk, &options());
    let mut entries = wal.range(..).expect("it is open");
    let first = entries.next().expect("there are some").expect("it can be read");
    ledger.append(&wal, 40).expect("nothing fails");
    assert_eq!(linked(&disk).len(), LIVES + 1, "the files stay for the reader");
    let (rest, error) = read(entries);
    assert!(error.is_none(), "{error:?}");
    assert_eq!([vec![first.payload().to_vec()], rest].concat(), before);
    wal.close().expect("nothing fails");
    assert_eq!(linked(&disk).len(), 2, "and go when it is gone");
    assert_eq!(contents(&open(&disk, &options())), ledger.entries());
}

#[test]
fn damage_in_a_small_segment_is_not_copied_and_stays_reported() {
    let (undamaged, ledger) = short_lives(&options(), Death::Close);
    for victim in [1, 4, 8] {
        let disk = undamaged.kill();
        let name = linked(&disk)[victim].clone();
        let frame = common::bytes::frames(&disk.contents(&name).expect("it is there"))[1];
        // The open of a closed log checks its SEAL alone, so this is met by whoever reads it.
        assert!(disk.damage(&name, |bytes| bytes[frame.end - 9] ^= 1));
        let wal = open(&disk, &options());
        let names = linked(&disk);
        wal.append(b"behind it").expect("an append needs no other segment");
        assert!(names.iter().all(|name| linked(&disk).contains(name)), "nothing was merged");
        let (good, error) = read(wal.range(..).expect("it is open"));
        let error = error.expect("it is still damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(good, ledger.entries()[..victim * 4]);
        assert_eq!(
            error.damage().expect("it says where").sequences.expect("and which").first,
            Some(victim as u64 * 4)
        );
    }
}

/// Every call of the append that merges fails once, or for good: it is accepted, or the log is poisoned, or there is
/// no space; and all that was acknowledged is there.
#[test]
fn whatever_fails_in_a_merge_nothing_is_lost() {
    let (prepared, ledger) = short_lives(&options(), Death::Kill);
    let calls = [CallKind::Write, CallKind::SyncFile, CallKind::Read, CallKind::Any];
    let effects = [
        FaultEffect::Error(eio()),
        FaultEffect::Error(enospc()),
        FaultEffect::PartialThenError(40, enospc()),
        FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld),
    ];
    let (mut merged, mut went_on, mut refused) = (0, 0, 0);
    for call in calls {
        for with in effects {
            let is_sync = matches!(with, FaultEffect::SyncLoss(_));
            if is_sync && call != CallKind::SyncFile {
                continue;
            }
            for times in [Times::Once, Times::Forever] {
                for nth in 0..60 {
                    let disk = prepared.kill();
                    let mut ledger = ledger.clone();
                    let wal = open(&disk, &options());
                    disk.fail(fault(call, nth, times, with));
                    let told = ledger.append(&wal, 40);
                    disk.heal();
                    let what = format!("{call:?} {nth}, {times:?}: {with:?}");
                    match told {
                        Ok(_) if linked(&disk).len() == 2 => merged += 1,
                        Ok(_) => went_on += 1,
                        Err(_) => refused += 1,
                    }
                    if matches!(&told, Err(error) if error.kind() == ErrorKind::Poisoned) {
                        assert!(call == CallKind::SyncFile || call == CallKind::Any, "{what}: poisoned");
                    } else {
                        let (shown, error) = read(wal.range(..).expect("it is open"));
                        assert!(error.is_none(), "{what}: {error:?}");
                        assert_eq!(shown, ledger.entries(), "{what}");
                        ledger.append(&wal, 50).expect("nothing fails any more");
                    }
                    drop(wal);
                    for image in [disk.kill(), disk.power_cut_losing_everything()] {
                        common::check_power_cut(&image, &ledger, &options());
                    }
                }
            }
        }
    }
    assert!(merged > 100 && went_on > 20 && refused > 20, "{merged}, {went_on}, {refused}");
}

#[test]
fn a_full_disk_takes_an_append_where_it_would_without_a_merge() {
    let (prepared, ledger) = short_lives(&options(), Death::Close);
    // Room for the smallest segment, and the names; no more.
    for free_bytes in (0..4 * SEGMENT).step_by(4096) {
        let disk = prepared.kill();
        let mut ledger = ledger.clone();
        let wal = open(&disk, &options());
        disk.space(Some(free_bytes));
        let told = ledger.append(&wal, 40);
        assert_eq!(told.is_ok(), free_bytes >= MIN_SEGMENT, "{free_bytes} bytes are free: {told:?}");
        assert_eq!(contents(&wal), ledger.entries());
    }
}

#[test]
fn a_power_cut_at_each_step_of_a_merge_leaves_the_same_log_twice() {
    for checksum in [Checksum::Crc32, Checksum::default()] {
        let options = options().checksum(checksum);
        let (prepared, at_first) = short_lives(&options, Death::Kill);
        let mut steps = 0;
        loop {
            let disk = prepared.kill();
            let mut ledger = at_first.clone();
            let wal = open(&disk, &options);
            disk.crash_at(disk.operations() + steps);
            if ledger.append(&wal, 40).is_ok() && !disk.crashed() {
                break;
            }
            drop(wal);
            for image in disk.crash_images(FEW_IMAGES, steps) {
                let shown = contents(&open(&image, &options));
                assert_eq!(contents(&open(&image, &options)), shown, "step {steps}\n{}", image.origin());
                common::check_power_cut(&image, &ledger, &options);
            }
            steps += 1;
        }
        assert!(steps > 10, "only {steps} steps");
    }
}

#[test]
fn the_space_that_a_killed_life_had_reserved_is_given_back_by_the_next_one() {
    for policy in common::EVERY_POLICY {
        for death in [Death::Drop, Death::Kill] {
            let options = options().sync(policy);
            let disk = SimDisk::new(5);
            let mut ledger = Ledger::new(policy);
            for _ in 0..2 {
                let wal = open(&disk, &options);
                ledger.append(&wal, 100).expect("nothing fails");
                end(&disk, wal, death);
            }
            let first = linked(&disk)[0].clone();
            let reserved = disk.contents(&first).expect("it is there").len() as u64;
            let wal = open(&disk, &options);
            assert_eq!(disk.contents(&first).expect("it is there").len() as u64, reserved, "not by an open");
            ledger.append(&wal, 100).expect("nothing fails");
            ledger.sync(&wal).expect("nothing fails");
            for name in &linked(&disk)[..2] {
                let bytes = disk.contents(name).expect("it is there").len();
                assert!(bytes < 8192 + 400, "{policy:?}, {death:?}: {name} still takes {bytes} bytes");
            }
            let spare_and_anchor = 8192;
            assert_eq!(wal.stats().disk_bytes, disk_bytes(&disk) + spare_and_anchor, "{policy:?}");
            assert_eq!(contents(&wal), ledger.entries());
        }
    }
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

#[test]
fn space_that_cannot_be_given_back_is_no_error() {
    let (disk, mut ledger) = short_lives(&options(), Death::Kill);
    let wal = open(&disk, &options());
    disk.fail(fault(CallKind::SetLen, 0, Times::Forever, FaultEffect::Error(eio())));
    ledger.append(&wal, 40).expect("nothing needs it");
    ledger.sync(&wal).expect("nothing needs it");
    assert_eq!(contents(&wal), ledger.entries());
}
