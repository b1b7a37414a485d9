//! Holds: nothing that somebody needs is dropped, unless it is too much, and then they are told.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::bytes::linked;
use common::ledger::payload;
use common::{HALF, SMALL, contents, every_setup, open, read, refused, small, within};
use wal::{ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);

/// Segments of two entries each.
fn log_of(entries: u64, disk: &SimDisk, options: &Options) -> Wal {
    let wal = open(disk, options);
    for n in 0..entries {
        wal.append(&payload(n << 20, HALF)).expect("nothing fails");
    }
    wal
}

#[test]
fn what_is_gone_or_not_there_yet_cannot_be_held() {
    let disk = SimDisk::new(1);
    let wal = log_of(6, &disk, &small(POLICY));
    wal.truncate_before(3).expect("nothing fails");
    for sequence in [0, 2, 7, u64::MAX] {
        refused(wal.hold("late", sequence), ErrorKind::OutOfRange);
    }
    let (first, next) = (wal.hold("a", 3).expect("it is there"), wal.hold("a", 6).expect("it is the next"));
    assert_eq!((first.sequence(), first.name(), next.sequence()), (3, "a", 6));
    assert_eq!(wal.stats().holds, 2, "two may have the same name");
    refused(first.advance(7), ErrorKind::OutOfRange);
    assert_eq!(first.sequence(), 3);
    let other = wal.clone();
    wal.close().expect("nothing fails");
    refused(other.hold("closed", 4), ErrorKind::Closed);
    refused(first.advance(4), ErrorKind::Closed);
}

#[test]
fn a_truncation_drops_up_to_the_lowest_hold_and_says_where_the_log_begins() {
    let disk = SimDisk::new(2);
    let wal = log_of(8, &disk, &small(POLICY));
    let (slow, quick) =
        (wal.hold("slow", 3).expect("it is there"), wal.hold("quick", 5).expect("it is there"));
    refused(wal.truncate_before(9), ErrorKind::OutOfRange);
    assert_eq!(wal.truncate_before(8).expect("nothing fails"), 3);
    assert_eq!((wal.first(), linked(&disk).len()), (3, 3));
    let stats = wal.stats();
    let lowest = stats.lowest_hold.expect("there is one");
    assert_eq!((lowest.name.as_str(), lowest.sequence, stats.held_bytes), ("slow", 3, 2 * SMALL));

    slow.advance(2).expect("it has passed that");
    assert_eq!(slow.sequence(), 3, "a hold does not go back");
    slow.advance(6).expect("nothing fails");
    assert_eq!(wal.truncate_before(8).expect("nothing fails"), 5);
    drop(quick);
    assert_eq!(wal.truncate_before(7).expect("nothing fails"), 6);
    assert_eq!(wal.truncate_before(1).expect("it is gone already"), 6);
    drop(slow);
    assert_eq!(wal.truncate_before(8).expect("nothing fails"), 8);
    assert_eq!((wal.stats().holds, wal.stats().lowest_hold, wal.stats().held_bytes), (0, None, 0));
}

#[test]
fn a_hold_is_of_one_open_and_keeps_the_log_neither_open_nor_locked() {
    let disk = SimDisk::new(3);
    let wal = log_of(6, &disk, &small(POLICY));
    let hold = wal.hold("mine", 1).expect("it is there");
    drop(wal);
    let wal = open(&disk, &small(POLICY));
    assert_eq!(wal.truncate_before(5).expect("nothing fails"), 5);
    refused(hold.wait_overrun(LIMIT), ErrorKind::Closed);
    assert!(!hold.overrun());
}

#[test]
fn a_hold_that_keeps_too_much_is_passed_and_told_and_the_others_are_not() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(4);
            let options = small(policy).background(background).hold_limit_bytes(2 * SMALL);
            let wal = log_of(12, &disk, &options);
            let (stuck, fine) =
                (wal.hold("stuck", 1).expect("it is there"), wal.hold("fine", 9).expect("too"));
            assert_eq!(wal.truncate_before(4).expect("nothing fails"), 1, "so much it may keep");
            assert!(!stuck.wait_overrun(Duration::ZERO).expect("the log is open"));
            thread::scope(|scope| {
                let waits = scope.spawn(|| stuck.wait_overrun(LIMIT).expect("the log is open"));
                assert_eq!(wal.truncate_before(12).expect("nothing fails"), 9);
                assert!(waits.join().expect("it does not panic"));
            });
            assert!(stuck.overrun() && !fine.overrun());
            let error = refused(stuck.advance(10), ErrorKind::Overrun);
            assert!(error.to_string().contains("\"stuck\""), "{error}");
            assert_eq!(stuck.sequence(), 1);
            let stats = wal.stats();
            assert_eq!((stats.hold_overruns, stats.holds), (1, 2));
            assert_eq!(stats.lowest_hold.map(|hold| hold.sequence), Some(9));
        }
    });
}

#[test]
fn a_hold_on_what_a_cut_dropped_keeps_what_gets_its_number() {
    let disk = SimDisk::new(5);
    let wal = log_of(6, &disk, &small(POLICY));
    let hold = wal.hold("follower", 4).expect("it is there");
    wal.truncate_after(1).expect("nothing fails");
    assert_eq!(wal.truncate_before(2).expect("nothing fails"), 2);
    for n in 0..4 {
        wal.append(&[n]).expect("nothing fails");
    }
    assert_eq!(wal.truncate_before(6).expect("nothing fails"), 4);
    drop(hold);
}

// A purge that races holds, appends and reads: what is held can be read, whoever truncates.
#[test]
fn what_is_held_can_be_read_while_others_append_and_truncate() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(6);
            let wal = log_of(4, &disk, &small(policy).background(background));
            let (done, taken) = (AtomicBool::new(false), AtomicU64::new(0));
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        wal.append(&[7; 200]).expect("nothing fails");
                    }
                    while taken.load(Ordering::Relaxed) < 20 {
                        thread::yield_now();
                    }
                    done.store(true, Ordering::Relaxed);
                });
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let asked = wal.written();
                        assert!(wal.truncate_before(asked).expect("nothing fails") <= asked);
                        thread::sleep(Duration::from_micros(200));
                    }
                });
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            let Ok(hold) = wal.hold("reader", wal.first()) else { continue };
                            taken.fetch_add(1, Ordering::Relaxed);
                            let (found, error) = read(wal.read_from(hold.sequence()).expect("it is held"));
                            assert!(error.is_none(), "{error:?}");
                            let end = hold.sequence() + found.len() as u64;
                            hold.advance(end).expect("it was there");
                            assert!(wal.first() <= end);
                        }
                    });
                }
            });
            let next = wal.written();
            assert_eq!(wal.truncate_before(next).expect("nothing fails"), next, "all are gone");
            assert!(contents(&wal).is_empty());
        }
    });
}
