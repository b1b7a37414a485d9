//! Entries that are lent, one by one or in batches, are those that an iterator owns, and so is the error that ends them.

use std::sync::Arc;

use crate::common::bytes::{Frame, frames, linked, segment_name};
use crate::common::ledger::payload;
use crate::common::{CHECKSUMS, copy, directory, open};
use proptest::prelude::*;
use wal::{Checksum, Entry, EntryRef, Error, ErrorKind, Options, SyncPolicy, View};
use wal_segment::io::sim::SimDisk;

/// What a reader showed until it ended, and the error that ended it.
type Shown = (Vec<(u64, Vec<u8>)>, Option<Error>);

fn pair(entry: EntryRef<'_>) -> (u64, Vec<u8>) {
    (entry.sequence(), entry.to_vec())
}

fn owned(view: &View, from: u64, to: u64) -> Shown {
    let (mut shown, mut error) = (Vec::new(), None);
    for entry in view.range(from..to) {
        assert!(error.is_none(), "an error is the end");
        match entry {
            Ok(entry) => shown.push((entry.sequence(), entry.to_vec())),
            Err(found) => error = Some(found),
        }
    }
    (shown, error)
}

/// Reads one entry or a batch, as `turns` say, over and over.
fn lent(view: &View, from: u64, to: u64, turns: &[bool]) -> Shown {
    let mut reader = view.reader(from..to);
    let mut shown = Vec::new();
    let mut turn = turns.iter().cycle();
    let error = loop {
        let more = if *turn.next().expect("endless") {
            reader.next().map(|entry| entry.map(|entry| shown.push(pair(entry))))
        } else {
            reader.next_batch().map(|batch| {
                batch.map(|batch| {
                    assert!(batch.len() > 0, "a batch is not empty");
                    assert_eq!(batch.sequences().start + batch.len() as u64, batch.sequences().end);
                    shown.extend(batch.map(pair));
                })
            })
        };
        match more {
            Ok(Some(())) => {}
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(reader.next().expect("it ended").is_none() && reader.next_batch().expect("it ended").is_none());
    (shown, error)
}

const TURNS: [&[bool]; 3] = [&[true], &[false], &[true, false, false]];

/// Reads in every way, which must agree.
#[track_caller]
fn every_way(view: &View, from: u64, to: u64) -> Shown {
    let (entries, error) = owned(view, from, to);
    for turns in TURNS {
        let (others, another) = lent(view, from, to, turns);
        assert_eq!(others, entries, "one by one {turns:?}, from {from} to {to}");
        assert_eq!(format!("{another:?}"), format!("{error:?}"), "one by one {turns:?}, from {from} to {to}");
    }
    (entries, error)
}

/// Larger than a batch, and than what is read at a time without a mapping.
const LONG: usize = 300 << 10;

/// The frames of the first segment of [`log`]: lengths of their entries. The second one holds the same.
const FRAMES: [&[usize]; 5] = [&[24], &[9, 0, 17, 0, 33], &[LONG], &[5, 70 << 10, 6, LONG, 7, 8], &[0]];
const OF_A_SEGMENT: u64 = 14;

fn log(checksum: Checksum) -> (SimDisk, Vec<Vec<u8>>) {
    let options = Options::new().segment_bytes(2 << 20).sync(SyncPolicy::None).background(false);
    let disk = SimDisk::new(5);
    let wal = open(&disk, &options.checksum(checksum));
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for _ in 0..2 {
        for lengths in FRAMES {
            let first = expected.len() as u64;
            expected.extend((first + 1..).zip(lengths).map(|(stamp, &bytes)| payload(stamp, bytes)));
            wal.append_batch(&expected[usize::try_from(first).expect("few")..]).expect("nothing fails");
        }
        wal.roll().expect("nothing fails");
    }
    wal.close().expect("nothing fails");
    (copy(&directory(&disk)), expected)
}

fn numbered(expected: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    (0..).zip(expected.iter().cloned()).collect()
}

/// With mappings and without.
fn views(disk: &SimDisk) -> [View; 2] {
    [true, false].map(|mapped| {
        let view = Options::new().mapped_reads(mapped).open_read_only_in(Arc::new(disk.clone()));
        view.expect("there is a log")
    })
}

/// The frames of a segment without its LINK.
fn data_frames(disk: &SimDisk, segment: u64) -> Vec<Frame> {
    frames(&disk.contents(&segment_name(segment)).expect("it is there")).split_off(1)
}

#[test]
fn damage_is_told_after_the_entries_before_it_and_by_the_same_error() {
    for &checksum in CHECKSUMS {
        let (whole, expected) = log(checksum);
        let row = 4 + checksum.width();
        let all = data_frames(&whole, 1);
        let (batch, long) = (&all[1], &all[2]);
        let payloads = batch.offset + 32 + 5 * row;
        let in_the_long_batch = all[3].offset + 32 + 6 * row + 5 + (70 << 10) + 2;
        // Which byte, how many entries are shown, where the damage is, and which entries are lost.
        let cases = [
            ("a payload in the middle of a frame", payloads + 9 + 3, 3, batch.offset, 3..4),
            ("the last payload of a frame", payloads + 9 + 17 + 32, 5, batch.offset, 5..6),
            ("the first payload of a frame", payloads, 1, batch.offset, 1..2),
            ("a payload in the second batch of a frame", in_the_long_batch, 9, all[3].offset, 9..10),
            (
                "a payload that is longer than a chunk",
                long.offset + 32 + row + LONG / 2,
                6,
                long.offset,
                6..7,
            ),
            ("a table", batch.offset + 32 + 4 * row, 1, batch.offset, 1..6),
            ("a length in a table", batch.offset + 32, 1, batch.offset, 1..6),
            ("a header", batch.offset + 8, 1, batch.offset, 1..6),
        ];
        for (what, byte, shown, offset, lost) in cases {
            let disk = copy(&directory(&whole));
            assert!(disk.damage(&segment_name(1), |bytes| bytes[byte] ^= 0x10));
            for (view, mapped) in views(&disk).iter().zip([true, false]) {
                // Without a mapping a frame that is longer than a chunk is checked whole before it is read.
                let checked_whole = !mapped && offset == all[3].offset;
                let (shown, rest) = if checked_whole { (7, 13) } else { (shown, lost.end) };
                let (entries, error) = every_way(view, 0, u64::MAX);
                assert_eq!(entries.len(), shown, "{checksum}: {what}: {error:?}");
                assert!(entries == numbered(&expected[..shown]), "{checksum}: {what}");
                let error = error.unwrap_or_else(|| panic!("{checksum}: {what} is not told"));
                let damage = error.damage().expect("it says where");
                let sequences = damage.sequences.expect("it says which");
                assert_eq!(
                    (damage.offset, sequences.first, sequences.end),
                    (offset as u64, Some(lost.start), Some(lost.end)),
                    "{checksum}: {what}: {error}"
                );
                // Up to there nothing is wrong, and after it nothing either.
                assert_eq!(every_way(view, 0, shown as u64).1.map(|error| error.kind()), None, "{what}");
                let (after, error) = every_way(view, rest, u64::MAX);
                assert!(error.is_none(), "{checksum}: {what}: {error:?}");
                assert_eq!(after.len() as u64, 2 * OF_A_SEGMENT - rest, "{checksum}: {what}");
            }
        }
    }
}

#[test]
fn padding_that_is_not_blank_is_told_before_the_entries_of_its_frame() {
    let (disk, expected) = log(Checksum::Crc32);
    let batch = &data_frames(&disk, 1)[1];
    assert!(disk.damage(&segment_name(1), |bytes| bytes[batch.end - 1] ^= 1));
    for view in views(&disk) {
        let (entries, error) = every_way(&view, 0, u64::MAX);
        assert_eq!(entries, numbered(&expected[..1]));
        let error = error.expect("it is told");
        assert_eq!(error.damage().map(|damage| damage.offset), Some(batch.offset as u64), "{error}");
    }
}

#[test]
fn a_whole_log_with_empty_and_long_entries_is_lent_as_it_was_appended_in_every_range() {
    for &checksum in CHECKSUMS {
        let (disk, expected) = log(checksum);
        let all = numbered(&expected);
        for view in views(&disk) {
            for from in 0..=all.len() {
                for to in [from, from + 1, from + 3, all.len()] {
                    let to = to.min(all.len());
                    let (entries, error) = every_way(&view, from as u64, to as u64);
                    assert!(error.is_none(), "{error:?}");
                    assert!(entries == all[from..to], "{checksum}: from {from} to {to}");
                }
            }
        }
    }
}

#[test]
fn a_torn_end_is_no_error_and_damage_at_the_end_is_told_after_the_last_entry() {
    for &checksum in CHECKSUMS {
        let (whole, expected) = log(checksum);
        let last = data_frames(&whole, 2);
        let kept = &expected[..expected.len() - 1 - FRAMES[3].len()];

        // What follows is void, as after a write that a power cut has torn.
        let torn = copy(&directory(&whole));
        torn.delete(&segment_name(3));
        torn.damage(&segment_name(2), |bytes| bytes[last[3].offset + 40..].fill(0));
        for view in views(&torn) {
            let (entries, error) = every_way(&view, 0, u64::MAX);
            let is_torn = error.is_none_or(|error| error.damage().is_some());
            assert!(entries == numbered(kept) && is_torn, "{checksum}: {:?}", view.recovery());
        }

        // A whole frame after it proves that there was more.
        let damaged = copy(&directory(&whole));
        damaged.damage(&segment_name(2), |bytes| bytes[last[3].offset] ^= 1);
        for view in views(&damaged) {
            let (entries, error) = every_way(&view, 0, u64::MAX);
            assert!(entries == numbered(kept), "{checksum}: {} entries", entries.len());
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Corrupt), "{checksum}");
            let end = kept.len() as u64;
            assert!(every_way(&view, 0, end).1.is_none(), "a range that ends there does not ask");
        }

        let missing = copy(&directory(&whole));
        missing.delete(&segment_name(2));
        for view in views(&missing) {
            let (entries, error) = every_way(&view, 0, u64::MAX);
            assert!(entries.len() as u64 <= OF_A_SEGMENT);
            assert!(error.is_some_and(|error| error.damage().is_some()), "{checksum}");
        }
    }
}

