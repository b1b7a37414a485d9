//! Followers: every entry once and in order, whatever the log does meanwhile; and when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::bytes::segments;
use crate::common::gate::Gate;
use crate::common::seam::{Call, Seam};
use crate::common::task::block_on;
use crate::common::{SMALL, eio, every_setup, fault, large, open, refused, small, within};
use wal::{Durability, Entry, Error, ErrorKind, Follower, Mark, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const LIMIT: Duration = Duration::from_secs(60);
const MARKS: [Mark; 2] = [Mark::Written, Mark::Durable];

type Item = Option<Result<Entry, Error>>;

/// Every way to wait for the next entry.
const WAYS: [fn(&mut Follower) -> Item; 4] = [
    Iterator::next,
    |follower| loop {
        if let Poll::Ready(item) = follower.next_timeout(Duration::from_millis(1)) {
            return item;
        }
    },
    |follower| block_on(follower.next_entry()),
    |follower| loop {
        if let Poll::Ready(item) = follower.try_next() {
            return item;
        }
        thread::yield_now();
    },
];

/// Counts how often it was woken.
#[derive(Default)]
struct Counts(AtomicU64);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + usize::try_from(number * 37 % 900).expect("small"), 0xa5);
    payload
}

#[track_caller]
fn is_entry(item: Item, number: u64) {
    let entry = item.expect("the log goes on").expect("nothing fails");
    assert_eq!((entry.sequence(), entry.payload()), (number, &payload(number)[..]));
}

#[track_caller]
fn is_pending(follower: &mut Follower) {
    assert!(follower.try_next().is_pending());
    assert!(follower.next_timeout(Duration::ZERO).is_pending());
}

#[track_caller]
fn fails(item: Item, kind: ErrorKind) -> Error {
    refused(item.expect("an error in front of the end"), kind)
}

fn append(wal: &Wal, count: u64) {
    for _ in 0..count {
        wal.append(&payload(wal.written_end())).expect("nothing fails");
    }
}

#[test]
fn a_follower_hands_out_what_is_there_and_then_waits() {
    for (policy, background) in every_setup() {
        for mark in MARKS {
            let wal = open(&SimDisk::new(1), &small(policy).background(background));
            append(&wal, 40);
            wal.sync().expect("nothing fails");
            let mut follower = wal.follow_with(7, mark).expect("it is there");
            for number in 7..40 {
                assert_eq!(follower.position(), number);
                is_entry(Some(follower.next().expect("it is there")), number);
            }
            is_pending(&mut follower);
            append(&wal, 1);
            wal.sync().expect("nothing fails");
            is_entry(follower.next(), 40);
            is_pending(&mut follower);
        }
    }
}

#[test]
fn a_follower_begins_within_the_log_or_right_behind_it() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
    append(&wal, 10);
    wal.truncate_before(4).expect("nothing fails");
    for first in [0, 3, 11, u64::MAX] {
        refused(wal.follow(first), ErrorKind::OutOfRange);
    }
    for first in [4, 9] {
        is_entry(wal.follow(first).expect("it is there").next(), first);
    }
    is_pending(&mut wal.follow(10).expect("it is the next one"));
}

#[test]
fn a_durable_follower_does_not_see_what_is_only_written() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::None));
    let mut durable = wal.follow(0).expect("an empty log");
    let mut written = wal.follow_with(0, Mark::Written).expect("an empty log");
    assert_eq!((durable.mark(), written.mark()), (Mark::Durable, Mark::Written));
    append(&wal, 1);
    is_pending(&mut durable);
    is_entry(written.next(), 0);
    assert_eq!(written.durable_end(), 0);
    // Two frames are read ahead, and one of them is not durable yet.
    wal.sync().expect("nothing fails");
    append(&wal, 1);
    is_entry(durable.next(), 0);
    is_pending(&mut durable);
    wal.sync().expect("nothing fails");
    is_entry(durable.next(), 1);
    assert_eq!(written.durable_end(), 2);
}

