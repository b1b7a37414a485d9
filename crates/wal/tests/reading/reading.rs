//! Forward, backward and by number, a reader sees the same log, whatever it is made of and however it is
//! read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::bytes::{crc32, frames, header, linked, segment_name};
use crate::common::ledger::payload;
use crate::common::{CHECKSUMS, HALF, SMALL, directory, open, refused, small, within};
use proptest::prelude::*;
use wal::{Checksum, Entries, Entry, Error, ErrorKind, Options, SyncPolicy, View, Wal};
use wal_format::{FIRST_FRAME_OFFSET, FrameHeader, FrameKind, Life, Sequence, TableEntry};
use wal_segment::io::sim::{CallKind, SimDisk};

/// What can be read: an open log or a view of it.
trait Readable {
    fn one(&self, number: u64) -> Result<Entry, Error>;
    fn all(&self) -> Entries;
}

impl Readable for Wal {
    fn one(&self, number: u64) -> Result<Entry, Error> {
        self.read(number)
    }
    fn all(&self) -> Entries {
        self.range(..).expect("the log is open")
    }
}

impl Readable for View {
    fn one(&self, number: u64) -> Result<Entry, Error> {
        self.read(number)
    }
    fn all(&self) -> Entries {
        self.range(..)
    }
}

fn pair(entry: Result<Entry, Error>) -> (u64, Vec<u8>) {
    let entry = entry.expect("the log is whole");
    (entry.sequence(), entry.to_vec())
}

/// Reads in every way, `turns` saying which end is next where both are read.
#[track_caller]
fn reads_as(log: &dyn Readable, expected: &[Vec<u8>], turns: &[bool]) {
    let expected: Vec<(u64, Vec<u8>)> = (0..).zip(expected.iter().cloned()).collect();
    assert_eq!(log.all().map(pair).collect::<Vec<_>>(), expected, "forward");
    let mut back: Vec<_> = log.all().rev().map(pair).collect();
    back.reverse();
    assert_eq!(back, expected, "backward");
    for (number, payload) in &expected {
        assert_eq!(pair(log.one(*number)), (*number, payload.clone()), "by number");
    }
    refused(log.one(expected.len() as u64), ErrorKind::OutOfRange);
    refused(log.one(u64::MAX), ErrorKind::OutOfRange);
    let (mut entries, mut front, mut behind) = (log.all(), Vec::new(), Vec::new());
    for turn in turns.iter().cycle() {
        let Some(entry) = (if *turn { entries.next() } else { entries.next_back() }) else { break };
        if *turn { front.push(pair(entry)) } else { behind.push(pair(entry)) }
    }
    front.extend(behind.into_iter().rev());
    assert_eq!(front, expected, "from both ends");
    assert!(entries.next().is_none() && entries.next_back().is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Batch(Vec<usize>),
    Sync,
    Close,
    Kill,
}

/// Empty, small, above half a segment, above a segment, above what is read at a time.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0_usize),
        8 => 1..200_usize,
        3 => 200..4000_usize,
        1 => Just(usize::try_from(SMALL).expect("small") + 5),
        1 => Just(300 << 10),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => size().prop_map(Step::Append),
        4 => proptest::collection::vec(size(), 1..12).prop_map(Step::Batch),
        1 => Just(Step::Sync),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn forward_backward_and_by_number_agree_with_what_was_appended(
        steps in proptest::collection::vec(step(), 0..40),
        checksum in 0..CHECKSUMS.len(),
        mapped: bool,
        turns in proptest::collection::vec(any::<bool>(), 1..20),
    ) {
        let options = small(SyncPolicy::None).checksum(CHECKSUMS[checksum]).mapped_reads(mapped);
        let disk = SimDisk::new(3);
        let mut wal = open(&disk, &options);
        let mut expected = Vec::new();
        for step in steps {
            let mut make = |bytes: usize| {
                expected.push(payload(expected.len() as u64 + 1, bytes));
                expected[expected.len() - 1].clone()
            };
            match step {
                Step::Append(bytes) => {
                    wal.append(&make(bytes)).expect("nothing fails");
                }
                Step::Batch(sizes) => {
                    let batch: Vec<_> = sizes.into_iter().map(make).collect();
                    wal.append_batch(&batch).expect("nothing fails");
                }
                Step::Sync => wal.sync().expect("nothing fails"),
                Step::Close => {
                    wal.close().expect("nothing fails");
                    wal = open(&disk, &options);
                }
                Step::Kill => {
                    drop(wal);
                    wal = open(&disk, &options);
                }
            }
        }
        reads_as(&wal, &expected, &turns);
        reads_as(&options.open_read_only_in(Arc::new(disk.clone())).expect("a log"), &expected, &turns);
        wal.close().expect("nothing fails");
        reads_as(&options.open_read_only_in(Arc::new(disk)).expect("a log"), &expected, &turns);
    }
}