#[test]
fn a_cut_inside_a_frame_hides_the_entries_after_it() {
    for &checksum in CHECKSUMS {
        for last in 1..5 {
            let options = Options::new().sync(SyncPolicy::None).checksum(checksum).background(false);
            let disk = SimDisk::new(6);
            let wal = open(&disk, &options);
            let mut expected: Vec<Vec<u8>> = (1..8).map(|stamp| payload(stamp, 20)).collect();
            wal.append(&expected[0]).expect("nothing fails");
            wal.append_batch(&expected[1..]).expect("nothing fails");
            wal.truncate_after(last).expect("they are there");
            expected.truncate(usize::try_from(last).expect("few") + 1);
            expected.extend((50..53).map(|stamp| payload(stamp, 30)));
            wal.append_batch(&expected[expected.len() - 3..]).expect("nothing fails");
            for mapped in [true, false] {
                let view = options.clone().mapped_reads(mapped).open_read_only_in(Arc::new(disk.clone()));
                let (entries, error) = every_way(&view.expect("a log"), 0, u64::MAX);
                assert!(error.is_none(), "{error:?}");
                assert_eq!(entries, numbered(&expected), "{checksum}, mapped {mapped}, up to {last}");
            }
            let mut reader = wal.reader(..).expect("the log is open");
            let mut shown = Vec::new();
            while let Some(batch) = reader.next_batch().expect("the log is whole") {
                shown.extend(batch.map(pair));
            }
            assert_eq!(shown, numbered(&expected));
        }
    }
}

