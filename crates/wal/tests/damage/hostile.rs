//! Absurd numbers under checksums that match: no panic, no endless loop, and no memory beyond what the
//! files hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::bytes::{crc32, frames, header, repair, segment_name};
use crate::common::seam::{Call, Seam};
use crate::common::{HALF, directory, open, small, within};
use wal::{Error, Options, SyncPolicy, View};
use wal_segment::io::Directory;
use wal_segment::io::sim::SimDisk;

/// No buffer is larger than this when all files are small: the windows that files are read through.
const MOST_BYTES: usize = 1 << 20;

/// Two segments, the first one closed by the second; small entries and a batch. Closed or killed.
fn log(closed: bool) -> SimDisk {
    let disk = SimDisk::new(5);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for bytes in [40, HALF, HALF, 500, 900] {
        wal.append(&vec![7; bytes]).expect("nothing fails");
    }
    wal.append_batch([&[1][..], &[], &[2; 100]]).expect("nothing fails");
    if closed {
        wal.close().expect("nothing fails");
    }
    crate::common::copy(&directory(&disk))
}

/// Values around each edge that a length, a count or an offset has.
fn absurd(width: u32, now: u64) -> Vec<u64> {
    let top = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
    let mut values: Vec<u64> = [0, 1, 7, 8, 31, 32, 4095, 8191, 8192, 12288, 1 << 20].into();
    values.extend([now.wrapping_sub(8), now.wrapping_sub(1), now.wrapping_add(1), now.wrapping_add(8)]);
    values.extend((0..8).map(|less| top - less));
    values.extend([top / 2, top / 2 + 1, top / 8, top / 8 + 1, top / 16]);
    values.extend([1 << 31, (1 << 32) - 1, 1 << 32, (1 << 56) - 1, 1 << 56, 1 << 63]);
    values.retain(|&value| value <= top && value != now);
    values.sort_unstable();
    values.dedup();
    values
}

fn number(bytes: &[u8], at: usize, width: u32) -> u64 {
    let mut word = [0; 8];
    word[..width as usize].copy_from_slice(&bytes[at..at + width as usize]);
    u64::from_le_bytes(word)
}

fn set(bytes: &mut [u8], at: usize, width: u32, value: u64) {
    bytes[at..at + width as usize].copy_from_slice(&value.to_le_bytes()[..width as usize]);
}

/// Whatever they find: it ends, and without a panic.
fn read_backward_and_by_number(view: &View) {
    for entries in [view.range(..), view.range(..view.written_end()), view.range(2..6)] {
        let mut failed = false;
        for entry in entries.rev() {
            assert!(!failed, "an iterator that returned an error ends");
            failed = entry.is_err();
        }
    }
    for number in [0, 1, 3, 5, 7, view.written_end(), u64::MAX] {
        view.read(number).ok();
    }
}

/// Opens for reading and for writing, reads, verifies, appends. Returns an error message, or nothing.
fn try_everything(disk: &SimDisk, what: &str) {
    let largest = Arc::new(AtomicUsize::new(0));
    let directory = {
        let largest = Arc::clone(&largest);
        move |disk: &SimDisk| {
            let largest = Arc::clone(&largest);
            Seam::new(disk.clone(), move |call| {
                if let Call::Read { bytes, .. } | Call::Map { bytes, .. } = call {
                    largest.fetch_max(bytes, Ordering::Relaxed);
                }
                Ok(())
            })
        }
    };
    for mapped in [true, false] {
        let options = small(SyncPolicy::Immediate).mapped_reads(mapped);
        if let Ok(view) = options.open_read_only_in(directory(disk)) {
            crate::common::read(view.range(..));
            crate::common::read(view.range(3..5));
            read_backward_and_by_number(&view);
            for number in [0, 3, 7, u64::MAX] {
                if let Ok(entries) = view.read_from(number) {
                    crate::common::read(entries);
                }
            }
            view.verify().ok();
            view.segments().for_each(drop);
        }
        if let Ok(salvage) = options.open_salvage_in(directory(disk)) {
            salvage.for_each(drop);
        }
        let disk = crate::common::copy(&crate::common::directory(disk));
        let opened: Result<_, Error> = options.open_in(directory(&disk));
        if let Ok(wal) = opened {
            crate::common::read(wal.range(..).expect("the log is open"));
            wal.range(..).expect("the log is open").rev().for_each(drop);
            wal.read(6).ok();
            wal.append(&[9; 100]).ok();
            wal.append(&[9; HALF]).ok();
            wal.append(&[9; HALF]).ok();
            wal.append(&[9; HALF]).ok();
            crate::common::read(wal.range(..).expect("the log is open"));
            wal.close().ok();
        }
        let largest = largest.load(Ordering::Relaxed);
        assert!(largest <= MOST_BYTES, "{what}: a buffer of {largest} bytes");
        assert!(disk.operations() < 200, "{what}: {} operations", disk.operations());
    }
}

