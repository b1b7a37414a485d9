//! What a salvage gives of a damaged log: every entry whose frame is intact, nothing that was not appended, and a
//! gap for everything else. No bytes make it panic, and it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::common::bytes::{frames, header, segment_name};
use crate::common::{CHECKSUMS, HALF, directory, open, small, try_open};
use proptest::prelude::*;
use wal::{Aside, Damage, DamageKind, Options, SalvageSummary, Salvaged, SyncPolicy};
use wal_format::{FrameKind, HEADER_COPY_OFFSET, SEGMENT_HEADER_BYTES};
use wal_segment::io::FileKind;
use wal_segment::io::sim::SimDisk;

/// One of them fills most of a segment.
const LARGE: usize = HALF + 500;

type Files = BTreeMap<String, Option<Vec<u8>>>;

/// A log, and where each of its entries lies.
struct Original {
    files: Files,
    entries: Vec<Vec<u8>>,
    /// The file, the bytes of its frame, and its number.
    places: Vec<(String, Range<usize>, u64)>,
}

/// Ten entries, some of them in a batch, in several segments.
fn original(closed: bool, checksum: wal::Checksum) -> Original {
    let disk = SimDisk::new(9);
    let wal = open(&disk, &small(SyncPolicy::Immediate).checksum(checksum));
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut put = |payloads: Vec<Vec<u8>>| {
        wal.append_batch(&payloads).expect("nothing fails");
        entries.extend(payloads);
    };
    put(vec![b"zero".to_vec()]);
    put(vec![b"one".to_vec(), Vec::new(), b"three".to_vec()]);
    put(vec![vec![4; LARGE]]);
    put(vec![vec![5; LARGE]]);
    put(vec![vec![6; LARGE]]);
    put(vec![b"seven".to_vec()]);
    put(vec![vec![8; LARGE]]);
    put(vec![b"nine".to_vec()]);
    if closed {
        wal.close().expect("nothing fails");
    }
    let files = directory(&crate::common::copy(&directory(&disk.kill())));
    let mut places = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".wal")) {
        for frame in frames(bytes.as_deref().expect("a file")) {
            if frame.header.kind == FrameKind::Data {
                let first = frame.header.first.value();
                let numbers = first..first + u64::from(frame.header.entries);
                places.extend(numbers.map(|number| (name.clone(), frame.offset..frame.end, number)));
            }
        }
    }
    assert_eq!(places.len(), entries.len());
    Original { files, entries, places }
}

fn originals() -> impl Iterator<Item = Original> {
    CHECKSUMS.iter().flat_map(|&checksum| [true, false].map(|closed| original(closed, checksum)))
}

/// What a salvage gave.
#[derive(Debug)]
struct Given {
    entries: BTreeMap<u64, (Vec<u8>, bool)>,
    gaps: Vec<wal::Gap>,
    uncertain: BTreeSet<u64>,
    summary: SalvageSummary,
}