#[test]
fn a_lent_entry_made_owned_outlives_the_reader() {
    let (disk, expected) = log(Checksum::Crc32);
    let mut kept: Vec<Entry> = Vec::new();
    for view in views(&disk) {
        let mut reader = view.reader(..);
        while let Some(entry) = reader.next().expect("the log is whole") {
            kept.push(entry.to_owned());
        }
        let mut reader = view.reader(..);
        while let Some(batch) = reader.next_batch().expect("the log is whole") {
            kept.extend(batch.map(Entry::from));
        }
    }
    assert_eq!(kept.len(), 4 * expected.len());
    for entry in kept {
        assert_eq!(entry.payload(), expected[usize::try_from(entry.sequence()).expect("few")]);
    }
}

#[test]
fn what_a_reader_lends_is_counted_once() {
    let (disk, expected) = log(Checksum::Crc32);
    let wal = open(&disk, &Options::new().background(false));
    let before = wal.stats();
    let mut reader = wal.reader(..).expect("the log is open");
    let mut entries = 0;
    assert!(reader.next().expect("the log is whole").is_some());
    while let Some(batch) = reader.next_batch().expect("the log is whole") {
        entries += batch.len();
    }
    drop(reader);
    let after = wal.stats();
    assert_eq!(entries + 1, expected.len());
    assert_eq!(after.read_entries - before.read_entries, expected.len() as u64);
    let bytes: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(after.read_bytes - before.read_bytes, bytes as u64);
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Roll,
    Truncate(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![
        2 => Just(0_usize),
        8 => 1..200_usize,
        2 => 200..4000_usize,
        1 => Just(70 << 10),
        1 => Just(LONG),
    ];
    prop_oneof![
        8 => proptest::collection::vec(bytes, 1..12).prop_map(Step::Append),
        1 => Just(Step::Roll),
        1 => (1..4_usize).prop_map(Step::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn lent_batched_and_owned_entries_and_errors_are_the_same_in_damaged_logs(
        steps in proptest::collection::vec(step(), 1..16),
        checksum in 0..CHECKSUMS.len(),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8), 0..3),
        turns in proptest::collection::vec(any::<bool>(), 1..8),
        range in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let options = Options::new().segment_bytes(1 << 20).sync(SyncPolicy::None).background(false);
        let disk = SimDisk::new(9);
        let wal = open(&disk, &options.clone().checksum(CHECKSUMS[checksum]));
        let mut expected: Vec<Vec<u8>> = vec![payload(7, 7)];
        wal.append(&expected[0]).expect("nothing fails");
        for (round, step) in (0..).step_by(100).zip(steps) {
            match step {
                Step::Append(lengths) => {
                    let first = expected.len();
                    expected.extend((round..).zip(lengths).map(|(stamp, bytes)| payload(stamp, bytes)));
                    wal.append_batch(&expected[first..]).expect("nothing fails");
                }
                Step::Roll => wal.roll().expect("nothing fails"),
                Step::Truncate(entries) if entries < expected.len() => {
                    expected.truncate(expected.len() - entries);
                    wal.truncate_after(expected.len() as u64 - 1).expect("they are there");
                }
                Step::Truncate(_) => {}
            }
        }
        wal.close().expect("nothing fails");
        let is_whole = damages.is_empty();
        // Where something is: the rest of a file is blank.
        let used = linked(&disk).into_iter().map(|name| {
            let last = frames(&disk.contents(&name).expect("it is there")).pop();
            (name, last.expect("it has a LINK").end)
        });
        let used: Vec<(String, usize)> = used.collect();
        for (segment, byte, bits) in damages {
            let (name, used) = segment.get(&used);
            disk.damage(name, |bytes| bytes[byte.index(*used)] ^= bits);
        }
        let numbers = expected.len() as u64 + 2;
        let numbers: Vec<u64> = (0..numbers).chain([u64::MAX]).collect();
        let (from, to) = (*range.0.get(&numbers), *range.1.get(&numbers));
        for mapped in [true, false] {
            let options = options.clone().mapped_reads(mapped);
            let Ok(view) = options.open_read_only_in(Arc::new(disk.clone())) else { continue };
            for (from, to) in [(0, u64::MAX), (from, to)] {
                let (entries, error) = every_way(&view, from, to);
                let (others, another) = lent(&view, from, to, &turns);
                prop_assert!(entries == others);
                prop_assert_eq!(format!("{:?}", another), format!("{:?}", error));
                for (number, payload) in &entries {
                    prop_assert_eq!(payload, &expected[usize::try_from(*number).expect("few")]);
                }
                prop_assert!(!is_whole || error.is_none(), "{error:?}");
                let there = from.min(expected.len() as u64)..to.min(expected.len() as u64);
                prop_assert!(!is_whole || entries.len() as u64 == there.end.saturating_sub(there.start));
            }
        }
    }
}
