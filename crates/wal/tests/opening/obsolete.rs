//! What crashed creations, other programs and people leave in the directory.

use crate::common::bytes::{linked, segment_name, segments};
use crate::common::{
    HALF, Ledger, check_power_cut, contents, directory, open, refused, small, try_open, view,
};
use wal::{Ending, ErrorKind, SyncPolicy};
use wal_segment::io::FileKind;
use wal_segment::io::sim::SimDisk;

const POLICY: SyncPolicy = SyncPolicy::Immediate;

/// A log of so many segments of two entries, closed or killed before another one was prepared.
fn log_of(count: usize, closed: bool) -> (SimDisk, Ledger) {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(POLICY);
    let wal = open(&disk, &small(POLICY));
    for _ in 0..count * 2 {
        ledger.append(&wal, HALF).expect("nothing fails");
    }
    if closed {
        ledger.close(wal).expect("nothing fails");
    }
    let disk = crate::common::copy(&directory(&disk));
    let prepared = segments(&disk).len() - linked(&disk).len();
    assert_eq!((linked(&disk).len(), prepared), (count, usize::from(!closed && count > 0)));
    disk.delete(&segment_name(count as u64 + 1));
    (disk, ledger)
}

/// Opens, appends over a rollover, and holds it against the oracle after a power cut.
#[track_caller]
fn goes_on(what: &str, disk: &SimDisk, ledger: &Ledger) {
    let mut ledger = ledger.clone();
    let wal = match try_open(disk, &small(POLICY)) {
        Ok(wal) => wal,
        Err(error) => panic!("{what}: {error}"),
    };
    assert!(contents(&wal) == ledger.entries(), "{what}");
    for bytes in [10, HALF, HALF, HALF] {
        ledger.append(&wal, bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    drop(wal);
    check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(POLICY));
}

// okaywal#14 and ra#165: an empty file, or one whose first entry had been rolled back, was where recovery
// expected a segment, and every start failed on it.
#[test]
fn an_empty_blank_or_header_only_file_behind_the_last_segment_is_a_prepared_one() {
    for count in [0, 1, 3] {
        for closed in [true, false] {
            let (whole, ledger) = log_of(count, closed);
            let spare = segment_name(count as u64 + 1);
            // What preparing the next segment leaves at each of its steps.
            let header = {
                let disk = crate::common::copy(&directory(&whole));
                open(&disk, &small(POLICY)).append(&[1; HALF]).expect("nothing fails");
                disk.contents(&spare).expect("the next segment")[..8192].to_vec()
            };
            let blank = vec![0; 12 << 10];
            let mut only_a = blank.clone();
            only_a[..4096].copy_from_slice(&header[..4096]);
            let mut only_b = blank.clone();
            only_b[4096..8192].copy_from_slice(&header[4096..]);
            let mut both = blank.clone();
            both[..8192].copy_from_slice(&header);
            let mut half = blank.clone();
            half[..40].copy_from_slice(&header[..40]);
            let files: [(&str, &[u8]); 9] = [
                ("empty", &[]),
                ("one byte", &[0]),
                ("blank", &blank),
                ("blank and longer", &[0; 40 << 10]),
                ("header A", &only_a),
                ("header B", &only_b),
                ("both headers", &both),
                ("both headers and no space", &header),
                ("half a header", &half),
            ];
            for (what, bytes) in files {
                let what = format!("{count} segments, closed {closed}, then {what}");
                let disk = crate::common::copy(&directory(&whole));
                disk.put(&spare, bytes);
                assert_eq!(view(&disk).written_end(), ledger.entries().len() as u64, "{what}");
                goes_on(&what, &disk, &ledger);
            }
        }
    }
}

#[test]
fn such_a_file_anywhere_else_is_an_error_that_names_it_and_never_a_silent_hole() {
    for closed in [true, false] {
        let (whole, ledger) = log_of(4, closed);
        let header = whole.contents(&segment_name(2)).expect("a segment")[..8192].to_vec();
        // In the place of a segment, and behind a gap.
        for number in [1, 2, 3, 4, 6, 9] {
            let name = segment_name(number);
            for (what, bytes) in [("empty", vec![]), ("blank", vec![0; 12 << 10]), ("header", header.clone())]
            {
                let disk = crate::common::copy(&directory(&whole));
                disk.put(&name, &bytes);
                let before = directory(&disk);
                let error = match try_open(&disk, &small(POLICY)) {
                    Err(error) => error,
                    Ok(wal) => panic!("{what} as {number}: opened with {} entries", contents(&wal).len()),
                };
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing), "{error}");
                // Behind a gap, the gap is what is wrong.
                let named = if number > 4 { segment_name(5) } else { name.clone() };
                let alien = number > 4 && error.to_string().contains(&name);
                assert!(error.to_string().contains(&named) || alien, "{what} as {number}: {error}");
                assert!(directory(&disk) == before, "{what} as {number}: changed");
                let shown = crate::common::read(view(&disk).range(..)).0;
                assert!(ledger.entries().starts_with(&shown), "{what} as {number}");
            }
        }
    }
}