#[test]
fn a_batch_is_handed_out_entry_by_entry() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
    let batch: Vec<_> = (0..20).map(payload).collect();
    let mut follower = wal.follow(0).expect("an empty log");
    wal.append_batch(&batch).expect("nothing fails");
    for number in 0..20 {
        is_entry(follower.next(), number);
    }
    is_pending(&mut follower);
}

#[test]
fn every_way_to_wait_is_woken_by_an_append_a_sync_a_close_and_a_drop() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for way in WAYS {
                for mark in MARKS {
                    for closes in [true, false] {
                        let wal = open(&SimDisk::new(1), &small(policy).background(background));
                        let mut follower = wal.follow_with(0, mark).expect("an empty log");
                        let waits = thread::spawn(move || {
                            is_entry(way(&mut follower), 0);
                            is_entry(way(&mut follower), 1);
                            let last = way(&mut follower);
                            assert!(last.is_none(), "the log has ended, {last:?}");
                            assert!(follower.next().is_none() && follower.try_next().is_ready());
                        });
                        append(&wal, 1);
                        wal.sync().expect("nothing fails");
                        append(&wal, 1);
                        if closes {
                            wal.close().expect("nothing fails");
                        } else {
                            wal.sync().expect("nothing fails");
                            drop(wal);
                        }
                        waits.join().expect("it does not panic");
                    }
                }
            }
        }
    });
}

#[test]
fn behind_a_drop_a_follower_ends_with_what_its_watermark_has_passed() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::None));
    append(&wal, 3);
    wal.sync().expect("nothing fails");
    append(&wal, 2);
    let ends = [(Mark::Durable, 3), (Mark::Written, 5)];
    let followers = ends.map(|(mark, end)| (wal.follow_with(0, mark).expect("it is open"), end));
    drop(wal);
    for (follower, end) in followers {
        let seen: Result<Vec<_>, _> = follower.collect();
        assert_eq!(seen.expect("nothing fails").len(), end);
    }
}

#[test]
fn a_close_makes_durable_what_a_durable_follower_ends_with() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::None));
    append(&wal, 30);
    let mut follower = wal.follow(0).expect("it is open");
    wal.close().expect("nothing fails");
    (0..30).for_each(|number| is_entry(follower.next(), number));
    assert!(follower.next().is_none());
}

#[test]
fn a_task_is_woken_once_for_what_it_waits_for_and_no_more_when_it_gives_up() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::None));
    let counts = Arc::new(Counts::default());
    let waker = Waker::from(Arc::clone(&counts));
    let mut context = Context::from_waker(&waker);
    let woken = || counts.0.load(Ordering::SeqCst);
    let mut follower = wal.follow(0).expect("an empty log");
    assert!(follower.poll_next(&mut context).is_pending());
    append(&wal, 1);
    assert_eq!(woken(), 0, "it is not durable");
    wal.sync().expect("nothing fails");
    assert_eq!(woken(), 1);
    assert!(matches!(follower.poll_next(&mut context), Poll::Ready(Some(Ok(_)))));
    assert!(follower.poll_next(&mut context).is_pending());
    drop(follower);
    append(&wal, 1);
    wal.sync().expect("nothing fails");
    assert_eq!(woken(), 1);
    // It holds neither the log nor its lock.
    let mut follower = wal.follow(2).expect("it is the next one");
    assert!(follower.poll_next(&mut context).is_pending());
    drop(wal);
    assert_eq!(woken(), 2);
    assert!(matches!(follower.poll_next(&mut context), Poll::Ready(None)));
}

