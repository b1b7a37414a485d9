//! What the calls of the facade promise when nothing goes wrong, and when the caller does.

use std::sync::Arc;

use crate::common::{HALF, contents, directory, open, read, refused, small, try_open, view};
use wal::{Ending, ErrorKind, Options, SyncPolicy};
use wal_segment::io::sim::SimDisk;

#[test]
fn an_empty_batch_writes_nothing_and_returns_an_empty_range() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    let nothing: [&[u8]; 0] = [];
    let before = directory(&disk);
    assert_eq!(wal.append_batch(nothing).expect("nothing fails"), 0..0);
    assert!(directory(&disk) == before);
    wal.append(b"entry").expect("nothing fails");
    let operations = disk.operations();
    assert_eq!(wal.append_batch(nothing).expect("nothing fails"), 1..1);
    assert_eq!(disk.operations(), operations, "nothing is written or synced");
}

#[test]
fn numbers_count_from_zero_and_a_batch_takes_a_range_of_them() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    assert!(wal.is_empty() && wal.last().is_none());
    assert_eq!(wal.append(b"a").expect("nothing fails"), 0);
    assert_eq!(wal.append_batch([b"b", b"c", b"d"]).expect("nothing fails"), 1..4);
    assert_eq!(wal.append(b"e").expect("nothing fails"), 4);
    assert_eq!((wal.first(), wal.last(), wal.written_end()), (0, Some(4), 5));
    for (number, entry) in (0..).zip(wal.range(..).expect("open")) {
        assert_eq!(entry.expect("whole").sequence(), number);
    }
}

#[test]
fn an_entry_or_batch_above_the_limit_is_refused_and_nothing_is_written() {
    let disk = SimDisk::new(1);
    let options = small(SyncPolicy::Immediate).max_entry_bytes(100).max_batch_bytes(250);
    let wal = open(&disk, &options);
    wal.append(&[1; 100]).expect("at the limit");
    wal.append_batch([[2; 100], [3; 100]]).expect("below the limit");
    let before = directory(&disk);
    let error = refused(wal.append(&[4; 101]), ErrorKind::TooLarge);
    assert!(error.to_string().contains("101") && error.to_string().contains("100"), "{error}");
    let error = refused(wal.append_batch([&[5; 10][..], &[5; 101]]), ErrorKind::TooLarge);
    assert!(error.to_string().contains("101"), "{error}");
    let error = refused(wal.append_batch([[6; 90], [6; 90], [6; 90]]), ErrorKind::TooLarge);
    assert!(error.to_string().contains("250"), "{error}");
    assert!(directory(&disk) == before, "something was written");
    assert_eq!(wal.append(b"next").expect("the log is well"), 3);
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_that_holds_it() {
    for policy in crate::common::POLICIES {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        let giant = crate::common::ledger::payload(1, 200_000);
        wal.append(b"before").expect("nothing fails");
        wal.append(&giant).expect("nothing fails");
        wal.append(b"after").expect("nothing fails");
        wal.append_batch([&giant[..], b"", &giant[..100]]).expect("nothing fails");
        assert_eq!(contents(&wal)[1], giant);
        wal.close().expect("nothing fails");
        let wal = open(&disk, &small(policy));
        let shown = contents(&wal);
        assert_eq!(shown.len(), 6);
        assert!(shown[1] == giant && shown[3] == giant && shown[5] == giant[..100]);
    }
}

#[test]
fn entries_of_zero_bytes_are_entries() {
    for &checksum in crate::common::CHECKSUMS {
        let disk = SimDisk::new(1);
        let options = small(SyncPolicy::Immediate).checksum(checksum);
        let wal = open(&disk, &options);
        for number in 0..200 {
            assert_eq!(wal.append(b"").expect("nothing fails"), number);
        }
        assert_eq!(wal.append_batch([b"", b"", b""]).expect("nothing fails"), 200..203);
        drop(wal);
        let wal = open(&disk.kill(), &options);
        assert_eq!(contents(&wal), vec![Vec::<u8>::new(); 203]);
    }
}

#[test]
fn reading_from_a_number_that_is_not_in_the_log_is_out_of_range() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    assert_eq!(read(wal.read_from(0).expect("the next number")).0.len(), 0);
    refused(wal.read_from(1), ErrorKind::OutOfRange);
    for _ in 0..5 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    for from in 0..=5 {
        let (shown, error) = read(wal.read_from(from).expect("within"));
        assert!(error.is_none());
        assert_eq!(shown.len() as u64, 5 - from);
    }
    for from in [6, 7, 1 << 56, u64::MAX] {
        let error = refused(wal.read_from(from), ErrorKind::OutOfRange);
        assert!(error.to_string().contains(&from.to_string()), "{error}");
        refused(view(&disk).read_from(from), ErrorKind::OutOfRange);
    }
}

