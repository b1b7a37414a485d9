//! Appending under an expected number: never twice, whoever tries, and as often as they try.

use std::sync::Arc;
use std::thread;

use crate::common::{EVERY_POLICY, POLICIES, contents, enospc, every_setup, fault, open, refused, small};
use wal::{Error, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

#[track_caller]
fn conflicts<T: std::fmt::Debug>(appended: Result<T, Error>, expected: u64, next: u64) {
    let error = refused(appended, ErrorKind::Conflict);
    assert_eq!(error.next_sequence(), Some(next), "{error}");
    let words = error.to_string();
    assert!(words.contains(&format!("number {next}, and not {expected}")), "{words}");
}

#[test]
fn only_the_next_number_is_given_and_any_other_changes_nothing() {
    for policy in EVERY_POLICY {
        let wal = open(&SimDisk::new(1), &small(policy));
        assert_eq!(wal.append_at(0, b"a").expect("it is the next one"), 0);
        for expected in [0, 2, 3, u64::MAX] {
            conflicts(wal.append_at(expected, b"x"), expected, 1);
            conflicts(wal.append_batch_at(expected, [b"x", b"y"]), expected, 1);
            conflicts(wal.append_batch_at::<&[u8]>(expected, []), expected, 1);
            conflicts(wal.submit_at(expected, b"x").map(|_| ()), expected, 1);
        }
        assert_eq!(wal.append_batch_at(1, [b"b", b"c"]).expect("it is the next one"), 1..3);
        assert_eq!(wal.append_batch_at::<&[u8]>(3, []).expect("it is the next one"), 3..3);
        let commit = wal.submit_at(3, b"d").expect("it is the next one");
        // It is numbered, whether it is written or not.
        conflicts(wal.append_at(3, b"x"), 3, 4);
        assert_eq!(commit.wait().expect("nothing fails"), 3);
        assert_eq!(contents(&wal), [b"a", b"b", b"c", b"d"]);
        wal.clone().close().expect("nothing fails");
        refused(wal.append_at(4, b"e"), ErrorKind::Closed);
        refused(wal.append_at(9, b"e"), ErrorKind::Closed);
        refused(wal.append_batch_at::<&[u8]>(4, []), ErrorKind::Closed);
    }
}

#[test]
fn of_writers_who_expect_the_same_number_exactly_one_appends() {
    const WRITERS: u64 = 4;
    const ENTRIES: u64 = 50;
    for (policy, background) in every_setup() {
        let options = small(policy).background(background);
        let wal = open(&SimDisk::new(2), &options);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let wal = wal.clone();
                thread::spawn(move || claim(&wal, writer, ENTRIES))
            })
            .collect();
        let mut won: Vec<(u64, u64)> =
            writers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        won.sort_unstable();
        let numbers: Vec<u64> = won.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..ENTRIES).collect::<Vec<_>>(), "{policy:?}");
        let winners: Vec<Vec<u8>> = won.iter().map(|(_, writer)| writer.to_le_bytes().to_vec()).collect();
        assert_eq!(contents(&wal), winners, "{policy:?}");
    }
}

/// Tries each number once, and returns those that it got.
fn claim(wal: &Wal, writer: u64, entries: u64) -> Vec<(u64, u64)> {
    let payload = writer.to_le_bytes();
    let mut won = Vec::new();
    for number in 0..entries {
        // Others may be ahead; nobody is ahead of this number before it was given.
        match wal.append_at(number, &payload) {
            Ok(got) => won.push((got, writer)),
            Err(error) => assert!(error.next_sequence() > Some(number), "{error}"),
        }
    }
    won
}

// A client appends, does not hear back in time, and tries again. Without the number its entry is in the log
// twice; with it the second try finds the first one.
#[test]
fn a_retry_after_a_submit_that_nobody_waited_for_finds_its_entry() {
    for policy in EVERY_POLICY {
        let wal = open(&SimDisk::new(3), &small(policy));
        drop(wal.submit_at(0, b"once").expect("nothing fails"));
        conflicts(wal.append_at(0, b"once"), 0, 1);
        wal.sync().expect("nothing fails");
        assert_eq!(&*wal.read(0).expect("it is durable"), b"once");
        assert_eq!(contents(&wal), [b"once"]);
    }
}

#[test]
fn the_number_of_a_write_that_failed_is_the_next_one_again() {
    for policy in POLICIES {
        for stored in [0, 20, 60] {
            let disk = SimDisk::new(4);
            let wal = open(&disk, &small(policy));
            wal.append_at(0, b"before").expect("nothing fails");
            let effect = FaultEffect::PartialThenError(stored, enospc());
            disk.fail(fault(CallKind::Write, 0, Times::Once, effect));
            refused(wal.append_at(1, b"the same"), ErrorKind::NoSpace);
            conflicts(wal.append_at(2, b"the same"), 2, 1);
            assert_eq!(wal.append_at(1, b"the same").expect("there is space again"), 1);
            assert_eq!(contents(&wal), [&b"before"[..], b"the same"]);
        }
    }
}

#[test]
fn a_cut_gives_its_numbers_again() {
    let wal = open(&SimDisk::new(5), &small(SyncPolicy::Immediate));
    for number in 0..4 {
        wal.append_at(number, b"old").expect("nothing fails");
    }
    wal.truncate_after(1).expect("nothing fails");
    conflicts(wal.append_at(4, b"new"), 4, 2);
    assert_eq!(wal.append_at(2, b"new").expect("it is the next one"), 2);
    assert_eq!(contents(&wal), [b"old", b"old", b"new"]);
}

#[test]
fn what_is_in_flight_is_waited_for_before_a_number_is_compared() {
    let options = Options::new().sync(SyncPolicy::None).background(false).max_in_flight_bytes(1);
    let wal = options.open_in(Arc::new(SimDisk::new(6))).expect("nothing fails");
    for number in 0..5 {
        assert_eq!(wal.append_at(number, &[7; 100]).expect("room is made"), number);
    }
}
