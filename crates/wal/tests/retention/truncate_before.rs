//! Dropping the front of the log: exact, durable, and gone for good.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::bytes::{linked, segment_name, segments};
use crate::common::ledger::payload;
use crate::common::{
    FEW_IMAGES, HALF, contents, eio, enospc, every_setup, fault, is_poisoned, open, read, refused, small,
    view, within,
};
use wal::{Ending, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, SyncLoss, Times};

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);
const ANCHOR: &str = "ANCHOR";

/// Three segments of two entries.
fn log_of_six(disk: &SimDisk, options: &Options) -> (Wal, Vec<Vec<u8>>) {
    let wal = open(disk, options);
    let entries: Vec<_> = (0..6).map(|n| payload(n << 20, HALF)).collect();
    for payload in &entries {
        wal.append(payload).expect("nothing fails");
    }
    (wal, entries)
}

/// A log as it is shown: its first number and its payloads.
fn shown(wal: &Wal) -> (u64, Vec<Vec<u8>>) {
    (wal.first(), contents(wal))
}

#[test]
fn a_beginning_beyond_the_end_is_out_of_range_and_one_that_is_gone_changes_nothing() {
    let disk = SimDisk::new(1);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    for first in [7, u64::MAX] {
        refused(wal.truncate_before(first), ErrorKind::OutOfRange);
    }
    wal.truncate_before(4).expect("nothing fails");
    let before = disk.operations();
    for first in [0, 3, 4] {
        wal.truncate_before(first).expect("it is gone already");
    }
    assert_eq!(disk.operations(), before, "nothing is written and nothing synced");
    assert!(shown(&wal) == (4, entries[4..].to_vec()));
}

#[test]
fn a_log_that_is_closed_is_not_truncated() {
    let disk = SimDisk::new(2);
    let (wal, _) = log_of_six(&disk, &small(POLICY));
    let other = wal.clone();
    wal.close().expect("nothing fails");
    refused(other.truncate_before(1), ErrorKind::Closed);
}

/// One call of a truncation fails. Returns whether it was told.
fn fails(
    policy: SyncPolicy,
    background: bool,
    call: CallKind,
    nth: u64,
    times: Times,
    with: FaultEffect,
) -> bool {
    let what = format!("{policy:?}, threads: {background}, {with:?} {times:?} at {call:?} {nth}");
    let options = small(policy).background(background);
    let disk = SimDisk::new(nth);
    let (wal, entries) = log_of_six(&disk, &options);
    disk.fail(fault(call, nth, times, with));
    let told = wal.truncate_before(3).map(|first| assert_eq!(first, 3));
    disk.heal();
    // A thread may sync while this looks at the images.
    let durable = wal.durable_end();
    let (old, new) = ((0, entries.clone()), (3, entries[3..].to_vec()));
    for image in disk.crash_images(FEW_IMAGES, nth) {
        let found = shown(&open(&image, &small(policy)));
        let may_lose = |log: &(u64, Vec<Vec<u8>>)| {
            log.0 == found.0 && log.1.starts_with(&found.1) && log.0 + found.1.len() as u64 >= durable
        };
        let fits = may_lose(&new) || told.is_err() && may_lose(&old);
        assert!(fits, "{what}: from {}, {} entries", found.0, found.1.len());
    }
    if is_poisoned(&wal, &told, background) {
        assert!(call == CallKind::SyncFile || call == CallKind::Any, "{what}");
        refused(wal.append(&[1]), ErrorKind::Poisoned);
        return told.is_err();
    }
    match &told {
        Ok(()) => assert!(shown(&wal) == new, "{what}"),
        Err(error) => {
            assert!([ErrorKind::Io, ErrorKind::NoSpace].contains(&error.kind()), "{what}: {error:?}");
            assert!(shown(&wal) == old, "{what}: it begins where it did");
        }
    }
    // Appends go on, the end can be cut, and then the front once more.
    wal.append(&[1; 40]).unwrap_or_else(|error| panic!("{what}: {error}"));
    wal.truncate_after(3).unwrap_or_else(|error| panic!("{what}: {error}"));
    for image in disk.crash_images(FEW_IMAGES, nth) {
        let found = shown(&open(&image, &small(policy)));
        let first = usize::try_from(found.0).expect("a few");
        assert!(found.0 == wal.first() && found.1 == entries[first..4], "{what}");
    }
    wal.truncate_before(3).unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(wal);
    let found = shown(&open(&disk.power_cut_losing_everything(), &small(policy)));
    assert!(found == (3, entries[3..4].to_vec()), "{what}");
    told.is_err()
}