/// Salvages, and holds what comes against what was appended.
#[track_caller]
fn salvage(disk: &SimDisk, entries: &[Vec<u8>], what: &str) -> Given {
    let before = (directory(disk), disk.operations());
    let mut salvage = Options::new().open_salvage_in(Arc::new(disk.clone())).expect("it can be listed");
    let mut given = Given {
        entries: BTreeMap::new(),
        gaps: Vec::new(),
        uncertain: BTreeSet::new(),
        summary: SalvageSummary::default(),
    };
    let mut next: Option<u64> = None;
    for item in &mut salvage {
        match item {
            Salvaged::Entry { entry, whole, certain, .. } => {
                let number = entry.sequence();
                assert!(next.is_none_or(|next| next == number), "{what}: {number} behind {next:?}");
                let index = usize::try_from(number).expect("small");
                assert_eq!(entries.get(index).map(Vec::as_slice), Some(entry.payload()), "{what}: invented");
                given.entries.insert(number, (entry.to_vec(), whole));
                next = Some(number + 1);
                if !certain {
                    given.uncertain.insert(number);
                }
            }
            Salvaged::Gap(gap) => {
                let (first, end) = (gap.sequences.first, gap.sequences.end);
                assert!(next.is_none() || first == next, "{what}: a gap {gap:?} behind {next:?}");
                assert!(first.is_none() || end.is_none() || first < end, "{what}: {gap:?} is no gap");
                next = end;
                given.gaps.push(gap);
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    assert!(salvage.next().is_none(), "{what}: it goes on behind its end");
    given.summary = salvage.summary().clone();
    assert_eq!(given.summary.entries, given.entries.len() as u64, "{what}");
    assert_eq!(given.summary.gaps, given.gaps.len() as u64, "{what}");
    assert!((directory(disk), disk.operations()) == before, "{what}: something was changed");
    given
}

impl Original {
    fn disk(&self) -> SimDisk {
        crate::common::copy(&self.files)
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.files[name].as_deref().expect("a file")
    }

    fn segments(&self) -> Vec<String> {
        self.files.keys().filter(|name| name.ends_with(".wal")).cloned().collect()
    }

    /// The entries whose frames, and one of the headers above them, are as they were in any file.
    fn intact(&self, disk: &SimDisk) -> BTreeSet<u64> {
        let names = disk.names().into_iter().filter(|name| name.ends_with(".wal"));
        let now: Vec<Vec<u8>> = names.filter_map(|name| disk.contents(&name)).collect();
        let is_intact = |(name, range, _): &&(String, Range<usize>, u64)| {
            let was = self.bytes(name);
            let same = |now: &[u8], range: Range<usize>| now.get(range.clone()) == was.get(range);
            let copy = usize::try_from(HEADER_COPY_OFFSET).expect("small");
            now.iter().any(|now| {
                let one_header = [0, copy].into_iter().any(|at| same(now, at..at + SEGMENT_HEADER_BYTES));
                one_header && same(now, range.clone())
            })
        };
        self.places.iter().filter(is_intact).map(|(_, _, number)| *number).collect()
    }

    /// Everything that is intact is given, and what is given verifies.
    #[track_caller]
    fn check(&self, disk: &SimDisk, what: &str) -> Given {
        let given = salvage(disk, &self.entries, what);
        for number in self.intact(disk) {
            assert!(given.entries.contains_key(&number), "{what}: entry {number} is intact\n{given:?}");
        }
        given
    }
}

fn segment_before(name: &str) -> Option<String> {
    let number: u64 = name.strip_suffix(".wal")?.parse().ok()?;
    (number > 1).then(|| segment_name(number - 1))
}

#[test]
fn a_log_that_is_whole_is_given_whole_also_beside_its_writer() {
    for original in originals() {
        let given = original.check(&original.disk(), "whole");
        assert_eq!(given.entries.len(), 10);
        assert!(given.entries.values().all(|(_, whole)| *whole));
        assert!(given.uncertain.is_empty(), "{given:?}");
        let Given { gaps, summary, .. } = given;
        assert!(gaps.is_empty() && summary.aside.is_empty() && summary.damages.is_empty(), "{summary:?}");
        assert!(summary.log.is_some() && summary.segments >= 3);
    }
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    wal.append(b"zero").expect("nothing fails");
    assert_eq!(salvage(&disk, &[b"zero".to_vec()], "beside a writer").entries.len(), 1);
    assert!(salvage(&SimDisk::new(2), &[], "nothing at all").entries.is_empty());
}

#[test]
fn every_bit_that_is_flipped_costs_at_most_its_own_frame() {
    for original in originals() {
        for name in original.files.keys().filter(|name| *name != "LOCK") {
            let bytes = original.bytes(name);
            let used = (0..bytes.len()).filter(|&at| bytes[at] != 0 || at % 509 == 0);
            // In the middle of a large payload one bit is as good as another.
            let is_payload = |at: usize| at > 8 && bytes[at - 8..at].iter().all(|byte| *byte == bytes[at]);
            for at in used {
                let bits = if is_payload(at) { at % 8..at % 8 + 1 } else { 0..8 };
                for bit in bits {
                    let disk = original.disk();
                    disk.damage(name, |bytes| bytes[at] ^= 1 << bit);
                    original.check(&disk, &format!("{name}, bit {bit} of byte {at}"));
                }
            }
        }
    }
}

#[test]
fn every_length_to_which_a_file_is_cut_leaves_what_is_in_front_of_it() {
    for original in originals() {
        for name in original.files.keys() {
            let bytes = original.bytes(name);
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 2).min(bytes.len());
            let lengths = (0..100).chain(4090..4180).chain(8180..end);
            for length in lengths.filter(|&length| length < end) {
                let disk = original.disk();
                disk.put(name, &bytes[..length]);
                original.check(&disk, &format!("{name} is cut to {length}"));
            }
        }
    }
}

#[test]
fn every_file_that_is_missing_empty_renamed_copied_or_swapped_costs_what_is_gone_with_it() {
    for original in originals() {
        for name in original.files.keys() {
            let what = |what: &str| format!("{name} is {what}");
            let disk = original.disk();
            disk.delete(name);
            let given = original.check(&disk, &what("missing"));
            let held = original.places.iter().filter(|(place, _, _)| place == name).count();
            assert_eq!(given.entries.len(), 10 - held, "{}", what("missing"));
            // What stands in the segment before the missing one may have been cut off.
            if held > 0 {
                let before = segment_before(name);
                let uncertain: BTreeSet<u64> = original
                    .places
                    .iter()
                    .filter(|(place, ..)| Some(place) == before.as_ref())
                    .map(|place| place.2)
                    .collect();
                assert_eq!(given.uncertain, uncertain, "{}", what("missing"));
                let gap = &given.gaps[0];
                assert!(gap.file.ends_with(name) || given.gaps.len() == 1, "{gap:?}");
            }
            let disk = original.disk();
            disk.put(name, b"");
            original.check(&disk, &what("empty"));
            let disk = original.disk();
            disk.put_kind(name, FileKind::Symlink);
            original.check(&disk, &what("a link"));
            for (number, other) in (1..8).map(|number| (number, segment_name(number))) {
                let bytes = original.bytes(name).to_vec();
                let there = original.files.get(&other).cloned().flatten();
                let copied = original.disk();
                copied.put(&segment_name(number + 50), &bytes);
                let given = original.check(&copied, &what("copied"));
                assert_eq!(given.entries.len(), 10, "{}", what("copied"));
                let renamed = original.disk();
                renamed.delete(name);
                renamed.put(&other, &bytes);
                original.check(&renamed, &what(&format!("renamed to {other}")));
                if let Some(there) = there {
                    let swapped = original.disk();
                    swapped.put(name, &there);
                    swapped.put(&other, &bytes);
                    original.check(&swapped, &what(&format!("swapped with {other}")));
                }
            }
        }
    }
}

#[test]
fn bytes_that_the_device_does_not_give_are_a_gap_and_everything_else_is_given() {
    for original in originals() {
        for name in original.segments() {
            for block in 0..3_u64 {
                let disk = original.disk();
                let bad = block * 4096..(block + 1) * 4096;
                assert!(disk.unreadable(&name, bad.clone()));
                let what = format!("{name}, bytes {bad:?}");
                let given = salvage(&disk, &original.entries, &what);
                for (place, range, number) in &original.places {
                    let hit =
                        *place == name && (range.start as u64) < bad.end && bad.start < range.end as u64;
                    assert_eq!(!hit, given.entries.contains_key(number), "{what}: entry {number}");
                }
                let lost = given.entries.len() < 10;
                let told = given
                    .gaps
                    .iter()
                    .any(|gap| gap.why == DamageKind::Unreadable && gap.file.ends_with(&name));
                assert_eq!(told, lost, "{what}: {:?}", given.gaps);
            }
        }
    }
}

#[test]
fn without_an_anchor_everything_is_given_and_the_loss_of_it_is_told() {
    for original in originals() {
        let disk = original.disk();
        disk.damage("ANCHOR", |bytes| bytes.fill(0));
        assert!(try_open(&disk, &small(SyncPolicy::None)).is_err());
        let given = original.check(&disk, "no anchor");
        assert_eq!((given.entries.len(), given.gaps.len()), (10, 0));
        let told = |damage: &Damage| damage.file.ends_with("ANCHOR");
        assert!(given.summary.damages.iter().any(told), "{:?}", given.summary);
    }
}

#[test]
fn both_headers_gone_cost_a_segment_unless_the_anchor_names_it() {
    for original in originals() {
        let segments: BTreeSet<&String> = original.places.iter().map(|(name, _, _)| name).collect();
        for name in &segments {
            let disk = original.disk();
            disk.damage(name, |bytes| bytes[..8192].fill(0xee));
            let given = salvage(&disk, &original.entries, name);
            let held = original.places.iter().filter(|(place, _, _)| place == *name).count();
            if Some(name) == segments.last() {
                assert_eq!(given.entries.len(), 10, "{name}: {given:?}");
            } else {
                assert_eq!(given.entries.len(), 10 - held, "{name}: {given:?}");
                assert!(given.summary.aside.iter().any(|aside| aside.why == Aside::NoHeader));
                assert!(matches!(given.gaps[0].why, DamageKind::Header(_)), "{:?}", given.gaps);
            }
        }
    }
}

#[test]
fn a_bad_payload_in_a_batch_leaves_the_others_and_says_that_they_are_not_all() {
    for original in originals() {
        let (name, range, _) = original.places.iter().find(|(_, _, number)| *number == 3).expect("a batch");
        let disk = original.disk();
        disk.damage(name, |bytes| {
            let at = bytes[range.clone()].windows(5).position(|five| five == b"three").expect("it is there");
            bytes[range.start + at] ^= 1;
        });
        let given = original.check(&disk, "a bad payload");
        assert_eq!(given.entries.len(), 9);
        for (number, (_, whole)) in &given.entries {
            assert_eq!(*whole, !(1..=2).contains(number), "entry {number}");
        }
        let [gap] = &given.gaps[..] else { panic!("{:?}", given.gaps) };
        assert_eq!((gap.sequences.first, gap.sequences.end), (Some(3), Some(4)));
        assert!(gap.file.ends_with(name) && gap.offset == range.start as u64, "{gap:?}");
    }
}

/// A log that was cut in front of entry 3, in the middle of a segment, and went on.
fn cut(anchored: bool) -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(11);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for payload in [&b"a"[..], b"b", b"c", b"gone 3", b"gone 4"] {
        wal.append(payload).expect("nothing fails");
    }
    for _ in 0..4 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    // The reader keeps the files of what is cut.
    let reader = wal.range(..).expect("the log is open");
    wal.truncate_after(2).expect("nothing fails");
    for payload in [&b"new 3"[..], b"new 4"] {
        wal.append(payload).expect("nothing fails");
    }
    let files = directory(&disk);
    drop((reader, wal));
    let disk = crate::common::copy(&files);
    if !anchored {
        disk.delete("ANCHOR");
    }
    (disk, [&b"a"[..], b"b", b"c", b"new 3", b"new 4"].map(<[u8]>::to_vec).to_vec())
}

#[test]
fn what_a_truncation_has_cut_off_does_not_come_back_and_is_told() {
    for anchored in [true, false] {
        let (disk, entries) = cut(anchored);
        let given = salvage(&disk, &entries, "cut");
        assert_eq!((given.entries.len(), given.gaps.len()), (5, 0), "{given:?}");
        let whys: Vec<Aside> = given.summary.aside.iter().map(|aside| aside.why).collect();
        assert!(whys.iter().any(|why| matches!(why, Aside::Cut { .. })), "{whys:?}");
        assert!(whys.iter().any(|why| matches!(why, Aside::Skipped { .. })), "{whys:?}");
    }
}

// The LINK that publishes a cut is damaged. The first number behind it is still there, and an entry that was cut off
// has the same one.
#[test]
fn what_was_cut_off_does_not_come_back_either_when_its_link_is_damaged_and_a_frame_or_the_anchor_tells() {
    for anchored in [true, false] {
        let (disk, entries) = cut(anchored);
        let last = crate::common::bytes::linked(&disk).pop().expect("a segment");
        disk.damage(&last, |bytes| bytes[8192] ^= 1);
        let given = salvage(&disk, &entries, "cut, without its LINK");
        assert_eq!((given.entries.len(), given.gaps.len()), (5, 0), "{given:?}");
    }
}

// The segment with the LINK is gone as a whole: nothing tells any more what was cut off.
#[test]
fn what_may_have_been_cut_off_by_a_segment_that_is_missing_is_called_uncertain() {
    let (disk, _) = cut(true);
    let last = crate::common::bytes::linked(&disk).pop().expect("a segment");
    disk.delete(&last);
    let salvage = Options::new().open_salvage_in(Arc::new(disk)).expect("it can be listed");
    let mut given = 0;
    for item in salvage {
        match item {
            Salvaged::Entry { entry, certain, .. } => {
                assert!(!certain, "entry {}", entry.sequence());
                given += 1;
            }
            Salvaged::Gap(gap) => assert!(gap.file.ends_with(&last), "{gap:?}"),
            _ => {}
        }
    }
    assert!(given >= 3, "{given} entries");
}

#[test]
fn what_was_dropped_from_the_front_does_not_come_back_while_the_anchor_says_so() {
    let disk = SimDisk::new(12);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    let entries: Vec<Vec<u8>> = (0..8).map(|number| vec![number; HALF]).collect();
    for payload in &entries {
        wal.append(payload).expect("nothing fails");
    }
    let reader = wal.range(..).expect("the log is open");
    wal.truncate_before(5).expect("nothing fails");
    let disk = crate::common::copy(&directory(&disk));
    drop(reader);
    let given = salvage(&disk, &entries, "anchored");
    assert_eq!(given.entries.keys().copied().collect::<Vec<_>>(), [5, 6, 7]);
    assert!(given.gaps.is_empty());
    assert!(given.summary.aside.iter().all(|aside| aside.why == Aside::Dropped));
    // Nothing else says where the log begins.
    disk.delete("ANCHOR");
    assert_eq!(salvage(&disk, &entries, "not anchored").entries.len(), 8);
    disk.delete(&segment_name(1));
    let given = salvage(&disk, &entries, "not anchored, and the first segment is gone");
    assert_eq!((given.gaps[0].sequences.first, given.gaps[0].sequences.end), (None, Some(2)));
    assert_eq!(given.entries.len(), 6);
}

#[test]
fn files_of_another_log_and_bytes_of_frames_in_payloads_are_not_taken_for_entries() {
    let original = original(true, wal::Checksum::Crc32);
    let other = SimDisk::new(99);
    let wal = open(&other, &small(SyncPolicy::Immediate));
    wal.append(b"somebody else's").expect("nothing fails");
    wal.close().expect("nothing fails");
    let disk = original.disk();
    disk.put(&segment_name(77), &other.contents(&segment_name(1)).expect("a segment"));
    let given = original.check(&disk, "another log's file");
    assert_eq!(given.entries.len(), 10);
    assert_eq!(given.summary.aside[0].why, Aside::OtherLog);

    // Each payload holds the frames of its own segment, as far as they were written; then all of its headers are
    // damaged, so that every place in the payload is looked at.
    let disk = SimDisk::new(13);
    let wal = open(&disk, &Options::new().sync(SyncPolicy::Immediate).background(false));
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for number in 0..6_u8 {
        let copied =
            disk.contents(&segment_name(1)).map_or_else(Vec::new, |bytes| bytes[8192..10_000].to_vec());
        entries.push([vec![number; 8], copied].concat());
        wal.append(&entries[entries.len() - 1]).expect("nothing fails");
    }
    drop(wal);
    let disk = crate::common::copy(&directory(&disk.kill()));
    let bytes = disk.contents(&segment_name(1)).expect("a segment");
    for frame in frames(&bytes) {
        let disk = crate::common::copy(&directory(&disk));
        disk.damage(&segment_name(1), |bytes| bytes[frame.offset] ^= 1);
        let given = salvage(&disk, &entries, "frames in payloads");
        let lost = usize::from(frame.header.kind == FrameKind::Data);
        // The last one is known to have been there by nothing else.
        assert_eq!(given.entries.len(), 6 - lost, "{given:?}");
    }
    assert_eq!(header(&bytes).life.segment.value(), 1);
}

/// Something that happens to a file.
#[derive(Clone, Debug)]
enum Harm {
    Bytes { at: prop::sample::Index, with: Vec<u8> },
    Zeros { at: prop::sample::Index, bytes: usize },
    Shorter { to: prop::sample::Index },
    Longer { with: Vec<u8> },
    Moved { from: prop::sample::Index, to: prop::sample::Index, bytes: usize },
    Gone,
    Twice { number: u64 },
}

fn harm() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, with)| Harm::Bytes { at, with }),
        (index(), 1..5000_usize).prop_map(|(at, bytes)| Harm::Zeros { at, bytes }),
        index().prop_map(|to| Harm::Shorter { to }),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(|with| Harm::Longer { with }),
        (index(), index(), 8..2000_usize).prop_map(|(from, to, bytes)| Harm::Moved { from, to, bytes }),
        Just(Harm::Gone),
        (1..9_u64).prop_map(|number| Harm::Twice { number }),
    ]
}