const LIMIT: Duration = Duration::from_secs(60);

// etcd#14098, etcd#18647 and oxia#1257 believed a length that they had read: one panicked, one asked for
// memory that no machine has, and none of them could be started again.
#[test]
fn absurd_numbers_in_any_frame_header_are_harmless() {
    within(LIMIT, || {
        for closed in [true, false] {
            let whole = log(closed);
            for segment in [1, 2] {
                let name = segment_name(segment);
                let bytes = whole.contents(&name).expect("a segment");
                let life = header(&bytes).life;
                for frame in frames(&bytes) {
                    // previous, first sequence and kind, payload length, count, durable distance, table
                    for (field, width) in [(4, 4), (8, 8), (15, 1), (16, 4), (20, 4), (24, 4), (28, 4)] {
                        for value in absurd(width, number(&bytes, frame.offset + field, width)) {
                            let disk = crate::common::copy(&directory(&whole));
                            disk.damage(&name, |bytes| {
                                set(bytes, frame.offset + field, width, value);
                                repair(bytes, life, frame.offset);
                            });
                            let at = frame.offset;
                            try_everything(&disk, &format!("{name} frame at {at}, byte {field} = {value}"));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn absurd_lengths_in_any_table_link_or_seal_are_harmless() {
    within(LIMIT, || {
        for closed in [true, false] {
            let whole = log(closed);
            for segment in [1, 2] {
                let name = segment_name(segment);
                let bytes = whole.contents(&name).expect("a segment");
                let segment = header(&bytes);
                for frame in frames(&bytes) {
                    let entries = frame.header.entries as usize;
                    let table = match entries {
                        // A LINK: segment, end, SEAL offset, reason. A SEAL: count, checksum, points.
                        0 if frame.offset == 8192 => vec![(0, 8), (8, 8), (16, 8), (24, 1)],
                        0 => vec![(0, 4), (4, 4), (8, 8), (16, 8)],
                        _ => (0..entries).flat_map(|row| [(8 * row, 4), (8 * row + 4, 4)]).collect(),
                    };
                    // What the checksum in the header covers.
                    let covered = match entries {
                        0 if frame.offset == 8192 => 32,
                        0 => 8,
                        _ => 8 * entries,
                    };
                    for (field, width) in table {
                        let at = frame.offset + 32 + field;
                        if at + width as usize > frame.end {
                            continue;
                        }
                        for value in absurd(width, number(&bytes, at, width)) {
                            let disk = crate::common::copy(&directory(&whole));
                            disk.damage(&name, |bytes| {
                                set(bytes, at, width, value);
                                if entries == 0 && frame.offset != 8192 && field >= 8 {
                                    let crc = crc32(&bytes[frame.offset + 40..frame.end]);
                                    set(bytes, frame.offset + 36, 4, u64::from(crc));
                                }
                                let table = &bytes[frame.offset + 32..frame.offset + 32 + covered];
                                let crc = crc32(table);
                                set(bytes, frame.offset + 28, 4, u64::from(crc));
                                repair(bytes, segment.life, frame.offset);
                            });
                            try_everything(&disk, &format!("{name}: byte {at} = {value}"));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn absurd_numbers_in_a_segment_header_are_harmless() {
    within(LIMIT, || {
        for closed in [true, false] {
            let whole = log(closed);
            for segment in [1, 2] {
                let name = segment_name(segment);
                let bytes = whole.contents(&name).expect("a segment");
                for (field, width) in
                    [(8, 2), (10, 2), (12, 4), (32, 8), (40, 8), (48, 8), (56, 1), (57, 1), (64, 8)]
                {
                    for value in absurd(width, number(&bytes, field, width)) {
                        for copies in [1, 2] {
                            let disk = crate::common::copy(&directory(&whole));
                            disk.damage(&name, |bytes| {
                                for copy in [0, 4096].into_iter().take(copies) {
                                    set(bytes, copy + field, width, value);
                                    let crc = crc32(&bytes[copy..copy + 76]);
                                    set(bytes, copy + 76, 4, u64::from(crc));
                                }
                            });
                            try_everything(&disk, &format!("{name}: header byte {field} = {value}"));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn absurd_numbers_in_the_anchor_are_harmless() {
    within(LIMIT, || {
        for closed in [true, false] {
            let whole = log(closed);
            let bytes = whole.contents("ANCHOR").expect("an anchor");
            let fields = [(8, 2), (10, 2), (12, 4), (112, 1)]
                .into_iter()
                .chain((32..=104).step_by(8).map(|field| (field, 8)));
            for (field, width) in fields {
                for slots in [1, 2] {
                    for value in absurd(width, number(&bytes, field, width)) {
                        let disk = crate::common::copy(&directory(&whole));
                        disk.damage("ANCHOR", |bytes| {
                            for slot in [0, 4096].into_iter().take(slots) {
                                set(bytes, slot + field, width, value);
                                let crc = crc32(&bytes[slot..slot + 124]);
                                set(bytes, slot + 124, 4, u64::from(crc));
                            }
                        });
                        try_everything(&disk, &format!("anchor byte {field} = {value}, {slots} slots"));
                    }
                }
            }
        }
    });
}

#[test]
fn random_bytes_under_any_of_our_names_are_harmless() {
    within(LIMIT, || {
        let whole = log(true);
        for stamp in 0..300_u64 {
            let disk = crate::common::copy(&directory(&whole));
            let names =
                ["ANCHOR".to_owned(), segment_name(1), segment_name(2), segment_name(3), segment_name(9)];
            let name = &names[usize::try_from(stamp % 5).expect("below five")];
            let noise = crate::common::ledger::payload(stamp, 1 << (stamp % 15));
            disk.put(name, &noise);
            try_everything(&disk, &format!("{} random bytes as {name}", noise.len()));
        }
    });
}

#[test]
fn a_log_of_a_later_version_is_unsupported_and_not_damaged() {
    for (name, field) in [("ANCHOR".to_owned(), 8), (segment_name(2), 8), (segment_name(2), 10)] {
        let disk = log(true);
        disk.damage(&name, |bytes| {
            let checked = if name == "ANCHOR" { 124 } else { 76 };
            for copy in [0, 4096] {
                set(bytes, copy + field, 2, 9);
                let crc = crc32(&bytes[copy..copy + checked]);
                set(bytes, copy + checked, 4, u64::from(crc));
            }
        });
        let before = directory(&disk);
        let error = crate::common::refused(
            crate::common::try_open(&disk, &Options::new()),
            wal::ErrorKind::Unsupported,
        );
        assert!(error.to_string().contains(&name), "{error}");
        assert!(directory(&disk) == before);
    }
}

// One sparse file of 1 GiB, with a header that states 64 Mi empty entries under checksums that match, took 512 MiB in
// every reader: their table was within the file, and so within the bound on bytes.
#[test]
fn a_sparse_file_of_empty_entries_makes_no_reader_allocate_its_table() {
    const ENTRIES: u32 = 64 << 20;
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("log");
    let wal = Options::new().sync(SyncPolicy::Immediate).open(&path).expect("a new log");
    wal.append(b"first").expect("nothing fails");
    wal.append(b"").expect("nothing fails");
    drop(wal);
    let segment = path.join(segment_name(1));
    let mut bytes = std::fs::read(&segment).expect("it is there");
    let life = header(&bytes).life;
    let last = frames(&bytes).pop().expect("three frames").offset;
    set(&mut bytes, last + 20, 4, u64::from(ENTRIES));
    set(&mut bytes, last + 28, 4, u64::from(crc32(&vec![0; 8 * ENTRIES as usize])));
    repair(&mut bytes, life, last);
    std::fs::write(&segment, &bytes).expect("there is space");
    let file = std::fs::OpenOptions::new().write(true).open(&segment).expect("it is there");
    file.set_len(1 << 30).expect("a sparse file takes no space");

    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    let disk = wal_segment::io::Disk::open(&path).expect("it is there");
    let directory = Seam::new(disk, move |call| {
        if let Call::Read { bytes, .. } = call {
            seen.fetch_max(bytes, Ordering::Relaxed);
        }
        Ok(())
    });
    let options = Options::new().mapped_reads(false);
    let view = options.open_read_only_in(Arc::clone(&directory) as Arc<dyn Directory>).expect("a log");
    assert_eq!(view.range(..).filter(Result::is_ok).count(), 1);
    view.verify().expect("it can be read");
    assert_eq!(options.open_salvage_in(directory).expect("it is there").filter(is_entry).count(), 1);
    assert!(
        largest.load(Ordering::Relaxed) <= MOST_BYTES,
        "a buffer of {} bytes",
        largest.load(Ordering::Relaxed)
    );
}

fn is_entry(salvaged: &wal::Salvaged) -> bool {
    matches!(salvaged, wal::Salvaged::Entry { .. })
}

#[test]
fn a_batch_has_as_many_entries_as_a_frame_and_no_more() {
    let most = 1 << 20;
    let home = tempfile::tempdir().expect("a temporary directory");
    let wal = Options::new().sync(SyncPolicy::None).open(home.path().join("log")).expect("a new log");
    crate::common::refused(wal.append_batch(vec![b""; most + 1]), wal::ErrorKind::TooLarge);
    assert_eq!(wal.append_batch(vec![b""; most]).expect("it fits"), 0..most as u64);
    assert_eq!(wal.range(..).expect("open").filter(Result::is_ok).count(), most);
    wal.close().expect("nothing fails");
}