/// Many frames of any length in few segments: closed with an index and without, and the last one.
fn many(checksum: Checksum) -> (SimDisk, Vec<Vec<u8>>) {
    let options = Options::new().segment_bytes(512 << 10).sync(SyncPolicy::None).checksum(checksum);
    let options = options.background(false);
    let disk = SimDisk::new(4);
    let mut expected = Vec::new();
    for end in ["killed", "closed", "rolled over", "killed"] {
        let wal = open(&disk, &options);
        for _ in 0..3000 {
            let number = expected.len() as u64 + 1;
            // Mostly alike, some tiny, a few long.
            let bytes = match number % 97 {
                0 => 3000,
                1..10 => usize::try_from(number % 7).expect("small"),
                other => 40 + usize::try_from(other).expect("small") % 30,
            };
            expected.push(payload(number, bytes));
            wal.append(&expected[expected.len() - 1]).expect("nothing fails");
        }
        if end != "killed" {
            wal.close().expect("nothing fails");
        }
    }
    (disk, expected)
}

#[test]
fn among_thousands_of_frames_of_unlike_length_every_number_is_found_with_an_index_and_without() {
    for &checksum in CHECKSUMS {
        let (disk, expected) = many(checksum);
        for mapped in [true, false] {
            let view = Options::new().mapped_reads(mapped).open_read_only_in(Arc::new(disk.clone()));
            let view = view.expect("a log");
            let closed: Vec<bool> = view.segments().map(|segment| segment.closed).collect();
            assert_eq!(closed, [true, true, false]);
            reads_as(&view, &expected, &[true, false, false]);
        }
    }
}

// A read that guesses where a frame is must not take a payload for one.
#[test]
fn payloads_that_hold_copies_of_the_log_s_own_frames_are_payloads() {
    let disk = SimDisk::new(5);
    let options = Options::new().segment_bytes(512 << 10).sync(SyncPolicy::None).background(false);
    let wal = open(&disk, &options);
    let mut expected = vec![payload(1, 100)];
    wal.append(&expected[0]).expect("nothing fails");
    for round in 0..400 {
        let last = linked(&disk).pop().expect("a segment");
        let file = disk.contents(&last).expect("it is there");
        let all = frames(&file);
        let from = all[round * 7 % all.len()].offset;
        let until = all[all.len() - 1].end.min(from + 2000);
        expected.push(file[from..until].to_vec());
        wal.append(&expected[round + 1]).expect("nothing fails");
    }
    reads_as(&wal, &expected, &[true, false]);
}

/// A payload for the frame at `offset` that is full of frame headers, each right for its place: they claim to
/// hold the entries around `number`, in a frame that ends where the real one does.
fn forged(life: Life, offset: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![7; bytes];
    let begin = offset + 40;
    let end = (begin + bytes as u64).next_multiple_of(8);
    let claimed = b"wrong bytes";
    let row = TableEntry { length: 11, digest: Checksum::Crc32.digest(claimed) }.encode();
    let table = &row[..TableEntry::bytes(Checksum::Crc32)];
    for (place, claims) in (0..bytes - 64).step_by(64).zip((number.saturating_sub(8)..number + 8).cycle()) {
        let at = begin + place as u64;
        let last = place + 128 >= bytes;
        let header = FrameHeader {
            previous: 0,
            first: Sequence::try_from(claims).expect("small"),
            kind: FrameKind::Data,
            payload_bytes: if last { u32::try_from(end - at - 40).expect("small") } else { 11 },
            entries: 1,
            durable_offset: FIRST_FRAME_OFFSET,
            table_crc: crc32(table),
        };
        payload[place..place + 32].copy_from_slice(&header.encode(life, at));
        payload[place + 32..place + 40].copy_from_slice(table);
        payload[place + 40..place + 51].copy_from_slice(claimed);
    }
    payload
}