#[test]
fn a_timeout_ends_a_wait_and_loses_nothing() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
    let mut follower = wal.follow(0).expect("an empty log");
    let begun = Instant::now();
    assert!(follower.next_timeout(Duration::from_millis(30)).is_pending());
    assert!(begun.elapsed() >= Duration::from_millis(30));
    append(&wal, 1);
    assert!(follower.next_timeout(Duration::MAX).is_ready());
    assert_eq!(follower.position(), 1);
}

#[test]
fn a_poisoned_log_is_told_behind_what_was_there_before() {
    for (mark, seen) in [(Mark::Durable, 3), (Mark::Written, 4)] {
        for waits in [false, true] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(SyncPolicy::None));
            append(&wal, 3);
            wal.sync().expect("nothing fails");
            append(&wal, 1);
            let mut follower = wal.follow_with(0, mark).expect("it is open");
            if waits {
                (0..seen).for_each(|number| is_entry(follower.next(), number));
                is_pending(&mut follower);
            }
            disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::Error(eio())));
            refused(wal.sync(), ErrorKind::Poisoned);
            if !waits {
                (0..seen).for_each(|number| is_entry(follower.next(), number));
            }
            fails(follower.next(), ErrorKind::Poisoned);
            assert!(follower.next().is_none(), "it has ended");
            refused(wal.follow_with(0, mark), ErrorKind::Poisoned);
        }
    }
}

#[test]
fn a_failed_sync_wakes_those_who_wait() {
    within(LIMIT, || {
        for mark in MARKS {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(SyncPolicy::None));
            append(&wal, 1);
            let mut follower = wal.follow_with(1, mark).expect("it is the next one");
            let waits = thread::spawn(move || follower.next());
            thread::sleep(Duration::from_millis(10));
            disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::Error(eio())));
            refused(wal.sync(), ErrorKind::Poisoned);
            fails(waits.join().expect("it does not panic"), ErrorKind::Poisoned);
        }
    });
}

#[test]
fn a_failed_write_is_never_seen() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    append(&wal, 3);
    let mut follower = wal.follow_with(0, Mark::Written).expect("it is open");
    (0..3).for_each(|number| is_entry(follower.next(), number));
    let whole_but_failed = FaultEffect::Error(eio());
    disk.fail(fault(CallKind::Write, 0, Times::Once, whole_but_failed));
    refused(wal.append(b"this fails"), ErrorKind::Io);
    is_pending(&mut follower);
    append(&wal, 20);
    (3..23).for_each(|number| is_entry(follower.next(), number));
}

#[test]
fn a_cut_behind_the_place_is_the_log_and_one_in_front_of_it_is_told() {
    for mark in MARKS {
        // How far it has read, and what the cut keeps as last: told or not.
        for (read, last, told) in [
            (0, 0, false),
            (10, 9, false),
            (10, 15, false),
            (10, 8, true),
            (10, 0, true),
            (30, 29, false),
            (30, 28, true),
            (30, 3, true),
        ] {
            let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
            append(&wal, 30);
            let mut follower = wal.follow_with(0, mark).expect("it is open");
            (0..read).for_each(|number| is_entry(follower.next(), number));
            wal.truncate_after(last).expect("nothing fails");
            if told {
                // As soon as the truncation has returned.
                fails(follower.next(), ErrorKind::Truncated);
                assert!(follower.next().is_none());
                continue;
            }
            let other = |number: u64| format!("another {number}").into_bytes();
            for number in last + 1..35 {
                wal.append(&other(number)).expect("nothing fails");
            }
            (read..=last).for_each(|number| is_entry(follower.next(), number));
            for number in last + 1..35 {
                let entry = follower.next().expect("the log goes on").expect("nothing fails");
                assert_eq!((entry.sequence(), entry.to_vec()), (number, other(number)), "{mark:?}");
            }
            is_pending(&mut follower);
        }
    }
}