fn suffer(disk: &SimDisk, name: &str, harm: Harm) {
    let Some(mut bytes) = disk.contents(name) else { return };
    match harm {
        Harm::Bytes { at, with } if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + with.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        Harm::Zeros { at, bytes: count } if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + count);
            bytes[at..end].fill(0);
        }
        Harm::Shorter { to } => bytes.truncate(to.index(bytes.len() + 1)),
        Harm::Longer { with } => bytes.extend(with),
        Harm::Moved { from, to, bytes: count } if !bytes.is_empty() => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let count = count.min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + count, to);
        }
        Harm::Gone => return disk.delete(name),
        Harm::Twice { number } => return disk.put(&segment_name(number), &bytes),
        _ => return,
    }
    disk.put(name, &bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn of_a_log_with_any_harm_everything_intact_is_given_and_nothing_else(
        closed in any::<bool>(),
        harms in prop::collection::vec((any::<prop::sample::Index>(), harm()), 1..6),
    ) {
        let original = original(closed, wal::Checksum::Crc32);
        let disk = original.disk();
        let names: Vec<String> = original.files.keys().filter(|name| *name != "LOCK").cloned().collect();
        for (which, harm) in harms.clone() {
            suffer(&disk, &names[which.index(names.len())], harm);
        }
        original.check(&disk, &format!("{harms:?}"));
    }
}