#[test]
fn whichever_call_of_a_truncation_fails_it_is_told_and_the_log_begins_where_it_did() {
    within(LIMIT, || {
        let mut told = 0;
        let calls =
            [(CallKind::Write, 3), (CallKind::SyncFile, 4), (CallKind::Remove, 2), (CallKind::Any, 10)];
        for (policy, background) in every_setup() {
            for (call, count) in calls {
                let mut effects = vec![FaultEffect::Error(eio())];
                match call {
                    CallKind::Write => effects.extend(
                        [0, 64, 128, 4096].map(|stored| FaultEffect::PartialThenError(stored, enospc())),
                    ),
                    CallKind::SyncFile => effects.push(FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld)),
                    _ => {}
                }
                for with in effects {
                    for times in [Times::Once, Times::Forever] {
                        told += (0..count)
                            .filter(|&nth| fails(policy, background, call, nth, times, with))
                            .count();
                    }
                }
            }
        }
        assert!(told > 60, "{told} were told");
    });
}

#[test]
fn power_cut_at_any_operation_leaves_the_old_beginning_or_the_new_one() {
    for (policy, first) in
        [(POLICY, 1), (POLICY, 2), (POLICY, 6), (SyncPolicy::None, 5), (SyncPolicy::None, 6)]
    {
        let mut ended = false;
        for cut_at in 0.. {
            let disk = SimDisk::new(cut_at);
            let (wal, entries) = log_of_six(&disk, &small(policy));
            let durable = usize::try_from(wal.durable_end()).expect("a few");
            disk.crash_at(disk.operations() + cut_at);
            let told = wal.truncate_before(first);
            drop(wal);
            let kept = usize::try_from(first).expect("a few");
            for image in disk.crash_images(FEW_IMAGES, cut_at) {
                let what = format!("{policy:?}, {first}, cut at {cut_at}: {}", image.origin());
                let (begins, found) = shown(&open(&image, &small(policy)));
                if told.is_ok() || begins == first {
                    let least = &entries[kept..durable.max(kept)];
                    assert!(begins == first && found.starts_with(least), "{what}");
                    assert!(entries[kept..].starts_with(&found), "{what}");
                } else {
                    assert!(begins == 0 && found.len() >= durable && entries.starts_with(&found), "{what}");
                }
                for _ in 0..2 {
                    assert!(shown(&open(&image, &small(policy))) == (begins, found.clone()), "{what}");
                }
            }
            if told.is_ok() && !disk.crashed() {
                ended = true;
                break;
            }
        }
        assert!(ended);
    }
}

#[test]
fn with_either_slot_of_the_anchor_lost_an_old_beginning_does_not_come_back() {
    let disk = SimDisk::new(3);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    wal.truncate_before(3).expect("nothing fails");
    drop(wal);
    for slot in [0, 4096] {
        let damaged = disk.kill();
        damaged.damage(ANCHOR, |bytes| bytes[slot..slot + 4096].fill(0));
        assert!(shown(&open(&damaged, &small(POLICY))) == (3, entries[3..].to_vec()), "slot at {slot}");
    }
}