#[test]
fn a_range_gives_what_there_is_of_it() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    for number in 0..9_u8 {
        wal.append(&vec![number; HALF / 2]).expect("nothing fails");
    }
    let firsts = |entries: wal::Entries| {
        let (shown, error) = read(entries);
        assert!(error.is_none());
        shown.iter().map(|payload| payload[0]).collect::<Vec<_>>()
    };
    assert_eq!(firsts(wal.range(..).expect("open")), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(firsts(wal.range(3..5).expect("open")), [3, 4]);
    assert_eq!(firsts(wal.range(3..=5).expect("open")), [3, 4, 5]);
    assert_eq!(firsts(wal.range(7..100).expect("open")), [7, 8]);
    assert_eq!(firsts(wal.range(..2).expect("open")), [0, 1]);
    assert_eq!(firsts(wal.range(..=u64::MAX).expect("open")).len(), 9);
    for empty in [5..5, 9..9, 100..200, u64::MAX - 1..u64::MAX] {
        assert!(firsts(wal.range(empty.clone()).expect("open")).is_empty(), "{empty:?}");
    }
    #[allow(clippy::reversed_empty_ranges, reason = "a caller may get it wrong")]
    let backwards = 6..2;
    assert!(firsts(wal.range(backwards).expect("open")).is_empty());
}

#[test]
fn a_reader_shows_the_log_as_it_was_when_it_was_made() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    wal.append(b"one").expect("nothing fails");
    let entries = wal.range(..).expect("open");
    for _ in 0..5 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    assert_eq!(read(entries).0, [b"one"]);
}

#[test]
fn an_entry_outlives_its_reader_and_its_log() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for number in 0..5_u8 {
        wal.append(&[number; HALF]).expect("nothing fails");
    }
    let entries: Vec<_> = wal.range(..).expect("open").map(|entry| entry.expect("whole")).collect();
    wal.close().expect("nothing fails");
    for (number, entry) in (0_u8..).zip(entries) {
        assert_eq!(entry.payload(), [number; HALF]);
    }
}

#[test]
fn options_that_cannot_work_are_refused_and_named() {
    let disk = SimDisk::new(1);
    let all = || Options::new();
    let wrong = [
        ("segment_bytes", all().segment_bytes(0)),
        ("segment_bytes", all().segment_bytes(1)),
        ("segment_bytes", all().segment_bytes((12 << 10) - 1)),
        ("segment_bytes", all().segment_bytes((32 << 30) + 1)),
        ("segment_bytes", all().segment_bytes(u64::MAX)),
        ("max_entry_bytes", all().max_entry_bytes(0)),
        ("max_entry_bytes", all().max_entry_bytes(1 << 32)),
        ("max_entry_bytes", all().max_entry_bytes(u64::MAX)),
        ("max_batch_bytes", all().max_batch_bytes(0)),
        ("max_batch_bytes", all().max_entry_bytes(100).max_batch_bytes(99)),
        ("max_batch_bytes", all().max_batch_bytes(1 << 32)),
        ("max_batch_bytes", all().max_batch_bytes(u64::MAX)),
    ];
    for (name, options) in wrong {
        let error = refused(try_open(&disk, &options), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains(name), "{error}");
        refused(options.open_read_only_in(Arc::new(disk.clone())), ErrorKind::InvalidOptions);
    }
    assert!(disk.names().is_empty(), "nothing was created: {:?}", disk.names());
    for options in [
        all().segment_bytes(12 << 10),
        all().segment_bytes(32 << 30),
        all().max_entry_bytes(1).max_batch_bytes(1),
        all().max_entry_bytes((1 << 32) - 1).max_batch_bytes((1 << 32) - 1),
    ] {
        drop(open(&disk, &options));
    }
}

