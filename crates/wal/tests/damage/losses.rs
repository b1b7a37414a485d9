//! One truth about damage: whichever way a damaged log is read, copied, checked or opened, it is told the same entries.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::bytes::{frames, segments};
use crate::common::{HALF, directory, open, small, view};
use wal::{Damage, Ending, Error, Lost, Options, Salvaged, SyncPolicy};
use wal_segment::io::sim::SimDisk;

const ENTRIES: u64 = 40;

/// A log of several segments, of lone entries and batches, closed or killed.
fn log(closed: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    let mut next = 0;
    while next < ENTRIES {
        let bytes = [20, HALF, 300, 7][usize::try_from(next % 4).expect("few")];
        let entry = |number: u64| vec![u8::try_from(number).expect("few"); bytes];
        if next.is_multiple_of(3) {
            next =
                wal.append_batch([entry(next), entry(next + 1), entry(next + 2)]).expect("nothing fails").end;
        } else {
            next = wal.append(&entry(next)).expect("nothing fails") + 1;
        }
    }
    if closed {
        wal.close().expect("nothing fails");
    }
    crate::common::copy(&directory(&disk))
}

fn numbers(lost: Lost, next: u64) -> BTreeSet<u64> {
    (lost.first.unwrap_or(0)..lost.end.unwrap_or(next)).collect()
}

fn damage_of(error: &Error) -> Damage {
    error.damage().unwrap_or_else(|| panic!("{error}")).clone()
}

/// What is lost, and whether that is said to be all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    lost: usize,
    exactly: bool,
}

/// Reads the damaged log in every way. Returns what is lost, or `None` when nothing notices.
fn everyone_agrees(disk: &SimDisk, next: u64, what: &str) -> Option<Told> {
    let looked = view(disk);
    // After a kill the last write alone may have been interrupted: no log can tell that from damage.
    let is_torn = matches!(looked.recovery().ending, Ending::Torn { .. });
    let next = if is_torn { looked.written_end() } else { next };
    let salvage = Options::new().open_salvage_in(Arc::new(disk.clone())).expect("it can be listed");
    let readable: BTreeSet<u64> = salvage
        .filter_map(|item| match item {
            Salvaged::Entry { entry, .. } => Some(entry.sequence()),
            _ => None,
        })
        .filter(|&number| number < next)
        .collect();
    let truly_lost: BTreeSet<u64> = (0..next).filter(|number| !readable.contains(number)).collect();

    let losses = looked.losses().expect("it can be listed");
    let agrees = (losses.readable, losses.lost) == (readable.len() as u64, truly_lost.len() as u64);
    assert!(agrees || losses.at_least, "{what}: {losses}, lost are {truly_lost:?}");
    let said = losses.to_string();
    match truly_lost.len() {
        _ if losses.at_least => {}
        0 => assert!(said.starts_with("no entry is lost; "), "{what}: {said}"),
        1 => assert!(said.starts_with("1 entry is lost, number "), "{what}: {said}"),
        lost => assert!(said.starts_with(&format!("{lost} entries are lost, ")), "{what}: {said}"),
    }

    let verified = looked.verify().expect("it can be read");
    let mut told = BTreeSet::new();
    for damage in &verified.damages {
        told.extend(damage.sequences.map(|lost| numbers(lost, next)).unwrap_or_default());
    }
    assert_eq!(told, truly_lost, "{what}: verify says {:?}", verified.damages);

    // Readers from both ends and in the middle, a single read of each entry, a copy, an open: what they are told is lost is
    // lost, from the place on where they are.
    let is_true = |damage: &Damage, how: &str| {
        let lost = numbers(damage.sequences.unwrap_or(Lost { first: Some(0), end: Some(0) }), next);
        assert!(lost.is_subset(&truly_lost), "{what}: {how} says {damage}, lost are {truly_lost:?}");
        lost
    };
    let mut read = BTreeSet::new();
    for entry in looked.range(..) {
        match entry {
            Ok(entry) => {
                assert!(read.insert(entry.sequence()) && readable.contains(&entry.sequence()), "{what}");
            }
            Err(error) => {
                let lost = is_true(&damage_of(&error), "a reader");
                let first = truly_lost.iter().next().copied();
                assert!(lost.is_empty() || lost.iter().next().copied() == first, "{what}: {error}");
            }
        }
    }
    for error in looked.range(..).rev().filter_map(Result::err) {
        is_true(&damage_of(&error), "a reader from behind");
    }
    for number in 0..next {
        match looked.read(number) {
            Ok(_) => assert!(readable.contains(&number), "{what}: {number} was read"),
            Err(error) if error.damage().is_some() => {
                let lost = is_true(&damage_of(&error), "a single read");
                assert!(truly_lost.contains(&number) || !lost.contains(&number), "{what}: {error}");
            }
            Err(error) => assert_eq!(error.kind(), wal::ErrorKind::OutOfRange, "{what}: {error}"),
        }
    }
    let copied = looked.copy_into(&SimDisk::new(2));
    if let Err(error) = &copied {
        let lost = is_true(&damage_of(error), "a copy");
        let first = truly_lost.iter().next().copied();
        assert!(lost.is_empty() || lost.iter().next().copied() == first, "{what}: {error}");
    }
    let opened = small(SyncPolicy::Immediate).open_in(Arc::new(crate::common::copy(&directory(disk))));
    if let Err(error) = &opened {
        is_true(&damage_of(error), "an open");
        assert!(
            error.to_string().ends_with("Options::open_salvage reads what is left of the log"),
            "{error}"
        );
    }
    let told = Told { lost: truly_lost.len(), exactly: !losses.at_least };
    (!verified.damages.is_empty()).then_some(told)
}