#[test]
fn what_is_in_front_of_the_beginning_cannot_be_read_and_what_is_behind_it_can() {
    let disk = SimDisk::new(4);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    for first in 1..6_u64 {
        wal.truncate_before(first).expect("nothing fails");
        let kept = usize::try_from(first).expect("a few");
        assert!(shown(&wal) == (first, entries[kept..].to_vec()));
        refused(wal.read_from(first - 1).map(drop), ErrorKind::OutOfRange);
        assert!(read(wal.read_from(first).expect("it is there")).0 == entries[kept..]);
        assert_eq!(wal.stats().first, first);
        let seen = view(&disk);
        assert_eq!((seen.first(), seen.written_end()), (first, 6));
        assert_eq!(seen.segments().next().map(|segment| segment.sequences.start), Some(first));
        let verified = seen.verify().expect("it can be read");
        assert_eq!((verified.entries, verified.damages.len()), (6 - first, 0));
        assert_eq!(linked(&disk).len(), 3 - kept / 2, "whole segments are removed");
    }
    drop(wal);
    let wal = open(&disk, &small(POLICY));
    assert!(shown(&wal) == (5, entries[5..].to_vec()));
    assert_eq!((wal.recovery().first, wal.recovery().next), (5, 6));
}

#[test]
fn a_log_that_is_emptied_goes_on_with_its_numbers() {
    for policy in [POLICY, SyncPolicy::None] {
        let disk = SimDisk::new(5);
        let (wal, _) = log_of_six(&disk, &small(policy));
        wal.truncate_before(6).expect("nothing fails");
        assert!(wal.is_empty() && wal.last().is_none());
        assert_eq!((wal.first(), wal.written_end(), wal.durable_end()), (6, 6, 6));
        for image in disk.crash_images(FEW_IMAGES, 5) {
            let wal = open(&image, &small(policy));
            assert!(wal.is_empty() && wal.first() == 6);
            assert_eq!(wal.append(b"on").expect("nothing fails"), 6);
        }
        wal.truncate_after(5).expect("there is nothing behind it");
        refused(wal.truncate_after(4), ErrorKind::OutOfRange);
        assert_eq!(wal.append(b"on").expect("nothing fails"), 6);
        wal.close().expect("nothing fails");
        let wal = open(&disk, &small(policy));
        assert!(shown(&wal) == (6, vec![b"on".to_vec()]));
        assert_eq!(wal.recovery().ending, Ending::Clean);
    }
}

#[test]
fn what_is_dropped_is_made_durable_before() {
    let disk = SimDisk::new(6);
    let wal = open(&disk, &small(SyncPolicy::None));
    for n in 0..3 {
        wal.append(&[n]).expect("nothing fails");
    }
    let commit = wal.submit(&[3]).expect("nothing fails");
    wal.truncate_before(4).expect("what was submitted is written first");
    assert_eq!(commit.outcome().expect("it is written").expect("nothing fails"), 3);
    assert_eq!((wal.durable_end(), wal.first()), (4, 4));
}

#[test]
fn a_reader_keeps_the_log_that_it_has_and_its_files_until_it_is_gone() {
    for mapped in [true, false] {
        let disk = SimDisk::new(7);
        let options = small(POLICY).mapped_reads(mapped);
        let (wal, entries) = log_of_six(&disk, &options);
        let reader = wal.read_from(0).expect("the log is open");
        wal.truncate_before(5).expect("nothing fails");
        assert_eq!(linked(&disk).len(), 3, "the reader has not come to them yet");
        assert!(read(reader).0 == entries);
        wal.truncate_before(6).expect("nothing fails");
        assert_eq!(linked(&disk).len(), 1, "{:?}", segments(&disk));
    }
}