#[test]
fn a_first_entry_that_was_rolled_back_leaves_a_log_that_goes_on() {
    // The LINK and the first frame are one write; whatever part of it is there, nothing was acknowledged.
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    wal.append(&[7; 200]).expect("nothing fails");
    drop(wal);
    let files = directory(&disk);
    let name = segment_name(1);
    for kept in (8192..8192 + 64 + 240).step_by(8) {
        let disk = crate::common::copy(&files);
        // The anchor of a log that has not synced its first segment names none.
        disk.damage(&name, |bytes| bytes[kept..].fill(0));
        let ledger = Ledger::new(POLICY);
        goes_on(&format!("{kept} bytes"), &disk, &ledger);
    }
}

// A log written in Go failed every open when a temporary file of an earlier run was in its directory.
#[test]
fn an_unfinished_creation_is_no_obstacle() {
    let new = SimDisk::new(1);
    drop(open(&new, &small(POLICY)));
    let anchor = new.contents("ANCHOR").expect("a new log has one");
    let ledger = Ledger::new(POLICY);
    let mut leftovers: Vec<(String, Vec<u8>)> = Vec::new();
    for bytes in [0, 1, 8, 64, 127, 128, 129, 4095, 4096, 4097, 4200, 8191, 8192] {
        leftovers.push((format!("{bytes} bytes of the anchor"), anchor[..bytes].to_vec()));
        let mut sparse = vec![0; 8192];
        sparse[..bytes].copy_from_slice(&anchor[..bytes]);
        leftovers.push((format!("{bytes} bytes of the anchor, zeros behind"), sparse));
    }
    let mut second = anchor.clone();
    second[..4096].fill(0);
    leftovers.push(("the second slot alone".into(), second));
    leftovers.push(("blank".into(), vec![0; 8192]));
    leftovers.push(("longer than an anchor".into(), [anchor, vec![0; 9000]].concat()));
    for (what, bytes) in leftovers {
        for lock in [true, false] {
            let disk = SimDisk::new(2);
            disk.put("ANCHOR", &bytes);
            if lock {
                disk.put("LOCK", b"");
            }
            goes_on(&what, &disk, &ledger);
        }
    }
    let disk = SimDisk::new(2);
    disk.put("LOCK", b"somebody's number");
    goes_on("a lock alone", &disk, &ledger);
}

#[test]
fn names_that_are_not_ours_are_left_alone_and_counted() {
    for closed in [true, false] {
        let (disk, ledger) = log_of(2, closed);
        let foreign = [
            "00000000000000000003.wal.bak",
            "00000000000000000003.tmp",
            "3.wal",
            "00000000000000000000.wal",
            "99999999999999999999.wal",
            "ANCHOR.tmp",
            "anchor",
            "LOCK~",
            ".nfs0001",
        ];
        for name in foreign {
            disk.put(name, b"somebody else's");
        }
        disk.put_kind("lost+found", FileKind::Directory);
        disk.put_kind("link", FileKind::Symlink);
        disk.put_kind("socket", FileKind::Other);
        assert_eq!(view(&disk).recovery().ignored_names, foreign.len() + 3);
        let wal = open(&disk, &small(POLICY));
        assert_eq!(wal.recovery().ignored_names, foreign.len() + 3);
        drop(wal);
        goes_on("foreign names", &disk, &ledger);
        for name in foreign {
            assert_eq!(disk.contents(name).as_deref(), Some(&b"somebody else's"[..]), "{name}");
        }
    }
}

#[test]
fn a_directory_or_a_link_in_the_place_of_our_files_is_refused_and_stays() {
    for kind in [FileKind::Directory, FileKind::Symlink, FileKind::Other] {
        let (disk, _) = log_of(1, true);
        disk.put_kind("ANCHOR", kind);
        let error = refused(try_open(&disk, &small(POLICY)), ErrorKind::Corrupt);
        assert!(error.to_string().contains("ANCHOR"), "{error}");
        assert!(disk.names().contains(&"ANCHOR".to_owned()));

        let (disk, _) = log_of(1, true);
        disk.put_kind("LOCK", kind);
        let error = refused(try_open(&disk, &small(POLICY)), ErrorKind::Io);
        assert!(error.to_string().contains("LOCK"), "{error}");
    }
}

#[test]
fn a_killed_creation_of_a_log_leaves_a_new_or_an_empty_one() {
    for operation in 0.. {
        let disk = SimDisk::new(operation);
        disk.crash_at(operation);
        let created = try_open(&disk, &small(POLICY)).is_ok();
        for image in disk.crash_images(crate::common::FEW_IMAGES, 1).chain([disk.kill()]) {
            let ledger = Ledger::new(POLICY);
            let wal = open(&image, &small(POLICY));
            assert!(matches!(wal.recovery().ending, Ending::New | Ending::Empty), "{}", wal.recovery());
            drop(wal);
            goes_on(&image.origin(), &image, &ledger);
        }
        if created {
            break;
        }
    }
}