#[cfg(feature = "crc64")]
#[test]
fn options_changed_at_an_open_apply_from_the_next_segment_and_are_kept() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None).checksum(wal::Checksum::Crc32));
    wal.append(&[1; HALF]).expect("nothing fails");
    wal.close().expect("nothing fails");
    let wal = open(&disk, &Options::new().segment_bytes(40 << 10).checksum(wal::Checksum::Crc64));
    for _ in 0..10 {
        wal.append(&[2; HALF]).expect("nothing fails");
    }
    wal.close().expect("nothing fails");
    // Nothing is asked for: what the log has is kept.
    let wal = open(&disk, &Options::new());
    for _ in 0..30 {
        wal.append(&[3; HALF]).expect("nothing fails");
    }
    assert_eq!(contents(&wal).len(), 41);
    wal.close().expect("nothing fails");
    let found: Vec<_> = view(&disk).segments().map(|segment| (segment.sequences, segment.checksum)).collect();
    assert_eq!(found[0], (0..1, wal::Checksum::Crc32));
    assert_eq!((found[1].0.start, found[1].1), (1, wal::Checksum::Crc64));
    assert!(found[2..].iter().all(|(_, checksum)| *checksum == wal::Checksum::Crc64), "{found:?}");
    for name in &crate::common::bytes::segments(&disk)[1..] {
        assert!(disk.contents(name).expect("a segment").len() <= 40 << 10, "{name}");
    }
    assert!(found.len() >= 3, "{found:?}");
    let (shown, error) = read(view(&disk).range(..));
    assert!(error.is_none() && shown.len() == 41);
}

#[test]
fn the_report_of_an_open_says_how_the_log_ended() {
    let disk = SimDisk::new(1);
    let options = small(SyncPolicy::Immediate);
    let wal = open(&disk, &options);
    let report = wal.recovery();
    assert_eq!(report.ending, Ending::New);
    assert_eq!((report.first, report.next, report.durable, report.segments), (0, 0, 0, 0));
    assert_eq!(report.to_string(), "a new log");
    drop(wal);
    let wal = open(&disk, &options);
    assert_eq!(wal.recovery().ending, Ending::Empty);
    assert_eq!(wal.recovery().to_string(), "an empty log");
    for _ in 0..5 {
        wal.append(&[1; HALF]).expect("nothing fails");
    }
    drop(wal);
    let wal = open(&disk, &options);
    let report = wal.recovery();
    assert_eq!(report.ending, Ending::Unclosed);
    assert_eq!((report.first, report.next, report.durable, report.segments), (0, 5, 5, 3));
    assert!(report.to_string().contains("nothing dropped"), "{report}");
    wal.close().expect("nothing fails");
    // An open that appended nothing has closed nothing either.
    let wal = open(&disk, &options);
    assert_eq!(wal.recovery().ending, Ending::Unclosed);
    wal.append(b"entry").expect("nothing fails");
    wal.close().expect("nothing fails");
    let wal = open(&disk, &options);
    let report = wal.recovery();
    assert_eq!(report.ending, Ending::Clean);
    assert_eq!((report.first, report.next, report.durable, report.segments), (0, 6, 6, 3));
    assert!(!report.bad_index && report.ignored_names == 0);
}

