//! A cap on what the files of the log take: appends are refused with words, or wait, and go on behind a truncation.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::common::bytes::segments;
use crate::common::gate::Gate;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{
    EVERY_POLICY, HALF, Ledger, SMALL, contents, eventually, every_setup, open, refused, small, within,
};
use wal::{Durability, ErrorKind, Hold, Options, SyncPolicy, Wal, WhenFull};
use wal_format::SegmentName;
use wal_segment::io::sim::SimDisk;

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);
const CAP: u64 = 3 * SMALL;

/// Two entries of this size fill a segment, so six fill the log.
fn append(wal: &Wal) -> Result<u64, wal::Error> {
    wal.append(&payload(wal.written_end() << 20, HALF))
}

fn file_bytes(disk: &SimDisk) -> u64 {
    segments(disk).iter().filter_map(|name| disk.contents(name)).map(|bytes| bytes.len() as u64).sum()
}

/// A background thread may drop the first entry between the two calls.
fn hold_the_first(wal: &Wal) -> Hold {
    loop {
        match wal.hold("archive", wal.first()) {
            Ok(hold) => return hold,
            Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}"),
        }
        thread::yield_now();
    }
}

#[test]
fn a_cap_without_room_for_two_segments_is_refused() {
    let disk = SimDisk::new(1);
    refused(
        crate::common::try_open(&disk, &small(POLICY).max_log_bytes(2 * SMALL - 1)),
        ErrorKind::InvalidOptions,
    );
    assert!(disk.names().is_empty(), "nothing is made");
    drop(open(&disk, &small(POLICY).max_log_bytes(2 * SMALL)));
    // The log knows how long its segments are.
    let other = Options::new().background(false).max_log_bytes(2 * SMALL - 1);
    refused(crate::common::try_open(&disk, &other), ErrorKind::InvalidOptions);
    drop(open(&disk, &Options::new().background(false).max_log_bytes(2 * SMALL)));
}

// It opened, and then every append failed for ever: retention never lets go of what the cap does not have room for.
#[test]
fn a_cap_without_room_for_what_retention_keeps_is_refused_and_with_room_no_append_fails() {
    let kept = 3 * SMALL;
    for most in [kept - 1, kept, kept + 2 * SMALL - 1] {
        let disk = SimDisk::new(1);
        let options = small(POLICY).retain_bytes(kept).max_log_bytes(most);
        let error = refused(crate::common::try_open(&disk, &options), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains("retain_bytes"), "{error}");
        assert!(disk.names().is_empty(), "nothing is made");
    }
    for background in [false, true] {
        let options = small(POLICY).retain_bytes(kept).max_log_bytes(kept + 2 * SMALL).background(background);
        let disk = SimDisk::new(2);
        let wal = open(&disk, &options);
        wal.start_retention().expect("the log is open");
        for _ in 0..200 {
            append(&wal).expect("retention makes room");
            assert!(file_bytes(&disk) <= kept + 2 * SMALL);
        }
    }
}

#[test]
fn an_entry_that_would_need_more_than_half_of_the_cap_is_too_large() {
    let disk = SimDisk::new(2);
    let wal = open(&disk, &small(POLICY).max_log_bytes(2 * SMALL));
    let largest = (0..12_usize << 10).rev().find(|&bytes| match wal.append(&vec![1; bytes]) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
            assert!(error.to_string().contains("max_log_bytes"), "{error}");
            false
        }
    });
    assert!(largest.is_some_and(|bytes| bytes > 3000), "{largest:?}");
    refused(wal.append_batch([vec![1; HALF], vec![1; 2 * HALF]]), ErrorKind::TooLarge);
    // However often, there is room for the next one once the log is emptied.
    for _ in 0..5 {
        let before = wal.written_end();
        if wal.append(&vec![2; largest.expect("there is one")]).is_err() {
            wal.truncate_before(before).expect("nothing fails");
            wal.append(&vec![2; largest.expect("there is one")]).expect("there is room");
        }
    }
    assert!(file_bytes(&disk) <= 2 * SMALL);
}