// Bytes that pass for a frame header at their place are one in four thousand million, and whoever appends may
// try that often; here somebody knows the salt. The frame behind does not name them.
#[test]
fn payloads_that_forge_frame_headers_are_payloads() {
    let disk = SimDisk::new(5);
    let options = Options::new().segment_bytes(512 << 10).sync(SyncPolicy::None).background(false);
    let wal = open(&disk, &options);
    let mut expected = vec![payload(1, 100)];
    wal.append(&expected[0]).expect("nothing fails");
    let life = header(&disk.contents(&segment_name(1)).expect("a segment")).life;
    for number in 1..300 {
        let file = disk.contents(&segment_name(1)).expect("it is there");
        let offset = frames(&file).pop().expect("a frame").end as u64;
        let bytes = 200 + usize::try_from(number * 37 % 400).expect("small");
        expected.push(forged(life, offset, number, bytes));
        wal.append(&expected[expected.len() - 1]).expect("nothing fails");
    }
    assert_eq!(linked(&disk).len(), 1, "all of it is where its payloads say");
    reads_as(&wal, &expected, &[true, false]);
}

/// Six entries and a batch in a segment that another one closes, sealed or not; and one entry in that one.
fn closed_segment(sealed: bool, checksum: Checksum) -> (SimDisk, Vec<Vec<u8>>) {
    let options = small(SyncPolicy::Immediate).checksum(checksum);
    let disk = SimDisk::new(8);
    let mut expected: Vec<Vec<u8>> =
        [24, 3, 0, 40].iter().zip(1..).map(|(&bytes, stamp)| payload(stamp, bytes)).collect();
    let wal = open(&disk, &options);
    for payload in &expected {
        wal.append(payload).expect("nothing fails");
    }
    let batch = [payload(11, 9), payload(12, 0), payload(13, 17)];
    wal.append_batch(&batch).expect("nothing fails");
    expected.extend(batch);
    let wal = if sealed {
        wal.roll().expect("nothing fails");
        wal
    } else {
        drop(wal);
        // A log that is opened with another kind begins a segment.
        let other = CHECKSUMS.iter().find(|&&other| other != checksum);
        open(&disk, &options.checksum(*other.expect("there are two")))
    };
    expected.push(payload(20, 30));
    wal.append(&expected[expected.len() - 1]).expect("nothing fails");
    wal.close().expect("nothing fails");
    (crate::common::copy(&directory(&disk)), expected)
}

/// Whatever is handed out is what was appended, and an error is the end.
#[track_caller]
fn only_right_bytes(
    what: &str,
    entries: impl Iterator<Item = Result<Entry, Error>>,
    expected: &[Vec<u8>],
) -> usize {
    let mut shown = 0;
    let mut failed = false;
    for entry in entries {
        assert!(!failed, "{what}: an iterator that returned an error ends");
        match entry {
            Ok(entry) => {
                let number = usize::try_from(entry.sequence()).expect("few entries");
                assert_eq!(entry.payload(), expected[number], "{what}: wrong bytes as entry {number}");
                shown += 1;
            }
            Err(error) => {
                assert!(error.damage().is_some_and(|damage| damage.sequences.is_some()), "{what}: {error:?}");
                failed = true;
            }
        }
    }
    assert!(failed || shown == expected.len(), "{what}: {shown} of {} and no error", expected.len());
    shown
}

