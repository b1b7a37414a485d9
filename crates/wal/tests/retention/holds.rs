//! Holds: nothing that somebody needs is dropped, unless it is too much, and then they are told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::bytes::linked;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{HALF, SMALL, contents, eventually, every_setup, open, read, refused, small, within};
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
    refused(hold.wait_invalidated(LIMIT), ErrorKind::Closed);
    assert!(!hold.invalidated());
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
            assert!(!stuck.wait_invalidated(Duration::ZERO).expect("the log is open"));
            thread::scope(|scope| {
                let waits = scope.spawn(|| stuck.wait_invalidated(LIMIT).expect("the log is open"));
                assert_eq!(wal.truncate_before(12).expect("nothing fails"), 9);
                assert!(waits.join().expect("it does not panic"));
            });
            assert!(stuck.invalidated() && !fine.invalidated());
            let error = refused(stuck.advance(10), ErrorKind::Invalidated);
            assert!(error.to_string().contains("\"stuck\""), "{error}");
            assert_eq!(stuck.sequence(), 1);
            let stats = wal.stats();
            assert_eq!((stats.invalidated_holds, stats.holds), (1, 2));
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
                        let asked = wal.written_end();
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
            let next = wal.written_end();
            assert_eq!(wal.truncate_before(next).expect("nothing fails"), next, "all are gone");
            assert!(contents(&wal).is_empty());
        }
    });
}

/// A simulated disk on which one call to the anchor fails, when that is asked for.
struct FailingAnchor {
    seam: Arc<Seam>,
    /// How many calls to the anchor succeed before one fails; `u64::MAX` when none fails.
    left: Arc<AtomicU64>,
}

impl FailingAnchor {
    fn new(seed: u64) -> FailingAnchor {
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let counts = Arc::clone(&left);
        let seam = Seam::new(SimDisk::new(seed), move |call| match call {
            Call::Write { name: "ANCHOR", .. } | Call::Sync { name: "ANCHOR" } => {
                let before = counts.load(Ordering::Relaxed);
                // Once one has failed, all go well again.
                counts
                    .store(if before == 0 { u64::MAX } else { before.saturating_sub(1) }, Ordering::Relaxed);
                if before == 0 { Err(io::Error::other("on purpose")) } else { Ok(()) }
            }
            _ => Ok(()),
        });
        FailingAnchor { seam, left }
    }

    fn fail_after(&self, calls: u64) {
        self.left.store(calls, Ordering::Relaxed);
    }

    /// Whether the failure is still to come; it does not any more.
    fn is_ahead(&self) -> bool {
        self.left.swap(u64::MAX, Ordering::Relaxed) < 1 << 32
    }
}

/// Everything that a hold promises is so.
#[track_caller]
fn keeps(wal: &Wal, hold: &wal::Hold, expected: &[Vec<u8>]) {
    assert!(!hold.invalidated(), "nothing was dropped");
    assert!(!hold.wait_invalidated(Duration::ZERO).expect("the log is open"));
    hold.advance(hold.sequence()).expect("it is valid");
    assert_eq!((wal.stats().invalidated_holds, wal.stats().holds), (0, 1));
    let (found, error) = read(wal.read_from(hold.sequence()).expect("it is held"));
    assert!(error.is_none() && found == expected, "{error:?}");
    drop(wal.hold("another", hold.sequence()).expect("the log begins where it did"));
}