#[test]
fn a_full_log_says_what_the_cap_is_and_what_blocks_and_goes_on_behind_a_truncation() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(3);
            let options = small(policy).background(background).max_log_bytes(CAP);
            let wal = open(&disk, &options);
            let mut ledger = Ledger::new(policy);
            for _ in 0..6 {
                ledger.append(&wal, HALF).expect("there is room");
            }
            for _ in 0..3 {
                let error = refused(ledger.append(&wal, HALF), ErrorKind::NoSpace);
                let said = error.to_string();
                assert!(said.contains("max_log_bytes") && said.contains(&CAP.to_string()), "{said}");
                assert_eq!(contents(&wal), ledger.entries());
            }
            assert!(file_bytes(&disk) <= CAP, "{} bytes", file_bytes(&disk));
            let hold = wal.hold("archive", 1).expect("it is there");
            assert_eq!(wal.truncate_before(4).expect("nothing fails"), 1);
            let error = refused(wal.append(&[1; HALF]), ErrorKind::NoSpace);
            assert!(error.to_string().contains("\"archive\" keeps entries from 1 on"), "{error}");
            drop(hold);
            let reader = wal.read_from(1).expect("the log is open");
            assert_eq!(wal.truncate_before(4).expect("nothing fails"), 4);
            let error = refused(wal.append(&[1; HALF]), ErrorKind::NoSpace);
            assert!(error.to_string().contains("pending deletion"), "{error}");
            assert_eq!(
                (wal.stats().pending_deletion_files, wal.stats().pending_deletion_bytes),
                (2, 2 * SMALL)
            );
            drop(reader);
            assert_eq!(wal.append(&[1; HALF]).expect("there is room, and nobody had to say so"), 6);
            assert_eq!(wal.stats().pending_deletion_bytes, 0);
            assert!(!wal.stats().poisoned && file_bytes(&disk) <= CAP);
            wal.close().expect("nothing fails");
            assert_eq!(contents(&open(&disk.power_cut_losing_everything(), &options)).len(), 3);
        }
    });
}

#[test]
fn retention_makes_room_before_anybody_is_refused() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(4);
            let options = small(policy).background(background).max_log_bytes(CAP).retain_entries(2);
            let wal = open(&disk, &options);
            wal.start_retention().expect("the log is open");
            for _ in 0..40 {
                append(&wal).expect("there is room");
                assert!(file_bytes(&disk) <= CAP);
            }
            let hold = hold_the_first(&wal);
            let error = (0..9).find_map(|_| append(&wal).err()).expect("the hold keeps what would go");
            assert!(error.kind() == ErrorKind::NoSpace && error.to_string().contains("archive"), "{error}");
            drop(hold);
            append(&wal).expect("there is room");
            wal.close().expect("nothing fails");
        }
    });
}

#[test]
fn under_a_cap_an_append_waits_for_the_removal_of_a_file() {
    within(LIMIT, || {
        let (disk, gate) = (SimDisk::new(5), Gate::new());
        let passes = Arc::clone(&gate);
        let seam = Seam::new(disk.clone(), move |call| match call {
            Call::Remove { name } if SegmentName::parse(name).is_some() => passes.pass(),
            _ => Ok(()),
        });
        let options = small(POLICY).background(false).recycle(false).max_log_bytes(CAP);
        let wal = options.open_in(seam).expect("nothing fails");
        for _ in 0..6 {
            append(&wal).expect("there is room");
        }
        gate.shut();
        thread::scope(|scope| {
            let truncates = scope.spawn(|| wal.truncate_before(2));
            gate.until_somebody_waits();
            let appends = scope.spawn(|| append(&wal));
            // Long enough for an append that does not wait.
            thread::sleep(Duration::from_millis(50));
            let bytes = file_bytes(&disk);
            gate.open();
            assert!(bytes <= CAP, "{bytes} bytes");
            assert_eq!(truncates.join().expect("it does not panic").expect("nothing fails"), 2);
            assert_eq!(appends.join().expect("it does not panic").expect("there is room"), 6);
        });
        assert!(file_bytes(&disk) <= CAP);
    });
}