#[test]
fn of_several_cuts_the_lowest_counts() {
    for (cuts, told) in [([25, 15], false), ([15, 25], false), ([5, 25], true), ([25, 5], true)] {
        let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
        append(&wal, 30);
        let mut follower = wal.follow(0).expect("it is open");
        (0..10).for_each(|number| is_entry(follower.next(), number));
        for last in cuts {
            wal.truncate_after(last).expect("nothing fails");
            append(&wal, 30 - wal.written_end());
        }
        if told {
            fails(follower.next(), ErrorKind::Truncated);
        } else {
            (10..30).for_each(|number| is_entry(follower.next(), number));
        }
    }
}

#[test]
fn a_cut_wakes_those_who_wait_behind_it() {
    within(LIMIT, || {
        let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
        append(&wal, 10);
        let mut waits = wal.follow(10).expect("it is the next one");
        let waits = thread::spawn(move || waits.next());
        thread::sleep(Duration::from_millis(10));
        wal.truncate_after(4).expect("nothing fails");
        fails(waits.join().expect("it does not panic"), ErrorKind::Truncated);
        // Right behind the cut it has lost nothing: what was there was not durable, and it had not seen it.
        let wal = open(&SimDisk::new(1), &small(SyncPolicy::None));
        append(&wal, 10);
        let mut waits = wal.follow(5).expect("it is written");
        let waits = thread::spawn(move || waits.next());
        thread::sleep(Duration::from_millis(10));
        wal.truncate_after(4).expect("nothing fails");
        append(&wal, 1);
        wal.sync().expect("nothing fails");
        is_entry(waits.join().expect("it does not panic"), 5);
    });
}

#[test]
fn what_is_dropped_in_front_of_a_follower_is_told_at_its_next_look() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
    append(&wal, 60);
    let mut behind = wal.follow(3).expect("it is there");
    let mut at_it = wal.follow(50).expect("it is there");
    wal.truncate_before(50).expect("nothing fails");
    let error = fails(behind.next(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("50"), "{error}");
    assert!(behind.next().is_none());
    (50..60).for_each(|number| is_entry(at_it.next(), number));
    // Its look is of the segment that it is in, and that it goes through.
    let mut within = wal.follow(50).expect("it is there");
    is_entry(within.next(), 50);
    wal.truncate_before(60).expect("nothing fails");
    let rest: Vec<_> = within.collect();
    assert!(rest.len() < 11);
    fails(rest.into_iter().next_back(), ErrorKind::OutOfRange);
}

#[test]
fn a_follower_that_waits_keeps_no_file_from_being_removed() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 60);
    let mut follower = wal.follow(0).expect("it is there");
    (0..60).for_each(|number| is_entry(follower.next(), number));
    is_pending(&mut follower);
    let before = segments(&disk).len();
    wal.truncate_before(60).expect("nothing fails");
    assert!(segments(&disk).len() <= 2, "of {before}");
    append(&wal, 60);
    (60..120).for_each(|number| is_entry(follower.next(), number));
}

#[test]
fn what_is_appended_is_read_where_it_stands() {
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let seam = Seam::new(SimDisk::new(1), move |call| {
        if let Call::Read { bytes, .. } = call {
            counted.fetch_add(bytes as u64, Ordering::SeqCst);
        }
        Ok(())
    });
    let wal = Options::new().sync(SyncPolicy::Immediate).background(false).open_in(seam).expect("a new log");
    let mut follower = wal.follow(0).expect("an empty log");
    append(&wal, 500);
    (0..500).for_each(|number| is_entry(follower.next(), number));
    // One that begins at the end does not read what lies in front of it.
    let before = reads.load(Ordering::SeqCst);
    let mut late = wal.follow(500).expect("it is the next one");
    append(&wal, 1);
    is_entry(late.next(), 500);
    is_entry(follower.next(), 500);
    let read = reads.load(Ordering::SeqCst) - before;
    assert!(read < 64 << 10, "{read} bytes read to begin at the end");
    let before = reads.load(Ordering::SeqCst);
    for number in 501..600 {
        append(&wal, 1);
        is_entry(follower.next(), number);
    }
    let entries: u64 = (501..600).map(|number| payload(number).len() as u64).sum();
    let read = reads.load(Ordering::SeqCst) - before;
    assert!((entries..2 * entries).contains(&read), "{read} bytes read for {entries} bytes of payload");
}

