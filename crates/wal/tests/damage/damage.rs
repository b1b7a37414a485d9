//! Damage to what was durable is reported with its place, never passed over, and nothing on disk is changed.

use crate::common::bytes::{frames, segment_name, segments};
use crate::common::{HALF, Ledger, contents, directory, open, read, small, try_open, view};
use wal::{Ending, Error, ErrorKind, SyncPolicy};
use wal_segment::io::FileKind;
use wal_segment::io::sim::SimDisk;

/// Five segments of two entries each under immediate, closed or killed.
fn five_segments(closed: bool) -> (SimDisk, Ledger) {
    let policy = SyncPolicy::Immediate;
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(policy);
    let wal = open(&disk, &small(policy));
    for bytes in [HALF, HALF - 1, HALF, HALF - 2, HALF, HALF - 3, HALF, HALF - 4, HALF, HALF - 5] {
        ledger.append(&wal, bytes).expect("nothing fails");
    }
    if closed {
        ledger.close(wal).expect("nothing fails");
    } else {
        drop(wal);
    }
    let disk = crate::common::copy(&directory(&disk));
    // A log that was not closed has the next segment prepared, too.
    assert_eq!(segments(&disk).len(), 5 + usize::from(!closed));
    (disk, ledger)
}

/// What an application gets out of the log: entries from the front, then perhaps an error.
fn get(disk: &SimDisk) -> (Vec<Vec<u8>>, Option<Error>) {
    match try_open(disk, &small(SyncPolicy::Immediate)) {
        Err(error) => (Vec::new(), Some(error)),
        Ok(wal) => read(wal.range(..).expect("the log is open")),
    }
}

/// The log must be refused, at open or when its reader gets there, and stay as it is; a view shows what is
/// good and then says the same.
#[track_caller]
fn is_reported(what: &str, disk: &SimDisk, ledger: &Ledger, file: &str) {
    let before = directory(disk);
    let (shown, error) = get(disk);
    let Some(error) = error else { panic!("{what}: {} entries and no error", shown.len()) };
    assert!(ledger.entries().starts_with(&shown), "{what}: wrong bytes");
    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing), "{what}: {error:?}");
    let damage = error.damage().unwrap_or_else(|| panic!("{what}: no place: {error:?}"));
    assert!(damage.file.ends_with(file), "{what}: another file is named: {error}");
    assert!(damage.sequences.is_some(), "{what}: no entries are named: {error}");
    assert!(error.to_string().contains(file), "{what}: {error}");
    assert!(directory(disk) == before, "{what}: the directory was changed");

    let looked = view(disk);
    let (good, error) = read(looked.range(..));
    assert!(error.is_some(), "{what}: the view passes over it");
    assert!(ledger.entries().starts_with(&good), "{what}: the view shows wrong bytes");
    assert!(!looked.verify().expect(what).damages.is_empty(), "{what}: verify finds nothing");
    assert!(directory(disk) == before, "{what}: the view changed the directory");
}