// Holds are taken again after an open, so an append that meets the cap before that must not drop what they keep.
#[test]
fn an_append_that_meets_the_cap_drops_nothing_before_retention_is_started_and_says_so() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for when_full in [WhenFull::Refuse, WhenFull::Wait] {
                let disk = SimDisk::new(12);
                let options = small(policy).background(background).max_log_bytes(CAP).when_full(when_full);
                let wal = open(&disk, &options.retain_entries(2));
                for _ in 0..6 {
                    append(&wal).expect("there is room");
                }
                if when_full == WhenFull::Refuse {
                    let error = refused(append(&wal), ErrorKind::NoSpace);
                    assert!(error.to_string().contains("retention has not been started"), "{error}");
                    drop(wal.hold("service", 0).expect("nothing was dropped"));
                    wal.start_retention().expect("the log is open");
                    assert_eq!(append(&wal).expect("there is room"), 6);
                } else {
                    thread::scope(|scope| {
                        let waits = scope.spawn(|| append(&wal));
                        // While it is tried again, for a moment nothing waits.
                        eventually("it is told", LIMIT, || {
                            let health = wal.health();
                            let told = health.to_string().contains("retention has not been started");
                            told && health.no_room.is_some() && !health.is_healthy()
                        });
                        assert!(!waits.is_finished() && wal.first() == 0);
                        drop(wal.hold("service", 0).expect("nothing was dropped"));
                        wal.start_retention().expect("the log is open");
                        assert_eq!(waits.join().expect("it does not panic").expect("there is room"), 6);
                    });
                }
                assert!(wal.first() > 0 && wal.health().no_room.is_none());
                let hold = hold_the_first(&wal);
                if when_full == WhenFull::Refuse {
                    let error = (0..9).find_map(|_| append(&wal).err()).expect("it is held");
                    assert!(!error.to_string().contains("retention"), "{error}");
                }
                drop(hold);
                wal.close().expect("nothing fails");
            }
        }
    });
}

#[test]
fn a_log_that_takes_more_than_the_cap_when_it_is_opened_is_read_and_truncated() {
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(POLICY);
    let wal = open(&disk, &small(POLICY));
    for _ in 0..10 {
        ledger.append(&wal, HALF).expect("nothing fails");
    }
    drop(wal);
    let options = small(POLICY).max_log_bytes(CAP);
    let wal = open(&disk, &options);
    refused(append(&wal), ErrorKind::NoSpace);
    assert_eq!(contents(&wal), ledger.entries());
    wal.truncate_before(8).expect("nothing fails");
    assert_eq!(append(&wal).expect("there is room"), 10);
    assert_eq!(contents(&wal).len(), 3);
}

/// A log that is full, whose appends wait.
fn full(policy: SyncPolicy, background: bool, disk: &SimDisk) -> Wal {
    let options = small(policy).background(background).max_log_bytes(CAP).when_full(WhenFull::Wait);
    let wal = open(disk, &options);
    for _ in 0..6 {
        append(&wal).expect("there is room");
    }
    wal
}

#[test]
fn appends_wait_until_a_truncation_has_made_room() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(6);
            let wal = full(policy, background, &disk);
            let hold = wal.hold("archive", 0).expect("it is there");
            let mut numbers: Vec<_> = thread::scope(|scope| {
                let append = || scope.spawn(|| wal.append(&[9; HALF]).expect("there is room in the end"));
                let waiting = [append(), append(), append()];
                thread::sleep(Duration::from_millis(10));
                assert!(waiting.iter().all(|append| !append.is_finished()));
                assert_eq!(wal.written_end(), 6, "reads and stats go on");
                assert_eq!((contents(&wal).len(), wal.stats().written), (6, 6));
                assert_eq!(wal.truncate_before(2).expect("nothing fails"), 0, "it is held");
                thread::sleep(Duration::from_millis(5));
                assert!(waiting.iter().all(|append| !append.is_finished()));
                drop(hold);
                assert_eq!(wal.truncate_before(4).expect("nothing fails"), 4);
                waiting.into_iter().map(|append| append.join().expect("nobody panics")).collect()
            });
            numbers.sort_unstable();
            assert_eq!(numbers, [6, 7, 8]);
            wal.sync().expect("nothing fails");
            assert!(file_bytes(&disk) <= CAP);
            drop(wal);
            let shown = contents(&open(&disk.power_cut_losing_everything(), &small(policy)));
            assert_eq!(shown.len(), 5, "{policy:?}");
        }
    });
}