fn next_of(disk: &SimDisk) -> u64 {
    view(disk).written_end()
}

// One damaged byte in entry 5000 was entry 5000 for cat, 5000 to 5118 for verify, 2662 to 5118 for copy.
#[test]
fn a_flipped_byte_anywhere_costs_the_same_entries_for_every_reader() {
    let (mut noticed, mut harmless, mut exact, mut most) = (0, 0, 0, 0);
    for closed in [true, false] {
        let whole = log(closed);
        let next = next_of(&whole);
        assert_eq!(everyone_agrees(&whole, next, "a whole log"), None);
        for name in segments(&whole) {
            let bytes = whole.contents(&name).expect("it is there");
            let in_frames = frames(&bytes).into_iter().flat_map(|frame| {
                let header = (frame.offset..frame.offset + 32).step_by(5);
                header.chain((frame.offset + 32..frame.end).step_by(if frame.header.entries > 0 {
                    97
                } else {
                    9
                }))
            });
            for at in (0..80).step_by(11).chain((4096..4176).step_by(11)).chain(in_frames) {
                let disk = crate::common::copy(&directory(&whole));
                disk.damage(&name, |bytes| bytes[at] ^= 0x10);
                match everyone_agrees(&disk, next, &format!("closed {closed}, byte {at} of {name}")) {
                    None => harmless += 1,
                    Some(told) => {
                        noticed += 1;
                        exact += u64::from(told.exactly);
                        most = most.max(told.lost);
                    }
                }
            }
        }
    }
    assert!(exact * 10 > noticed * 9, "{exact} of {noticed} are exact");
    assert!(
        noticed > 300 && most > 1,
        "{noticed} damages, {harmless} without consequence, at most {most} lost"
    );
}

#[test]
fn damages_at_several_places_are_all_told() {
    let whole = log(true);
    let next = next_of(&whole);
    let disk = crate::common::copy(&directory(&whole));
    let mut places = 0;
    for name in segments(&whole) {
        let bytes = whole.contents(&name).expect("it is there");
        for frame in frames(&bytes).iter().filter(|frame| frame.header.entries > 0).step_by(2) {
            disk.damage(&name, |bytes| bytes[frame.end - 9] ^= 1);
            places += 1;
        }
    }
    assert!(places > 8);
    let told = everyone_agrees(&disk, next, "every other frame").expect("it is noticed");
    assert!(told.exactly && told.lost >= places, "{told:?} of {places}");
}

#[test]
fn a_missing_or_shortened_segment_costs_the_same_entries_for_every_reader() {
    let whole = log(true);
    let next = next_of(&whole);
    for name in segments(&whole) {
        let disk = crate::common::copy(&directory(&whole));
        disk.delete(&name);
        everyone_agrees(&disk, next, &format!("{name} missing")).expect("it is noticed");
        let bytes = whole.contents(&name).expect("it is there");
        let mut all = frames(&bytes);
        if segments(&whole).last() == Some(&name) {
            // The SEAL holds no entry.
            all.pop();
        }
        for frame in all {
            for end in [frame.offset, frame.offset + 20, frame.end - 1] {
                let disk = crate::common::copy(&directory(&whole));
                disk.damage(&name, |bytes| bytes.truncate(end));
                everyone_agrees(&disk, next, &format!("{name} cut to {end}")).expect("it is noticed");
            }
        }
    }
}