/// What `stats` says of the disk is what the log is made of: files that only a reader keeps are not in it, or a
/// log that is truncated beside slow readers would seem not to shrink.
#[test]
fn stats_count_the_log_that_is_left_and_not_the_files_that_a_reader_keeps() {
    let disk = SimDisk::new(17);
    // A file that is used again counts, and would hide one that does not.
    let (wal, entries) = log_of_six(&disk, &small(POLICY).background(false).recycle(false));
    let before = wal.stats();
    let reader = wal.read_from(0).expect("the log is open");
    wal.truncate_before(5).expect("nothing fails");
    assert_eq!(linked(&disk).len(), 3, "the reader has not come to them yet");
    let held = wal.stats();
    assert_eq!((before.segments, held.segments), (3, 1));
    assert!(held.disk_bytes < before.disk_bytes, "{} bytes, then {}", before.disk_bytes, held.disk_bytes);
    assert_eq!((held.first, held.last, held.written, held.durable), (5, Some(5), 6, 6));
    assert!(read(reader).0 == entries);
    wal.truncate_before(6).expect("nothing fails");
    assert_eq!(wal.stats().disk_bytes, held.disk_bytes, "what is removed late is not taken off twice");
}

/// A log that is closed and opened again knows nothing of the readers of the one before. They have what they
/// have opened; the log that is opened is whole, and goes on.
#[test]
fn readers_from_before_a_restart_show_the_log_as_it_was_and_the_new_log_goes_on() {
    for mapped in [true, false] {
        let disk = SimDisk::new(18);
        let options = small(POLICY).mapped_reads(mapped);
        let (wal, entries) = log_of_six(&disk, &options);
        let mut reader = wal.read_from(0).expect("the log is open");
        let first = reader.next().expect("six entries").expect("it is read");
        wal.close().expect("nothing fails");
        let wal = open(&disk, &options);
        for number in 6..10 {
            wal.append(&payload(number << 20, HALF)).expect("nothing fails");
        }
        let (rest, error) = read(reader);
        assert!(error.is_none(), "{error:?}");
        assert!(first.payload() == entries[0] && rest == entries[1..]);
        assert_eq!(shown(&wal).1.len(), 10);
    }
}

#[test]
fn what_a_truncation_could_not_remove_is_removed_by_the_next_open_and_foreign_files_are_not() {
    let disk = SimDisk::new(8);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    for call in [CallKind::Remove, CallKind::Rename] {
        disk.fail(fault(call, 0, Times::Forever, FaultEffect::Error(eio())));
    }
    wal.truncate_before(5).expect("the log begins there all the same");
    drop(wal);
    disk.put(&segment_name(2), b"something else");
    assert!(shown(&open(&disk, &small(POLICY))) == (5, entries[5..].to_vec()), "nothing can be removed");
    assert!(segments(&disk).contains(&segment_name(1)));
    disk.heal();
    assert!(shown(&open(&disk, &small(POLICY))) == (5, entries[5..].to_vec()));
    // The last one was prepared, and is the next one still.
    assert_eq!(segments(&disk), [2, 3, 4].map(segment_name));
}

#[test]
fn appenders_and_readers_go_on_while_the_front_is_dropped() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(9);
            let options = small(policy).background(background);
            let wal = open(&disk, &options);
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let appenders: Vec<_> = (0..2)
                    .map(|_| {
                        let wal = wal.clone();
                        scope.spawn(move || {
                            for _ in 0..150 {
                                wal.append(&[7; 200]).expect("nothing fails");
                            }
                        })
                    })
                    .collect();
                let (truncating, reading, over) = (wal.clone(), wal.clone(), &done);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let first = truncating.written_end().saturating_sub(3);
                        truncating.truncate_before(first).expect("nothing fails");
                        assert!(truncating.first() >= first);
                        thread::sleep(Duration::from_micros(300));
                    }
                });
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let (found, error) = read(reading.range(..).expect("the log is open"));
                        assert!(error.is_none(), "{error:?}");
                        assert!(found.iter().all(|payload| *payload == [7; 200]));
                    }
                });
                for appender in appenders {
                    appender.join().expect("it does not panic");
                }
                done.store(true, Ordering::Relaxed);
            });
            assert_eq!(wal.written_end(), 300);
            let before = shown(&wal);
            wal.close().expect("nothing fails");
            assert!(shown(&open(&disk.power_cut_losing_everything(), &options)) == before, "{policy:?}");
        }
    });
}