#[test]
fn a_read_error_is_told_and_is_not_the_end() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 2);
    let mut follower = wal.follow(0).expect("it is there");
    disk.fail(fault(CallKind::Read, 0, Times::Once, FaultEffect::Error(eio())));
    fails(follower.next(), ErrorKind::Io);
    assert!(follower.next().is_none());
}

/// A log that rolls over with nearly every append, many followers, and a reopen now and then: each of them
/// gets every entry once.
#[test]
fn followers_never_stick_or_skip_at_a_rollover_or_a_restart() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(3);
            let options = small(policy).background(background);
            let mut next = 0;
            for round in 0..4_u64 {
                let wal = open(&disk, &options);
                assert_eq!(wal.written_end(), next, "{policy:?}");
                let to = next + 60;
                let followers: Vec<_> = (0..6)
                    .map(|nth| {
                        let from = next * (nth % 3) / 2;
                        let mark = MARKS[usize::from(nth % 2 == 0)];
                        let way = WAYS[usize::try_from(nth % 4).expect("small")];
                        let mut follower = wal.follow_with(from.min(next), mark).expect("it is there");
                        thread::spawn(move || {
                            let mut number = follower.position();
                            while let Some(entry) = way(&mut follower) {
                                let entry = entry.expect("nothing fails");
                                assert_eq!(entry.sequence(), number);
                                assert_eq!(entry.payload(), large(number));
                                number += 1;
                            }
                            number
                        })
                    })
                    .collect();
                while wal.written_end() < to {
                    wal.append(&large(wal.written_end())).expect("nothing fails");
                }
                next = wal.written_end();
                if round % 2 == 0 {
                    wal.close().expect("nothing fails");
                } else {
                    wal.sync().expect("nothing fails");
                    drop(wal);
                }
                for follower in followers {
                    assert_eq!(follower.join().expect("it does not panic"), next, "{policy:?} {background}");
                }
            }
        }
    });
}

