//! How far damage reaches: what can still be read, and what still looks like a whole log.

use crate::common::bytes::{frames, segment_name};
use crate::common::ledger::payload;
use crate::common::{Ledger, copy, directory, open, read, small, view};
use wal::{Ending, Options, SyncPolicy, Wal};
use wal_format::FrameKind;
use wal_segment::io::sim::SimDisk;

const LIVES: u64 = 40;

fn roomy() -> Options {
    Options::new().sync(SyncPolicy::Immediate).background(false)
}

/// A log of many short lives in one segment: an entry and a SEAL each.
fn short_lives() -> SimDisk {
    let disk = SimDisk::new(9);
    for life in 0..LIVES {
        let wal = open(&disk, &roomy());
        assert_eq!(wal.append(&payload(life, 30)).expect("nothing fails"), life);
        wal.close().expect("nothing fails");
    }
    copy(&directory(&disk))
}

fn is_entry(found: Option<Result<wal::Entry, wal::Error>>, number: u64) -> bool {
    let entry = found.expect("an entry or an error");
    entry.is_ok_and(|entry| entry.sequence() == number && entry.payload() == payload(number, 30))
}

/// Each way to ask for one entry: by its number, and as the first of those that an iterator hands out.
fn asked_for(wal: &Wal, number: u64) -> [bool; 3] {
    let range = |range| wal.range(range).expect("the log is open");
    [
        wal.read(number).is_ok_and(|entry| entry.payload() == payload(number, 30)),
        is_entry(wal.read_from(number).expect("the log is open").next(), number),
        is_entry(range(0..number + 1).next_back(), number),
    ]
}

// A damaged header, or a SEAL that holds no entry, hid everything after it from iterators.
#[test]
fn a_damaged_frame_hides_its_own_entries_and_no_others() {
    let whole = short_lives();
    let name = segment_name(1);
    let all = frames(&whole.contents(&name).expect("a segment"));
    assert_eq!(all.len() as u64, 1 + 2 * LIVES, "a LINK, and two frames a life");
    for frame in &all[1..all.len() - 1] {
        let disk = copy(&directory(&whole));
        disk.damage(&name, |bytes| bytes[frame.offset + 9] ^= 1);
        let lost = (frame.header.kind == FrameKind::Data).then(|| frame.header.first.value());
        let wal = open(&disk, &roomy());
        for number in 0..LIVES {
            let expected = Some(number) != lost;
            let what = format!("entry {number}, with the frame at {} damaged", frame.offset);
            assert_eq!(asked_for(&wal, number), [expected; 3], "{what}");
        }
        // From either end, everything up to the damage, and then where it is.
        let (before, error) = read(wal.range(..).expect("the log is open"));
        let place = error.expect("it is damaged").damage().cloned().expect("it has a place");
        let named = place.sequences.expect("the entries are known");
        let next = frame.header.first.value();
        assert_eq!((place.offset, named.first), (frame.offset as u64, Some(next)));
        assert_eq!(named.end, Some(lost.map_or(next, |lost| lost + 1)), "no more is said to be lost");
        assert_eq!(before.len() as u64, next);
        let mut after = 0;
        let mut last = None;
        for found in wal.range(..).expect("the log is open").rev() {
            match found {
                Ok(_) => after += 1,
                Err(error) => last = error.damage().cloned(),
            }
        }
        assert_eq!(last.map(|damage| (damage.offset, damage.sequences)), Some((place.offset, Some(named))));
        assert_eq!(after, LIVES - named.end.expect("just compared"));
    }
}

// Under `none` no frame stated anything to be durable, not even the SEAL: with the newer slot of the anchor damaged as well,
// a damaged entry looked like a torn write, and was dropped in silence.
#[test]
fn the_seal_of_a_close_vouches_for_what_the_close_has_synced() {
    let disk = SimDisk::new(10);
    let options = small(SyncPolicy::None);
    for _ in 0..2 {
        let wal = open(&disk, &options);
        for number in 0..3 {
            wal.append(&payload(number, 100)).expect("nothing fails");
        }
        wal.close().expect("nothing fails");
    }
    let name = segment_name(1);
    let all = frames(&disk.contents(&name).expect("a segment"));
    let (data, seal) = (all[all.len() - 2], all[all.len() - 1]);
    assert_eq!((data.header.kind, seal.header.kind), (FrameKind::Data, FrameKind::Seal));
    assert_eq!(seal.header.durable_offset, seal.offset as u64);
    for slot in [0, 4096] {
        let damaged = copy(&directory(&disk));
        damaged.damage("ANCHOR", |bytes| bytes[slot + 40] ^= 1);
        damaged.damage(&name, |bytes| bytes[data.end - 20] ^= 1);
        let error = match crate::common::try_open(&damaged, &options) {
            Err(error) => Some(error),
            Ok(wal) => read(wal.range(..).expect("the log is open")).1,
        };
        assert!(error.is_some_and(|error| error.damage().is_some()), "slot at {slot}");
    }
}