#[test]
fn whoever_waits_for_room_is_told_when_the_log_is_closed() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(7);
            let wal = full(policy, background, &disk);
            thread::scope(|scope| {
                let waiting =
                    [scope.spawn(|| wal.append(&[9; HALF])), scope.spawn(|| wal.append(&[9; HALF]))];
                eventually("one has joined", LIMIT, || wal.stats().pending_bytes > 0);
                thread::sleep(Duration::from_millis(2));
                refused(wal.clone().close(), ErrorKind::NoSpace);
                for append in waiting {
                    // The other one when it had only joined when the log was closed.
                    let error = append.join().expect("nobody panics").expect_err("there is no room");
                    assert!([ErrorKind::Closed, ErrorKind::NoSpace].contains(&error.kind()), "{error}");
                }
            });
            assert_eq!(contents(&open(&disk.power_cut_losing_everything(), &small(policy))).len(), 6);
        }
    });
}

#[test]
fn what_is_submitted_waits_with_its_number_and_a_submit_waits_no_longer_than_it_may() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(8);
            let options = small(policy).background(background).max_log_bytes(CAP).when_full(WhenFull::Wait);
            let wal = open(&disk, &options.max_in_flight_bytes(4 * HALF as u64));
            for _ in 0..6 {
                append(&wal).expect("there is room");
            }
            let mut commits = Vec::new();
            let refusal = loop {
                match wal.try_submit(&[9; HALF]) {
                    Ok(commit) => commits.push(commit),
                    Err(error) => break error,
                }
                assert!(commits.len() < 9, "it is bounded");
            };
            assert_eq!(refusal.kind(), ErrorKind::Backpressure);
            refused(wal.submit_timeout(&[9; HALF], Duration::from_millis(5)), ErrorKind::Backpressure);
            assert!(commits.iter().all(|commit| commit.wait_timeout(Duration::from_millis(2)).is_none()));
            // What is in front of the place of a cut cannot be written; what is behind it is dropped.
            refused(wal.truncate_after(6), ErrorKind::NoSpace);
            assert_eq!(wal.truncate_before(6).expect("nothing fails"), 6);
            for (commit, number) in commits.iter().zip(6..) {
                assert_eq!(
                    commit.wait().expect("there is room"),
                    number,
                    "{policy:?}, threads: {background}"
                );
            }
            wal.close().expect("nothing fails");
        }
    });
}

#[test]
fn a_cut_drops_what_waits_for_room() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(9);
            let wal = full(policy, background, &disk);
            thread::scope(|scope| {
                let waiting = scope.spawn(|| wal.append(&[9; HALF]));
                eventually("it has joined", LIMIT, || wal.stats().pending_bytes > 0);
                thread::sleep(Duration::from_millis(2));
                wal.truncate_after(3).expect("nothing fails");
                refused(waiting.join().expect("nobody panics"), ErrorKind::Truncated);
            });
            assert_eq!(append(&wal).expect("there is room in the segment of the cut"), 4);
            wal.close().expect("nothing fails");
        }
    });
}

#[test]
fn appends_that_wait_go_on_by_themselves_when_a_hold_or_a_reader_is_gone() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(10);
            let wal = full(policy, true, &disk);
            let reader = wal.read_from(0).expect("the log is open");
            wal.truncate_before(4).expect("nothing fails");
            thread::scope(|scope| {
                let waiting = scope.spawn(|| wal.append(&[9; HALF]));
                thread::sleep(Duration::from_millis(10));
                assert!(!waiting.is_finished(), "the files are there");
                drop(reader);
                assert_eq!(waiting.join().expect("nobody panics").expect("there is room"), 6);
            });
            drop(wal);

            let disk = SimDisk::new(11);
            let options = small(policy).background(true).max_log_bytes(CAP).when_full(WhenFull::Wait);
            let wal = open(&disk, &options.retain_entries(1));
            wal.start_retention().expect("the log is open");
            append(&wal).expect("there is room");
            let hold = wal.hold("archive", 0).expect("it is there");
            for _ in 0..5 {
                append(&wal).expect("there is room");
            }
            thread::scope(|scope| {
                let waiting = scope.spawn(|| wal.append(&[9; HALF]));
                thread::sleep(Duration::from_millis(10));
                assert!(!waiting.is_finished(), "all is held");
                drop(hold);
                assert_eq!(waiting.join().expect("nobody panics").expect("there is room"), 6);
            });
            wal.close().expect("nothing fails");
        }
    });
}