#[test]
fn a_closed_log_that_has_lost_its_seal_has_lost_no_entry_and_opens() {
    let whole = log(true);
    let next = next_of(&whole);
    let name = segments(&whole).pop().expect("a segment");
    let seal = frames(&whole.contents(&name).expect("it is there")).pop().expect("a SEAL");
    for end in [seal.offset, seal.offset + 1, seal.end - 1] {
        let disk = crate::common::copy(&directory(&whole));
        disk.damage(&name, |bytes| bytes.truncate(end));
        assert_eq!(everyone_agrees(&disk, next, &format!("cut to {end}")), None, "nothing is lost");
        let wal =
            crate::common::try_open(&disk, &small(SyncPolicy::Immediate)).expect("a SEAL holds no entry");
        assert_eq!(wal.written_end(), next);
    }
}

#[test]
fn without_an_anchor_nothing_tells_how_many_entries_are_lost() {
    let whole = log(true);
    let next = next_of(&whole);
    for gone in [true, false] {
        let disk = crate::common::copy(&directory(&whole));
        if gone {
            disk.delete("ANCHOR");
        } else {
            disk.damage("ANCHOR", |bytes| bytes.fill(0x77));
        }
        let looked = view(&disk);
        let losses = looked.losses().expect("it can be listed");
        assert_eq!((losses.readable, losses.at_least), (next, true));
        assert!(losses.to_string().starts_with("how many entries are lost is not known; "), "{losses}");
        assert!(!looked.recovery().to_string().contains("no entry"), "{}", looked.recovery());
    }
}

#[test]
fn of_thousands_of_places_the_first_thousand_are_told_and_all_are_counted() {
    const FRAMES: u64 = 2600;
    let disk = SimDisk::new(1);
    let wal = open(&disk, &Options::new().sync(SyncPolicy::None).background(false));
    for number in 0..FRAMES {
        wal.append(&number.to_le_bytes()).expect("nothing fails");
    }
    wal.close().expect("nothing fails");
    let name = segments(&disk).remove(0);
    let bytes = disk.contents(&name).expect("it is there");
    let data: Vec<_> = frames(&bytes).into_iter().filter(|frame| frame.header.entries == 1).collect();
    assert_eq!(data.len() as u64, FRAMES);
    disk.damage(&name, |bytes| {
        for frame in data.iter().step_by(2) {
            bytes[frame.end - 8] ^= 1;
        }
    });
    let looked = view(&disk);
    let found = looked.verify().expect("it can be read");
    assert_eq!(found.damages.len(), 1000);
    assert_eq!(
        (found.entries, found.losses.readable, found.losses.lost),
        (FRAMES / 2, FRAMES / 2, FRAMES / 2)
    );
    assert_eq!(found.losses.between, Some((0, FRAMES - 2)));
    assert_eq!(looked.losses().expect("it can be read"), found.losses);
}

// The LINK of a cut was damaged, and the segment before it went on to its own end: entries that a truncation had dropped were
// shown under numbers that others have now.
#[test]
fn a_cut_whose_link_is_damaged_brings_nothing_back() {
    let mut cuts = 0;
    for kept in [1, 3, 4, 9] {
        for later in [0_u8, 1, 12] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(SyncPolicy::Immediate));
            wal.append_batch((0..10).map(|number| vec![number; 300]).collect::<Vec<_>>())
                .expect("nothing fails");
            wal.append(&[10; 20]).expect("nothing fails");
            wal.truncate_after(kept).expect("nothing fails");
            for number in 0..later {
                wal.append(&vec![100 + number; 900]).expect("nothing fails");
            }
            wal.close().expect("nothing fails");
            let truth = crate::common::contents(&open(&disk, &small(SyncPolicy::Immediate)));
            for name in segments(&disk) {
                let damaged = crate::common::copy(&directory(&disk));
                damaged.damage(&name, |bytes| bytes[8192 + 7] ^= 1);
                let looked = view(&damaged);
                for entry in looked.range(..).chain(looked.range(..).rev()).filter_map(Result::ok) {
                    let place = usize::try_from(entry.sequence()).expect("few");
                    assert_eq!(
                        truth.get(place).map(Vec::as_slice),
                        Some(entry.payload()),
                        "{name}, entry {place}"
                    );
                }
                cuts += 1;
            }
        }
    }
    assert!(cuts > 20);
}