/// The log wanted to pass a hold that kept too much, and told its owner so. Then the anchor could not be written,
/// the log kept everything, and the owner had given up its position for nothing.
#[test]
fn a_truncation_that_fails_at_any_call_to_the_anchor_invalidates_no_hold() {
    let mut failed = 0;
    for calls in 0..100 {
        let disk = FailingAnchor::new(calls);
        let options = small(POLICY).hold_limit_bytes(2 * SMALL);
        let wal = options.open_in(Arc::clone(&disk.seam) as _).expect("nothing fails");
        for n in 0..12_u64 {
            wal.append(&payload(n << 20, HALF)).expect("nothing fails");
        }
        let held: Vec<_> = (1..12_u64).map(|n| payload(n << 20, HALF)).collect();
        let hold = wal.hold("archive", 1).expect("it is there");
        disk.fail_after(calls);
        let truncated = wal.truncate_before(12);
        if disk.is_ahead() {
            assert_eq!(truncated.expect("nothing fails"), 12);
            assert!(hold.invalidated(), "it kept too much");
            break;
        }
        refused(truncated, ErrorKind::Io);
        failed += 1;
        assert_eq!(wal.first(), 0);
        keeps(&wal, &hold, &held);
        assert_eq!(wal.truncate_before(12).expect("the disk is well again"), 12);
        assert!(hold.wait_invalidated(LIMIT).expect("the log is open"));
        refused(hold.advance(12), ErrorKind::Invalidated);
        assert_eq!(wal.stats().invalidated_holds, 1);
    }
    assert!(failed >= 2, "a write and a sync");
}

#[test]
fn retention_that_fails_at_any_call_to_the_anchor_invalidates_no_hold() {
    within(LIMIT, || {
        // Under the cap it runs within the append, otherwise after it.
        for (background, capped) in [(false, false), (false, true), (true, false)] {
            let mut failed = 0;
            for calls in 0..100 {
                let disk = FailingAnchor::new(calls);
                let options = small(POLICY).background(background).retain_entries(2).hold_limit_bytes(SMALL);
                let options = if capped { options.max_log_bytes(3 * SMALL) } else { options };
                let wal = options.open_in(Arc::clone(&disk.seam) as _).expect("nothing fails");
                wal.start_retention().expect("the log is open");
                let payloads: Vec<_> = (0..8_u64).map(|n| payload(n << 20, HALF)).collect();
                wal.append(&payloads[0]).expect("nothing fails");
                let hold = wal.hold("archive", 0).expect("it is there");
                for payload in &payloads[1..5] {
                    wal.append(payload).expect("nothing fails");
                }
                if background {
                    // Until the threads have done what the segments so far make due.
                    thread::sleep(Duration::from_millis(20));
                }
                assert!(!hold.invalidated(), "it keeps what it may");
                disk.fail_after(calls);
                wal.append(&payloads[5]).expect("it fills its segment");
                // This begins the fourth segment, and the hold keeps two of those that are to be dropped.
                let appended = wal.append(&payloads[6]);
                eventually("retention has run", LIMIT, || {
                    wal.stats().maintenance_errors > 0 || hold.invalidated()
                });
                let is_ahead = disk.is_ahead();
                if wal.stats().maintenance_errors == 0 {
                    appended.expect("nothing fails");
                    if is_ahead {
                        break;
                    }
                    // The rollover wrote the anchor, which it can do without, and retention comes after it.
                    continue;
                }
                failed += 1;
                if !background {
                    // With threads, the next attempt may have come already.
                    assert_eq!(wal.first(), 0);
                    keeps(&wal, &hold, &payloads[..if capped { 6 } else { 7 }]);
                }
                if capped {
                    refused(appended, ErrorKind::NoSpace);
                } else {
                    appended.expect("nothing fails");
                }
                for payload in &payloads[6..] {
                    wal.append(payload).expect("nothing fails");
                }
                if !background && !capped {
                    // The next attempt comes with the next segment.
                    wal.append(&payloads[0]).expect("nothing fails");
                }
                assert!(hold.wait_invalidated(LIMIT).expect("the log is open"), "the next attempt works");
                eventually("and then shows", LIMIT, || wal.first() >= 4);
                assert_eq!(wal.stats().invalidated_holds, 1);
            }
            assert!(background || failed >= 2, "threads {background}, cap {capped}: a write and a sync");
        }
    });
}