// pebble#453 and rocksdb#7701: a segment in the middle was bad or missing, and replay went on with the next
// one. The application got a history with a hole in it and no error.
#[test]
fn a_missing_duplicated_renamed_cut_empty_or_swapped_segment_is_never_a_silent_hole() {
    for closed in [true, false] {
        let (whole, ledger) = five_segments(closed);
        let files = directory(&whole);
        for number in 1..=5_u64 {
            let name = segment_name(number);
            let bytes = files[&name].clone().expect("a file");
            let state = if closed { "closed" } else { "killed" };
            let case = |what: &str| format!("{state}, segment {number}: {what}");
            let fresh = || crate::common::copy(&files);

            let disk = fresh();
            disk.delete(&name);
            is_reported(&case("missing"), &disk, &ledger, &name);

            let disk = fresh();
            disk.put(&name, &[]);
            is_reported(&case("empty"), &disk, &ledger, &name);

            let ends: Vec<usize> =
                frames(&bytes).iter().flat_map(|frame| [frame.offset, frame.end - 1]).collect();
            for cut in [1, 80, 4096, 8191, 8192].into_iter().chain(ends) {
                let disk = fresh();
                disk.damage(&name, |bytes| bytes.truncate(cut));
                let last = frames(&bytes)[frames(&bytes).len() - 1].offset;
                if number == 5 && cut >= last {
                    // Nothing later vouches for what the last sync covered: it looks like a torn tail. In a closed log that
                    // is the SEAL, without which no entry is lost.
                    let (shown, error) = get(&disk);
                    let kept = if closed { 10 } else { 9 };
                    assert!(error.is_none() && shown == ledger.entries()[..kept], "{error:?}");
                    continue;
                }
                is_reported(&case(&format!("cut to {cut} bytes")), &disk, &ledger, &name);
            }

            let disk = fresh();
            disk.put(&name, &vec![0; bytes.len()]);
            is_reported(&case("blank"), &disk, &ledger, &name);

            for other in (1..=5_u64).filter(|&other| other != number) {
                let other_name = segment_name(other);
                let other_bytes = files[&other_name].clone().expect("a file");
                let disk = fresh();
                disk.put(&name, &other_bytes);
                is_reported(&case(&format!("a copy of {other}")), &disk, &ledger, &name);

                let disk = fresh();
                disk.put(&name, &other_bytes);
                disk.put(&other_name, &bytes);
                // Whichever of the two is named first.
                let (shown, error) = get(&disk);
                assert!(error.is_some() && ledger.entries().starts_with(&shown), "{}", case("swapped"));
            }

            // A copy under the next free number, and under one beyond it.
            for free in [6, 7] {
                let disk = fresh();
                disk.put(&segment_name(free), &bytes);
                let before = directory(&disk);
                let (_, error) = get(&disk);
                let error = error.unwrap_or_else(|| panic!("{} as {free}", case("duplicated")));
                assert!(error.damage().is_some_and(|damage| damage.sequences.is_some()), "{error}");
                assert!(directory(&disk) == before);

                let disk = fresh();
                disk.put(&segment_name(free), &bytes);
                disk.delete(&name);
                let before = directory(&disk);
                let (_, error) = get(&disk);
                assert!(error.is_some(), "{} to {free}", case("renamed"));
                assert!(directory(&disk) == before);
            }

            for kind in [FileKind::Directory, FileKind::Symlink, FileKind::Other] {
                let disk = fresh();
                disk.put_kind(&name, kind);
                let (shown, error) = get(&disk);
                assert!(error.is_some() && ledger.entries().starts_with(&shown), "{}", case("no file"));
            }
        }
    }
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (mine, ledger) = five_segments(true);
    let other = SimDisk::new(6);
    let wal = open(&other, &small(SyncPolicy::Immediate));
    for _ in 0..10 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    wal.close().expect("nothing fails");
    for number in 1..=5 {
        let name = segment_name(number);
        let disk = crate::common::copy(&directory(&mine));
        disk.put(&name, &other.contents(&name).expect("five segments there too"));
        is_reported(&format!("segment {number} of another log"), &disk, &ledger, &name);
    }
}

#[test]
fn a_lost_anchor_is_reported_as_long_as_there_are_segments() {
    let (whole, _) = five_segments(true);
    for cut in [0, 1, 127] {
        let disk = crate::common::copy(&directory(&whole));
        disk.damage("ANCHOR", |bytes| bytes.truncate(cut));
        let before = directory(&disk);
        let error = crate::common::refused(try_open(&disk, &small(SyncPolicy::None)), ErrorKind::Corrupt);
        assert!(error.to_string().contains("ANCHOR"), "{error}");
        assert!(directory(&disk) == before);
    }
    let disk = crate::common::copy(&directory(&whole));
    disk.delete("ANCHOR");
    crate::common::refused(try_open(&disk, &small(SyncPolicy::None)), ErrorKind::Corrupt);
}

#[test]
fn either_slot_of_the_anchor_may_be_lost() {
    for closed in [true, false] {
        let (whole, ledger) = five_segments(closed);
        for slot in [0, 4096] {
            let disk = crate::common::copy(&directory(&whole));
            disk.damage("ANCHOR", |bytes| bytes[slot..slot + 4096].fill(0xff));
            assert_eq!(contents(&open(&disk, &small(SyncPolicy::Immediate))), ledger.entries());
        }
    }
}

#[test]
fn either_header_of_a_segment_may_be_lost_and_verify_says_so() {
    let (whole, ledger) = five_segments(true);
    for number in 1..=5 {
        for copy in [0, 4096] {
            let disk = crate::common::copy(&directory(&whole));
            disk.damage(&segment_name(number), |bytes| bytes[copy..copy + 512].fill(0xff));
            assert_eq!(contents(&open(&disk, &small(SyncPolicy::Immediate))), ledger.entries());
            assert_eq!(view(&disk).verify().expect("readable").damages.len(), 1);
        }
    }
}

/// A log of six small entries in one segment, under immediate; the next frame proves each but the last.
fn six_entries(closed: bool) -> (SimDisk, Ledger) {
    let disk = SimDisk::new(8);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for bytes in [24, 24, 3, 0, 24, 24] {
        ledger.append(&wal, bytes).expect("nothing fails");
    }
    if closed {
        ledger.close(wal).expect("nothing fails");
    }
    (crate::common::copy(&directory(&disk)), ledger)
}