// It ended the segment first, and then had no room for the next one: from then on the log took nothing at all.
#[test]
fn an_append_that_the_cap_refuses_leaves_the_last_segment_to_those_that_fit() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for reopened in [false, true] {
                let disk = SimDisk::new(7);
                let options = small(policy).background(background).max_log_bytes(CAP);
                let mut wal = open(&disk, &options);
                let mut ledger = Ledger::new(policy);
                for _ in 0..5 {
                    ledger.append(&wal, HALF).expect("there is room");
                }
                if reopened {
                    ledger.close(wal).expect("nothing fails");
                    wal = open(&disk, &options);
                }
                let files = segments(&disk);
                for _ in 0..2 {
                    refused(wal.append(&[1; 2 * HALF]), ErrorKind::NoSpace);
                    assert_eq!(contents(&wal), ledger.entries());
                }
                ledger.append(&wal, HALF).expect("there is room for this one");
                refused(wal.append(&[1; HALF]), ErrorKind::NoSpace);
                assert_eq!((segments(&disk), contents(&wal)), (files, ledger.entries().to_vec()));
                wal.close().expect("nothing fails");
                let again = open(&disk.power_cut_losing_everything(), &options);
                assert_eq!(contents(&again), ledger.entries());
            }
        }
    });
}

// The cap was judged once before the SEAL and once after it, and the second time the space that the SEAL had given back
// counted: the segment was ended, and no other one begun.
#[test]
fn what_an_ended_segment_gives_back_counts_once() {
    let disk = SimDisk::new(8);
    let kib = |kib: u64| kib << 10;
    let options = small(POLICY).segment_bytes(kib(32)).max_log_bytes(kib(84));
    let mut ledger = Ledger::new(POLICY);
    let wal = open(&disk, &options);
    for bytes in [23_000, 2_000, 23_500, 10] {
        ledger.append(&wal, bytes).expect("there is room");
        assert!(file_bytes(&disk) <= kib(84), "{bytes}: {}", file_bytes(&disk));
    }
    // Once the log is full it takes what the last segment has room for.
    while ledger.append(&wal, 9_000).is_ok() {}
    assert!(file_bytes(&disk) <= kib(84));
    assert_eq!(contents(&wal), ledger.entries());
    ledger.append(&wal, 10).expect("there is room in the last segment");
    ledger.close(wal).expect("nothing fails");
    assert_eq!(contents(&open(&disk.power_cut_losing_everything(), &options)), ledger.entries());
}

// What waits for room holds up no sync: without threads, an entry that is written and is to be durable waited for room, too.
#[test]
fn what_is_written_becomes_durable_while_what_comes_after_it_waits_for_room() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for limited in [false, true] {
                let disk = SimDisk::new(9);
                let options =
                    small(policy).background(background).max_log_bytes(CAP).when_full(WhenFull::Wait);
                let wal = open(&disk, &options);
                for _ in 0..5 {
                    append(&wal).expect("there is room");
                }
                let durable = wal.submit_with(&[5; 10], Durability::Durable).expect("it is numbered");
                wal.flush().expect("there is room");
                let waits = wal.submit(&[6; 2 * HALF]).expect("it is numbered");
                thread::scope(|scope| {
                    let starves = scope.spawn(|| waits.wait());
                    eventually("it waits for room", LIMIT, || wal.health().no_room.is_some());
                    if limited {
                        let outcome = durable.wait_timeout(Duration::from_secs(20)).expect("it is in time");
                        assert_eq!(outcome.expect("it is written"), 5);
                    } else {
                        assert_eq!(durable.wait().expect("it is written"), 5);
                    }
                    assert!(
                        wal.durable_end() > 5 && !starves.is_finished(),
                        "{policy:?}, threads: {background}"
                    );
                    wal.truncate_before(4).expect("nothing fails");
                    assert_eq!(starves.join().expect("it does not panic").expect("there is room"), 6);
                });
            }
        }
    });
}