#[test]
fn a_closed_log_is_clean_however_often_it_is_opened_and_closed_again() {
    let disk = SimDisk::new(1);
    let options = small(SyncPolicy::Immediate);
    let wal = open(&disk, &options);
    wal.append(b"entry").expect("nothing fails");
    wal.close().expect("nothing fails");
    let files = directory(&disk);
    for _ in 0..3 {
        let wal = open(&disk, &options);
        assert_eq!(wal.recovery().ending, Ending::Clean);
        wal.close().expect("nothing fails");
        assert!(directory(&disk) == files, "nothing was appended, nothing is written");
    }
}

#[test]
fn a_view_reads_beside_a_writer_and_changes_nothing() {
    let disk = SimDisk::new(1);
    refused(Options::new().open_read_only_in(Arc::new(disk.clone())), ErrorKind::NoLog);
    assert!(disk.names().is_empty());
    let wal = open(&disk, &small(SyncPolicy::None));
    for number in 0..12_u8 {
        wal.append(&vec![number; 800]).expect("nothing fails");
        let before = (directory(&disk), disk.operations());
        let looked = view(&disk);
        let (shown, error) = read(looked.range(..));
        assert!(error.is_none());
        assert_eq!(shown, contents(&wal));
        assert_eq!((looked.first(), looked.written_end()), (0, u64::from(number) + 1));
        assert_eq!(looked.last(), Some(u64::from(number)));
        assert!(matches!(looked.recovery().ending, Ending::Unclosed), "{}", looked.recovery());
        assert!(looked.verify().expect("readable").damages.is_empty());
        assert!((directory(&disk), disk.operations()) == before, "the view changed something");
    }
    // Nor after a crash, where a writer would have something to do.
    drop(wal);
    disk.set_read_only(true);
    let before = (directory(&disk), disk.operations());
    let (shown, error) = read(view(&disk).range(..));
    assert!(error.is_none());
    assert_eq!(shown.len(), 12);
    assert!((directory(&disk), disk.operations()) == before, "the view changed something");
}

#[test]
fn a_view_names_the_segments_and_what_is_in_them() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    for _ in 0..5 {
        wal.append(&[1; HALF]).expect("nothing fails");
    }
    let found: Vec<_> = view(&disk).segments().collect();
    let numbers: Vec<_> = found.iter().map(|segment| (segment.number, segment.sequences.clone())).collect();
    assert_eq!(numbers, [(1, 0..2), (2, 2..4), (3, 4..5)]);
    assert_eq!(found.iter().map(|segment| segment.closed).collect::<Vec<_>>(), [true, true, false]);
    for segment in &found {
        assert!(segment.file.ends_with(crate::common::bytes::segment_name(segment.number)));
        assert!(segment.bytes > 8192);
    }
}

#[test]
fn a_log_on_a_real_disk_creates_its_directory_but_not_the_parents() {
    let home = tempfile::tempdir().expect("a temporary directory");
    refused(Options::new().open(home.path().join("a/b")), ErrorKind::Io);
    refused(Options::new().open_read_only(home.path().join("a")), ErrorKind::NoLog);
    assert!(!home.path().join("a").exists());
    let path = home.path().join("log");
    for number in 0..3_u64 {
        let wal = small(SyncPolicy::Immediate).open(&path).expect("the parent exists");
        assert_eq!(contents(&wal).len() as u64, number * 4);
        for _ in 0..4 {
            wal.append(&[1; HALF]).expect("there is space");
        }
        if number == 1 {
            wal.close().expect("nothing fails");
        }
    }
    let view = Options::new().open_read_only(&path).expect("a log");
    assert!(view.verify().expect("readable").damages.is_empty());
    assert_eq!(view.written_end(), 12);
}