#[test]
fn no_flipped_bit_of_a_closed_segment_ever_gives_wrong_bytes_in_any_direction() {
    within(Duration::from_secs(300), || {
        for &checksum in CHECKSUMS {
            for (sealed, mapped) in [(true, true), (true, false), (false, true), (false, false)] {
                let (whole, expected) = closed_segment(sealed, checksum);
                let files = directory(&whole);
                let name = segment_name(1);
                let bytes = files[&name].clone().expect("a segment");
                let all = frames(&bytes);
                let ranges = [0..80, 4096..4176, 8192..all[all.len() - 1].end];
                for bit in ranges.into_iter().flat_map(|range| range.start * 8..range.end * 8) {
                    let disk = crate::common::copy(&files);
                    disk.damage(&name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                    let what = format!("{checksum}, sealed {sealed}, mapped {mapped}, bit {bit}");
                    let options = small(SyncPolicy::Immediate).mapped_reads(mapped);
                    let Ok(view) = options.open_read_only_in(Arc::new(disk)) else { continue };
                    let forward = only_right_bytes(&what, view.range(..), &expected);
                    only_right_bytes(&what, view.range(..).rev(), &expected);
                    let mut found = 0;
                    for (number, payload) in (0..).zip(&expected) {
                        match view.read(number) {
                            Ok(entry) => {
                                assert_eq!(entry.payload(), payload, "{what}: entry {number}");
                                found += 1;
                            }
                            Err(error) => assert!(error.damage().is_some(), "{what}: {error:?}"),
                        }
                    }
                    assert!(found >= forward, "{what}: a read finds no less than a reader in order");
                }
            }
        }
    });
}

#[test]
fn backward_and_by_number_damage_names_file_offset_and_entry_and_the_rest_is_read() {
    let (whole, expected) = closed_segment(true, Checksum::Crc32);
    let name = segment_name(1);
    let all = frames(&whole.contents(&name).expect("a segment"));
    // Behind the LINK: entries 0 to 3, and the batch.
    for damaged in 0..4_u64 {
        let frame = all[1 + usize::try_from(damaged).expect("few")];
        if expected[usize::try_from(damaged).expect("few")].is_empty() {
            continue;
        }
        let disk = crate::common::copy(&directory(&whole));
        disk.damage(&name, |bytes| bytes[frame.offset + 40] ^= 1);
        let view = crate::common::view(&disk);
        let mut entries = view.range(..);
        let shown: Vec<u64> =
            entries.by_ref().rev().map_while(Result::ok).map(|entry| entry.sequence()).collect();
        assert_eq!(shown, (damaged + 1..expected.len() as u64).rev().collect::<Vec<_>>());
        assert!(entries.next().is_none() && entries.next_back().is_none(), "it ended at both ends");
        let told = [
            view.range(..).rev().find_map(Result::err).expect("it is damaged"),
            view.read(damaged).expect_err("it is damaged"),
        ];
        for error in told {
            let damage = error.damage().expect("with a place");
            let lost = damage.sequences.expect("known");
            assert!(damage.file.ends_with(&name));
            assert_eq!(
                (damage.offset, lost.first, lost.end),
                (frame.offset as u64, Some(damaged), Some(damaged + 1))
            );
        }
        for other in (0..expected.len() as u64).filter(|&other| other != damaged) {
            assert_eq!(pair(view.read(other)).1, expected[usize::try_from(other).expect("few")]);
        }
    }
}

#[test]
fn a_range_read_backward_does_not_look_behind_its_end() {
    let (whole, expected) = closed_segment(true, Checksum::Crc32);
    let name = segment_name(1);
    let all = frames(&whole.contents(&name).expect("a segment"));
    for end in 1..4_u64 {
        let disk = crate::common::copy(&directory(&whole));
        let behind = all[1 + usize::try_from(end).expect("few")].offset;
        disk.damage(&name, |bytes| bytes[behind] ^= 1);
        let view = crate::common::view(&disk);
        let shown: Vec<_> = view.range(..end).rev().map(pair).map(|(number, _)| number).collect();
        assert_eq!(shown, (0..end).rev().collect::<Vec<_>>());
        assert!(view.range(..).rev().any(|entry| entry.is_err()));
    }
    assert_eq!(expected.len(), 8);
}

#[test]
fn behind_the_hole_of_a_missing_segment_a_view_tells_it_first_to_who_comes_from_there() {
    let (disk, expected) = {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::None));
        let expected: Vec<_> = (1..10).map(|stamp| payload(stamp, HALF)).collect();
        expected.iter().for_each(|payload| assert!(wal.append(payload).is_ok()));
        wal.close().expect("nothing fails");
        (disk, expected)
    };
    disk.delete(&segment_name(3));
    let view = crate::common::view(&disk);
    let error = view.range(..).next_back().expect("something").expect_err("nobody knows what is last");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    assert_eq!(refused(view.read(view.written_end()), ErrorKind::Missing).to_string(), error.to_string());
    let readable = view.range(..view.written_end()).rev().map(pair).count();
    assert!(readable > 0 && readable < expected.len());
}