// The decoders of etcd and of open-wal take a zeroed record header for the clean end of the log, for that is
// what preallocated space looks like. A zeroed sector in the middle of acknowledged records ended the log
// there, silently.
#[test]
fn a_zeroed_frame_header_in_acknowledged_space_is_never_the_clean_end() {
    for closed in [false, true] {
        let (whole, ledger) = six_entries(closed);
        let name = segment_name(1);
        let all = frames(&whole.contents(&name).expect("a segment"));
        // An unclosed log cannot know of its last frame whether it was ever durable. That of a closed one is the SEAL.
        let proven = all.len() - 1;
        for (index, frame) in all.iter().enumerate().take(proven) {
            for end in [frame.offset + 32, frame.end, all[all.len() - 1].offset] {
                let disk = crate::common::copy(&directory(&whole));
                if end <= frame.offset {
                    continue;
                }
                disk.damage(&name, |bytes| bytes[frame.offset..end].fill(0));
                is_reported(
                    &format!("closed {closed}: zeros in frame {index} up to {end}"),
                    &disk,
                    &ledger,
                    &name,
                );
            }
        }
    }
}

#[test]
fn zeros_over_everything_behind_the_link_of_a_closed_log_are_reported() {
    let (whole, ledger) = six_entries(true);
    let disk = crate::common::copy(&directory(&whole));
    disk.damage(&segment_name(1), |bytes| bytes[8192 + 64..].fill(0));
    is_reported("zeros to the end", &disk, &ledger, &segment_name(1));
}

// influxdb_iox#6222 and fjall#68: one damaged length, and everything behind it was parsed from the wrong
// place. What came out looked like records.
#[test]
fn no_flipped_bit_of_any_frame_header_or_table_ever_gives_wrong_bytes_or_a_silent_loss() {
    for closed in [false, true] {
        let (whole, ledger) = six_entries(closed);
        let entries = ledger.entries();
        let name = segment_name(1);
        let all = frames(&whole.contents(&name).expect("a segment"));
        let data_frames = 6;
        for (index, frame) in all.iter().enumerate() {
            for bit in 0..(frame.end - frame.offset) * 8 {
                let disk = crate::common::copy(&directory(&whole));
                disk.damage(&name, |bytes| bytes[frame.offset + bit / 8] ^= 1 << (bit % 8));
                let what = format!("closed {closed}, frame {index}, bit {bit}");
                let before = directory(&disk);
                let (shown, error) = get(&disk);
                assert!(entries.starts_with(&shown), "{what}: wrong bytes");
                match error {
                    Some(error) => {
                        assert!(error.damage().is_some(), "{what}: {error:?}");
                        assert!(directory(&disk) == before, "{what}: the directory was changed");
                    }
                    // The last frame of an unclosed log may never have been durable.
                    None if !closed && index == data_frames => assert_eq!(shown.len(), 5, "{what}"),
                    // The index at the end of a segment is derived data.
                    None if closed && index > data_frames => assert_eq!(shown, entries, "{what}"),
                    None => panic!("{what}: {} of {} entries and no error", shown.len(), entries.len()),
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_a_closed_segment_names_the_entry_at_the_read_and_leaves_the_rest_readable() {
    let (whole, ledger) = five_segments(true);
    let name = segment_name(2);
    let frame = frames(&whole.contents(&name).expect("a segment"))[2];
    let disk = crate::common::copy(&directory(&whole));
    disk.damage(&name, |bytes| bytes[frame.offset + 700] ^= 4);
    is_reported("a bit of entry 3", &disk, &ledger, &name);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    let (shown, error) = read(wal.range(..).expect("open"));
    let damage = error.expect("it is damaged").damage().cloned().expect("with a place");
    assert_eq!(shown.len(), 3);
    let lost = damage.sequences.expect("known");
    assert_eq!((lost.first, lost.end, damage.offset), (Some(3), Some(4), frame.offset as u64));
    let (behind, error) = read(wal.range(4..).expect("open"));
    assert!(error.is_none() && behind == ledger.entries()[4..], "what is whole can be read: {error:?}");
}

#[test]
fn a_view_of_a_damaged_log_reports_the_damage_and_reads_up_to_it() {
    let (whole, ledger) = five_segments(true);
    let disk = crate::common::copy(&directory(&whole));
    disk.delete(&segment_name(3));
    let looked = view(&disk);
    let Ending::Corrupt(damage) = &looked.recovery().ending else { panic!("{}", looked.recovery()) };
    assert!(damage.file.ends_with(segment_name(3)));
    let (shown, error) = read(looked.range(..));
    assert_eq!(shown, ledger.entries()[..4], "both segments in front of the hole");
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Missing));
}