/// Several threads append, truncate in front and behind, and follow, on a real disk and with threads.
#[test]
fn followers_beside_appends_and_truncations_see_one_log() {
    within(LIMIT, || {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let options = Options::new().segment_bytes(SMALL).sync(SyncPolicy::default());
        let wal = options.open(scratch.path().join("log")).expect("a new log");
        let done = Arc::new(AtomicBool::new(false));
        let appenders: Vec<_> = (0..2_u64)
            .map(|_| {
                let (wal, done) = (wal.clone(), Arc::clone(&done));
                thread::spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        match wal.append(&[7; 400]) {
                            Err(error) if error.kind() != ErrorKind::Truncated => panic!("{error}"),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        let followers: Vec<_> = (0..4)
            .map(|nth| {
                let wal = wal.clone();
                let done = Arc::clone(&done);
                let mark = MARKS[nth % 2];
                thread::spawn(move || {
                    let (mut seen, mut cuts, mut drops) = (0_u64, 0_u64, 0_u64);
                    while !done.load(Ordering::Relaxed) {
                        let mut follower = match wal.follow_with(wal.first(), mark) {
                            Err(error) if error.kind() == ErrorKind::OutOfRange => continue,
                            followed => followed.expect("the log is open"),
                        };
                        let mut number = follower.position();
                        while !done.load(Ordering::Relaxed) {
                            match follower.next_timeout(Duration::from_millis(5)) {
                                Poll::Pending => {}
                                Poll::Ready(None) => panic!("the log is open"),
                                Poll::Ready(Some(Ok(entry))) => {
                                    assert_eq!((entry.sequence(), entry.len()), (number, 400));
                                    number += 1;
                                    seen += 1;
                                }
                                Poll::Ready(Some(Err(error))) => {
                                    match error.kind() {
                                        ErrorKind::Truncated => cuts += 1,
                                        ErrorKind::OutOfRange => drops += 1,
                                        _ => panic!("{error}"),
                                    }
                                    break;
                                }
                            }
                        }
                    }
                    (seen, cuts, drops)
                })
            })
            .collect();
        let begun = Instant::now();
        for round in 0_u64.. {
            if begun.elapsed() > Duration::from_secs(3) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            let (first, written) = (wal.first(), wal.written_end());
            if round % 2 == 0 && written > first + 40 {
                wal.truncate_before(written - 20).expect("nothing fails");
            } else if written > first + 10 {
                wal.truncate_after(written - 5).expect("nothing fails");
            }
        }
        done.store(true, Ordering::Relaxed);
        appenders.into_iter().for_each(|appender| appender.join().expect("it does not panic"));
        let seen: Vec<_> =
            followers.into_iter().map(|follower| follower.join().expect("it does not panic")).collect();
        assert!(seen.iter().all(|&(seen, ..)| seen > 0), "{seen:?}");
        assert!(seen.iter().any(|&(_, cuts, _)| cuts > 0), "{seen:?}");
        wal.close().expect("nothing fails");
    });
}

/// While syncs wait at a gate, and when one fails, a durable follower shows what is durable and no more.
#[test]
fn a_durable_follower_is_never_in_front_of_the_watermark() {
    within(LIMIT, || {
        let mut poisoned = 0;
        for fails_at in [None].into_iter().chain((2..14).map(Some)) {
            let gate = Gate::new();
            let syncs = Arc::clone(&gate);
            let passed = Arc::new(AtomicU64::new(0));
            let seam = Seam::new(SimDisk::new(5), move |call| {
                if !matches!(call, Call::Sync { name } if name.ends_with(".wal")) {
                    return Ok(());
                }
                syncs.pass()?;
                if Some(passed.fetch_add(1, Ordering::SeqCst)) == fails_at {
                    return Err(std::io::Error::other("the device is gone"));
                }
                Ok(())
            });
            let options = small(SyncPolicy::None).background(true);
            let wal = options.open_in(seam).expect("a new log");
            let follower = wal.follow(0).expect("an empty log");
            let handle = wal.clone();
            let follows = thread::spawn(move || {
                let mut number = 0;
                let mut end = None;
                for entry in follower {
                    match entry {
                        Ok(entry) => {
                            assert_eq!(entry.sequence(), number);
                            assert!(entry.sequence() < handle.durable_end(), "{number} is not durable");
                            number += 1;
                        }
                        Err(error) => end = Some(error.kind()),
                    }
                }
                (number, end)
            });
            for round in 0..40 {
                if round % 10 == 5 {
                    gate.shut();
                }
                // A segment that cannot be prepared is no reason to stop.
                wal.append_with(&payload(round), Durability::Written).ok();
                gate.open();
                if round % 4 == 0 {
                    wal.sync().ok();
                }
            }
            let (written, durable) = (wal.written_end(), wal.durable_end());
            let closed = wal.close();
            let (seen, end) = follows.join().expect("it does not panic");
            if closed.is_ok() {
                assert_eq!((seen, end), (written, None));
            } else {
                poisoned += 1;
                assert_eq!((seen, end), (durable, Some(ErrorKind::Poisoned)));
            }
        }
        assert!(poisoned > 3, "{poisoned} were poisoned");
    });
}

#[test]
fn what_a_follower_reads_is_counted() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::Immediate));
    append(&wal, 20);
    let mut follower = wal.follow(0).expect("it is there");
    (0..20).for_each(|number| is_entry(follower.next(), number));
    is_pending(&mut follower);
    assert_eq!(wal.stats().read_entries, 20);
}