#[test]
fn a_full_check_looks_at_everything_after_a_close() {
    let disk = SimDisk::new(11);
    let mut ledger = Ledger::new(SyncPolicy::Immediate);
    let name = segment_name(1);
    let life = |ledger: &mut Ledger, closes: bool| {
        let wal = open(&disk, &roomy());
        for _ in 0..2 {
            ledger.append(&wal, 100).expect("nothing fails");
        }
        if closes {
            ledger.close(wal).expect("nothing fails");
        }
    };
    life(&mut ledger, true);
    let closed = copy(&directory(&disk));
    let end = frames(&closed.contents(&name).expect("a segment")).last().expect("a SEAL").end;
    assert_eq!(view(&closed).verify().expect("readable").recovery.ending, Ending::Clean);

    // Bytes that nothing has written: no entry is lost, and an open goes on.
    let strays = copy(&directory(&closed));
    strays.damage(&name, |bytes| bytes[end + 512..end + 520].fill(b'j'));
    assert_eq!(view(&strays).recovery().ending, Ending::Clean, "an open has one look");
    let found = view(&strays).verify().expect("readable");
    assert!(matches!(found.recovery.ending, Ending::Torn { .. }), "{}", found.recovery);
    assert_eq!(crate::common::contents(&open(&strays, &roomy())), ledger.entries());

    // Frames that were written after the close, of which the first one is gone, and an anchor that still states the close.
    life(&mut ledger, false);
    let later = copy(&directory(&disk));
    later.put("ANCHOR", &closed.contents("ANCHOR").expect("it is there"));
    let first = frames(&later.contents(&name).expect("a segment"))
        .into_iter()
        .find(|frame| frame.offset == end)
        .expect("it goes on there");
    later.damage(&name, |bytes| bytes[first.offset..first.end].fill(0));
    assert_eq!(view(&later).recovery().ending, Ending::Clean, "an open has one look");
    let found = view(&later).verify().expect("readable");
    let Ending::Corrupt(damage) = &found.recovery.ending else { panic!("{}", found.recovery) };
    assert!(damage.file.ends_with(&name) && !found.damages.is_empty(), "{damage:?}");
}

/// What a reader gets that begins again after the entries that each error names, and how often it had to.
fn read_on(wal: &Wal) -> (Vec<u64>, usize) {
    let (mut found, mut errors, mut from) = (Vec::new(), 0, 0);
    while from < LIVES {
        let begun = from;
        for entry in wal.read_from(from).expect("the log is open") {
            match entry {
                Ok(entry) => {
                    found.push(entry.sequence());
                    from = entry.sequence() + 1;
                }
                Err(error) => {
                    let damage = error.damage().expect("it is damaged");
                    let lost = damage.sequences.expect("the entries are known");
                    from = lost.end.expect("something follows");
                    errors += 1;
                }
            }
        }
        // An error that names no entry is met again only by who asks for what lies before it.
        assert!(from > begun || errors > 0, "it gets on");
        assert!(errors < 10, "the same error again and again, at {from}");
    }
    (found, errors)
}

// An error named the entries of a later damage, or a whole frame between two damaged ones could not be read: a reader that began
// again after what an error names passed over whole entries, or met the same error for ever.
#[test]
fn a_reader_that_begins_again_after_what_an_error_names_gets_every_whole_entry() {
    let whole = short_lives();
    let name = segment_name(1);
    let all = frames(&whole.contents(&name).expect("a segment"));
    let last = all.len() - 2;
    for (first, second) in (3..last).flat_map(|first| [1, 2, 3, 4, 9, 40].map(|after| (first, first + after)))
    {
        if second > last {
            continue;
        }
        let disk = copy(&directory(&whole));
        for at in [first, second] {
            disk.damage(&name, |bytes| bytes[all[at].offset + 9] ^= 1);
        }
        let lost: Vec<_> = [first, second]
            .into_iter()
            .filter(|&at| all[at].header.kind == FrameKind::Data)
            .map(|at| all[at].header.first.value())
            .collect();
        let what = format!("frames {first} and {second} damaged");
        let wal = open(&disk, &roomy());
        for number in 0..LIVES {
            assert_eq!(asked_for(&wal, number), [!lost.contains(&number); 3], "{what}: entry {number}");
        }
        let (found, errors) = read_on(&wal);
        let expected: Vec<_> = (0..LIVES).filter(|number| !lost.contains(number)).collect();
        assert_eq!(found, expected, "{what}");
        assert!((1..=2).contains(&errors), "{what}: {errors} errors");
        // An entry that is damaged itself is named, and no earlier one.
        for &number in &lost {
            let error = wal.read(number).expect_err("it is damaged");
            let named = error.damage().and_then(|damage| damage.sequences).expect("the entries are known");
            let named = named.first.expect("known")..named.end.expect("something follows");
            assert!(named.contains(&number), "{what}: {named:?} instead of {number}");
            assert!(named.clone().all(|named| lost.contains(&named)), "{what}: {named:?}, lost are {lost:?}");
        }
    }
}