#[test]
fn without_mapped_reads_nothing_is_mapped_and_what_cannot_be_read_is_an_error() {
    let (disk, expected) = closed_segment(true, Checksum::Crc32);
    for mapped in [true, false] {
        let options = small(SyncPolicy::Immediate).mapped_reads(mapped);
        let before = disk.calls(CallKind::Map);
        let view = options.open_read_only_in(Arc::new(disk.clone())).expect("a log");
        reads_as(&view, &expected, &[true, false]);
        let wal = open(&disk, &options);
        reads_as(&wal, &expected, &[false]);
        drop(wal);
        assert_eq!(disk.calls(CallKind::Map) > before, mapped, "{} maps", disk.calls(CallKind::Map) - before);
    }
    let view = small(SyncPolicy::None).mapped_reads(false).open_read_only_in(Arc::new(disk.clone()));
    let view = view.expect("a log");
    assert!(disk.unreadable(&segment_name(1), 8192..12288));
    assert_eq!(view.range(..).find_map(Result::err).map(|error| error.kind()), Some(ErrorKind::Io));
    assert_eq!(view.range(..).rev().find_map(Result::err).map(|error| error.kind()), Some(ErrorKind::Io));
    refused(view.read(0), ErrorKind::Io);
    assert_eq!(pair(view.read(7)).1, expected[7], "the next segment can be read");
    disk.unreadable(&segment_name(1), 0..0);
    reads_as(&view, &expected, &[true]);
}

#[test]
fn an_entry_borrows_nothing_and_outlives_reader_log_and_directory() {
    fn is_owned<T: Clone + Send + Sync + 'static>(_: &T) {}
    for mapped in [true, false] {
        let home = tempfile::tempdir().expect("a temporary directory");
        let options = small(SyncPolicy::None).mapped_reads(mapped);
        let wal = options.open(home.path().join("log")).expect("a new log");
        for number in 0..20_u8 {
            wal.append(&[number; HALF]).expect("there is space");
        }
        let mut kept: Vec<Entry> = wal.range(..).expect("open").map(|entry| entry.expect("whole")).collect();
        kept.extend((0..20).map(|number| wal.read(number).expect("whole")));
        kept.extend(wal.range(..).expect("open").rev().map(|entry| entry.expect("whole")));
        is_owned(&kept[0]);
        wal.close().expect("nothing fails");
        drop(home);
        let kept = thread::spawn(move || {
            for entry in &kept {
                let number = u8::try_from(entry.sequence()).expect("few");
                assert_eq!(**entry, [number; HALF][..]);
            }
            kept.len()
        });
        assert_eq!(kept.join().expect("no wrong bytes"), 60);
    }
}

/// Tells by its bytes which entry it is.
fn numbered(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(usize::try_from(number % 40).expect("small") + 1)
}

#[test]
fn readers_of_every_kind_see_the_written_log_while_it_grows() {
    within(Duration::from_secs(120), || {
        for mapped in [true, false] {
            let home = tempfile::tempdir().expect("a temporary directory");
            let options = Options::new().segment_bytes(64 << 10).sync(SyncPolicy::None).mapped_reads(mapped);
            let wal = options.open(home.path().join("log")).expect("a new log");
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                for kind in 0..3 {
                    let (wal, over) = (wal.clone(), &over);
                    scope.spawn(move || {
                        let mut rounds = 0_u64;
                        while !over.load(Ordering::Relaxed) || rounds < 20 {
                            rounds += 1;
                            let written = wal.written_end();
                            let Some(last) = written.checked_sub(1) else { continue };
                            match kind {
                                0 => {
                                    let number = rounds.wrapping_mul(0x9e37_79b9_7f4a_7c15) % written;
                                    for number in [number, last] {
                                        assert_eq!(pair(wal.read(number)), (number, numbered(number)));
                                    }
                                }
                                1 => {
                                    let from = last.saturating_sub(500);
                                    let entries = wal.read_from(from).expect("the log is open");
                                    let seen = entries.map(pair).zip(from..).map(|(entry, number)| {
                                        assert_eq!(entry, (number, numbered(number)));
                                    });
                                    assert!(seen.count() as u64 >= written - from);
                                }
                                _ => {
                                    let entries = wal.range(..written).expect("the log is open");
                                    let seen = entries.rev().take(500).map(pair).zip((0..written).rev());
                                    let seen = seen.map(|(entry, number)| {
                                        assert_eq!(entry, (number, numbered(number)));
                                    });
                                    assert_eq!(seen.count() as u64, written.min(500));
                                }
                            }
                        }
                    });
                }
                for number in 0..20_000 {
                    assert_eq!(wal.append(&numbered(number)).expect("there is space"), number);
                }
                over.store(true, Ordering::Relaxed);
            });
            assert!(wal.stats().rollovers > 10);
            wal.close().expect("nothing fails");
        }
    });
}
