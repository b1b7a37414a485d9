//! Followers of what is written without the lock, as in another process: what the writer beside them does, they see; what it takes
//! back, they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::bytes::{frames, linked, segments};
use crate::common::seam::{Call, Seam};
use crate::common::{
    EVERY_POLICY, LOSSES, SMALL, eio, every_setup, fault, large, open, read, refused, small, try_open, view,
    within,
};
use wal::{Entry, Error, ErrorKind, Mark, Options, SyncPolicy, View, ViewFollower, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, SyncLoss, Times};

const LIMIT: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_millis(1);

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + usize::try_from(number * 37 % 900).expect("small"), 0xa5);
    payload
}

fn other(number: u64) -> Vec<u8> {
    format!("another {number}").into_bytes()
}

fn append(wal: &Wal, count: u64) {
    for _ in 0..count {
        wal.append(&payload(wal.written_end())).expect("nothing fails");
    }
}

/// Sees what is written; those that see what is durable have tests of their own.
fn follow(disk: &SimDisk, first: u64) -> ViewFollower {
    view(disk).follow_with(first, Mark::Written).expect("it is there")
}

/// What comes within the time that a look takes.
fn item(follower: &mut ViewFollower) -> Option<Result<Entry, Error>> {
    match follower.next_timeout(Duration::from_millis(200)) {
        Poll::Ready(item) => Some(item.expect("it has not ended")),
        Poll::Pending => None,
    }
}

#[track_caller]
fn is_entry(follower: &mut ViewFollower, number: u64) {
    let entry = item(follower).expect("it is there").expect("nothing fails");
    assert_eq!((entry.sequence(), entry.payload()), (number, &payload(number)[..]));
}

#[track_caller]
fn is_pending(follower: &mut ViewFollower) {
    assert!(follower.try_next().is_pending());
    assert!(follower.next_timeout(Duration::ZERO).is_pending());
}

#[track_caller]
fn fails(follower: &mut ViewFollower, kind: ErrorKind) -> Error {
    let error = refused(item(follower).expect("an error"), kind);
    assert!(follower.next().is_none(), "it has ended");
    assert!(matches!(follower.try_next(), Poll::Ready(None)));
    error
}

#[test]
fn it_hands_out_what_is_there_and_what_comes_over_rollovers_closes_and_kills() {
    for (policy, background) in every_setup() {
        let disk = SimDisk::new(1);
        let options = small(policy).background(background);
        let wal = open(&disk, &options);
        append(&wal, 25);
        let mut follower = follow(&disk, 3);
        (3..25).for_each(|number| is_entry(&mut follower, number));
        is_pending(&mut follower);
        append(&wal, 60);
        (25..85).for_each(|number| is_entry(&mut follower, number));
        is_pending(&mut follower);
        wal.close().expect("nothing fails");
        is_pending(&mut follower);
        let wal = open(&disk, &options);
        is_pending(&mut follower);
        append(&wal, 40);
        (85..125).for_each(|number| is_entry(&mut follower, number));
        drop(wal);
        let wal = open(&disk, &options);
        append(&wal, 1);
        is_entry(&mut follower, 125);
        // Far behind, by many segments.
        append(&wal, 300);
        (126..426).for_each(|number| is_entry(&mut follower, number));
        is_pending(&mut follower);
        assert_eq!(follower.position(), 426);
    }
}

#[test]
fn it_begins_within_the_log_or_right_behind_it_also_in_an_empty_one() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    let mut from_nothing = follow(&disk, 0);
    is_pending(&mut from_nothing);
    append(&wal, 40);
    (0..40).for_each(|number| is_entry(&mut from_nothing, number));
    wal.truncate_before(14).expect("nothing fails");
    for first in [0, 13, 41, u64::MAX] {
        refused(view(&disk).follow(first), ErrorKind::OutOfRange);
        refused(view(&disk).follow_with(first, Mark::Written), ErrorKind::OutOfRange);
    }
    is_entry(&mut follow(&disk, 14), 14);
    is_pending(&mut follow(&disk, 40));
}

#[test]
fn what_is_stated_durable_is_durable_and_keeps_up() {
    for policy in EVERY_POLICY {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        let mut follower = follow(&disk, 0);
        for number in 0..200 {
            append(&wal, 1);
            is_entry(&mut follower, number);
            assert!(follower.durable_end() <= wal.durable_end(), "{policy:?} at {number}");
            if policy == SyncPolicy::Immediate {
                assert_eq!(follower.durable_end(), number, "each frame states the one before it");
            }
        }
        wal.close().expect("nothing fails");
        is_pending(&mut follower);
        assert_eq!(follower.durable_end(), 200, "{policy:?}");
    }
}

#[test]
fn what_a_crash_of_the_machine_takes_away_was_not_stated_durable() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let wal = open(&disk, &small(SyncPolicy::None));
        let mut follower = follow(&disk, 0);
        for number in 0..30 {
            append(&wal, 1);
            is_entry(&mut follower, number);
            if number % 9 == seed % 9 {
                wal.sync().expect("nothing fails");
            }
        }
        let kept = view(&disk.power_cut_losing_everything()).written_end();
        assert!(follower.durable_end() <= kept, "{} of {kept}", follower.durable_end());
    }
}

#[test]
fn a_cut_behind_the_place_is_the_log_and_one_in_front_of_it_is_told() {
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
        // The follower looks before more is appended, or only behind it.
        for late in [0, 1, 50] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(SyncPolicy::Immediate));
            append(&wal, 30);
            let mut follower = follow(&disk, 0);
            (0..read).for_each(|number| is_entry(&mut follower, number));
            if read == 30 {
                is_pending(&mut follower);
            }
            wal.truncate_after(last).expect("nothing fails");
            for number in last + 1..last + 1 + late {
                wal.append(&other(number)).expect("nothing fails");
            }
            let before = view(&disk).written_end();
            let mut number = read;
            let end = loop {
                match item(&mut follower) {
                    Some(Ok(entry)) => {
                        // What it knew in front of the truncation it may still hand out; then it is told.
                        let expected = if number <= last || told { payload(number) } else { other(number) };
                        let known = number < 30 && entry.to_vec() == payload(number);
                        assert_eq!(entry.sequence(), number);
                        assert!(known || entry.to_vec() == expected, "{number}");
                        number += 1;
                    }
                    Some(Err(error)) => break Some(error.kind()),
                    None => break None,
                }
            };
            let what = (read, last, late);
            match end {
                None => assert!(!told && number == before, "{what:?} ends at {number}"),
                Some(kind) => {
                    assert_eq!(kind, ErrorKind::Truncated, "{what:?}");
                    assert!(number > last + 1, "{what:?}: told at {number}");
                }
            }
        }
    }
}

#[test]
fn what_was_cut_and_written_again_between_two_looks_is_told() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 30);
    let mut follower = follow(&disk, 0);
    (0..30).for_each(|number| is_entry(&mut follower, number));
    wal.truncate_after(20).expect("nothing fails");
    (21..80).for_each(|number| assert_eq!(wal.append(&other(number)).expect("nothing fails"), number));
    wal.close().expect("nothing fails");
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 1);
    fails(&mut follower, ErrorKind::Truncated);
}

#[test]
fn what_is_dropped_in_front_of_it_is_told_with_the_file() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 100);
    let mut behind = follow(&disk, 3);
    is_entry(&mut behind, 3);
    let mut at_the_end = follow(&disk, 100);
    is_pending(&mut at_the_end);
    wal.truncate_before(90).expect("nothing fails");
    append(&wal, 30);
    let error = loop {
        match item(&mut behind).expect("an error in front of the end") {
            Ok(entry) => assert!(entry.sequence() < 90),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains(".wal") && error.to_string().contains("90"), "{error}");
    (100..130).for_each(|number| is_entry(&mut at_the_end, number));
    // All that it has seen is dropped, and it goes on.
    wal.truncate_before(130).expect("nothing fails");
    is_pending(&mut at_the_end);
    append(&wal, 30);
    (130..160).for_each(|number| is_entry(&mut at_the_end, number));
}

#[test]
fn a_reader_of_a_view_is_told_that_entries_were_dropped_or_cut_and_not_of_damage() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 100);
    let before = view(&disk);
    let names = segments(&disk).len();
    wal.truncate_before(60).expect("nothing fails");
    wal.truncate_after(70).expect("nothing fails");
    append(&wal, 1);
    assert!(segments(&disk).len() < names);
    // Neither the front nor the end is there any more; what is in between is.
    let unread = |view: &View, first: u64| view.read_from(first).expect("it had it").find_map(Result::err);
    assert_eq!(unread(&before, 0).expect("an error").kind(), ErrorKind::OutOfRange);
    refused(before.read(0), ErrorKind::OutOfRange);
    assert_eq!(before.read(65).expect("it is there").sequence(), 65);
    assert_eq!(unread(&before, 65).expect("an error").kind(), ErrorKind::Truncated);
    refused(before.read(99), ErrorKind::Truncated);
    let from_behind = before.range(..).rev().find_map(Result::err).expect("an error");
    assert_eq!(from_behind.kind(), ErrorKind::Truncated);
    let error = refused(before.read(5), ErrorKind::OutOfRange);
    assert!(error.to_string().contains(".wal"), "{error}");
}

/// Its file is there, open and cached, and a writer has made something else of it.
#[test]
fn a_file_that_was_made_anew_under_a_view_says_that_the_front_was_dropped() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate).recycle(false));
    append(&wal, 100);
    let unmapped = Options::new().mapped_reads(false);
    let before = unmapped.open_read_only_in(Arc::new(disk.clone())).expect("there is a log");
    assert_eq!(before.read(5).expect("it is there").payload(), payload(5));
    let mut follower = before.follow_with(0, Mark::Written).expect("it is there");
    is_entry(&mut follower, 0);
    let front = linked(&disk);
    disk.fail(fault(CallKind::Remove, 0, Times::Forever, FaultEffect::Error(eio())));
    wal.truncate_before(90).expect("files that stay are no failure");
    for name in &front[..3] {
        assert!(disk.damage(name, |bytes| bytes[..].fill(0x11)), "{name} is there");
    }
    refused(before.read(5), ErrorKind::OutOfRange);
    let error = before.read_from(2).expect("it had it").find_map(Result::err).expect("an error");
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    let error = loop {
        match item(&mut follower).expect("an error in front of the end") {
            Ok(entry) => assert_eq!(entry.payload(), payload(entry.sequence())),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
}

#[test]
fn a_segment_that_is_really_missing_is_told_as_that() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 100);
    let before = view(&disk);
    let mut follower = follow(&disk, 0);
    let names = linked(&disk);
    disk.delete(&names[2]);
    let error = before.read_from(0).expect("it had it").find_map(Result::err).expect("an error");
    assert_eq!(error.kind(), ErrorKind::Missing);
    let error = loop {
        if let Err(error) = item(&mut follower).expect("an error in front of the end") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Missing);
}

#[test]
fn damage_is_told_and_no_end() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 100);
    let mut follower = follow(&disk, 0);
    let names = linked(&disk);
    let frame = frames(&disk.contents(&names[2]).expect("it is there"))[2];
    assert!(disk.damage(&names[2], |bytes| bytes[frame.end - 9] ^= 1));
    let error = loop {
        if let Err(error) = item(&mut follower).expect("an error in front of the end") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(follower.next().is_none());
}

#[test]
fn a_frame_that_was_durable_and_is_damaged_before_it_is_seen_is_told() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &Options::new().sync(SyncPolicy::Immediate).background(false));
    append(&wal, 5);
    let mut follower = follow(&disk, 0);
    (0..5).for_each(|number| is_entry(&mut follower, number));
    append(&wal, 5);
    wal.close().expect("nothing fails");
    let name = linked(&disk).pop().expect("a segment");
    let frame = frames(&disk.contents(&name).expect("it is there"))[7];
    assert!(disk.damage(&name, |bytes| bytes[frame.offset + 20] ^= 1));
    is_entry(&mut follower, 5);
    fails(&mut follower, ErrorKind::Corrupt);
}

#[test]
fn a_segment_whose_link_is_damaged_under_it_is_damage_and_not_a_cut() {
    for closes in [false, true] {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        append(&wal, 40);
        if closes {
            wal.close().expect("nothing fails");
        }
        let mut follower = follow(&disk, 0);
        (0..40).for_each(|number| is_entry(&mut follower, number));
        is_pending(&mut follower);
        let name = linked(&disk).pop().expect("a segment");
        assert!(disk.damage(&name, |bytes| bytes[8200] ^= 1));
        let error = item(&mut follower).expect("an error").expect_err("damage");
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing), "{error}");
    }
}

#[test]
fn a_check_of_a_log_that_is_truncated_meanwhile_finds_no_damage() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("log");
    let wal = Options::new().segment_bytes(SMALL).sync(SyncPolicy::Immediate).open(&path).expect("a new log");
    append(&wal, 200);
    let done = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&done);
    let checks = thread::spawn(move || {
        let mut checked = 0;
        while !ends.load(Ordering::Relaxed) {
            let beside = Options::new().open_read_only(&path).expect("it is there");
            match beside.verify() {
                Ok(found) => {
                    assert!(found.damages.is_empty(), "{:?}", found.damages);
                    checked += 1;
                }
                Err(error) => {
                    let expected = [ErrorKind::OutOfRange, ErrorKind::Truncated];
                    assert!(expected.contains(&error.kind()), "{error}");
                }
            }
        }
        checked
    });
    for round in 0_u64..100 {
        append(&wal, 30);
        let written = wal.written_end();
        if round % 2 == 0 {
            wal.truncate_before(written - 150).expect("nothing fails");
        } else {
            wal.truncate_after(written - 20).expect("nothing fails");
        }
    }
    done.store(true, Ordering::Relaxed);
    assert!(checks.join().expect("it does not panic") > 0);
}

#[test]
fn a_read_error_is_told_and_is_not_the_end() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 5);
    let mut follower = follow(&disk, 0);
    (0..5).for_each(|number| is_entry(&mut follower, number));
    disk.fail(fault(CallKind::Read, 0, Times::Once, FaultEffect::Error(eio())));
    fails(&mut follower, ErrorKind::Io);
}

#[test]
fn a_first_write_that_fails_though_it_was_stored_is_taken_back_and_is_no_damage() {
    // Whether the follower, and the view, see the entry before it is given up.
    for seen in [false, true] {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        append(&wal, 20);
        wal.close().expect("nothing fails");
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        let mut follower = follow(&disk, 0);
        (0..20).for_each(|number| is_entry(&mut follower, number));
        disk.fail(fault(CallKind::Write, 1, Times::Once, stored_all_the_same()));
        refused(wal.append(b"this fails, and is stored"), ErrorKind::Io);
        let beside = view(&disk);
        assert_eq!(beside.written_end(), 21, "the failed entry can be seen");
        if seen {
            assert_eq!(item(&mut follower).expect("it is there").expect("whole").sequence(), 20);
        }
        append(&wal, 40);
        // It stands in the segment, and the LINK after it says that it is no part of the log.
        if !seen {
            assert_eq!(item(&mut follower).expect("it is there").expect("whole").sequence(), 20);
        }
        fails(&mut follower, ErrorKind::Truncated);
        let mut anew = follow(&disk, 20);
        (20..60).for_each(|number| is_entry(&mut anew, number));
        assert_eq!(beside.read(19).expect("it is there").payload(), payload(19));
    }
}

/// The write is stored whole, and the caller is told that it failed.
fn stored_all_the_same() -> FaultEffect {
    FaultEffect::PartialThenError(usize::MAX, eio())
}

#[test]
fn a_look_at_nothing_new_reads_little_and_what_is_new_is_read_twice() {
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let disk = SimDisk::new(1);
    let seam = Seam::new(disk.clone(), move |call| {
        if let Call::Read { bytes, .. } = call {
            counted.fetch_add(bytes as u64, Ordering::SeqCst);
        }
        Ok(())
    });
    let options = Options::new().sync(SyncPolicy::Immediate).background(false);
    let wal = open(&disk, &options);
    append(&wal, 1000);
    let beside = Options::new().open_read_only_in(seam).expect("a log");
    let mut follower = beside.follow_with(0, Mark::Written).expect("it is there");
    (0..1000).for_each(|number| is_entry(&mut follower, number));
    is_pending(&mut follower);
    let so_far = || reads.swap(0, Ordering::SeqCst);
    so_far();
    for _ in 0..10 {
        assert!(follower.try_next().is_pending());
    }
    let idle = so_far();
    assert!(idle < 10 * (32 << 10), "{idle} bytes read for ten looks");
    append(&wal, 1);
    is_entry(&mut follower, 1000);
    let one = so_far();
    assert!(one < 3 * payload(1000).len() as u64 + (8 << 10), "{one} bytes read for one entry");
    append(&wal, 500);
    (1001..1501).for_each(|number| is_entry(&mut follower, number));
    let entries: u64 = (1001..1501).map(|number| payload(number).len() as u64 + 48).sum();
    let many = so_far();
    assert!(many < 4 * entries, "{many} bytes read for {entries}");
}

#[test]
fn a_timeout_ends_a_wait_and_the_interval_is_kept() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("log");
    let wal = Options::new().sync(SyncPolicy::Immediate).open(&path).expect("a new log");
    let beside = Options::new().open_read_only(&path).expect("it is there");
    let mut follower =
        beside.follow_with(0, Mark::Written).expect("it is there").every(Duration::from_secs(3600));
    let begun = Instant::now();
    assert!(follower.next_timeout(Duration::from_millis(30)).is_pending());
    assert!((30..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let mut follower = beside.follow_with(0, Mark::Written).expect("it is there").every(Duration::ZERO);
    let waits = thread::spawn(move || follower.next().map(|entry| entry.map(|entry| entry.sequence())));
    append(&wal, 1);
    assert!(matches!(waits.join().expect("it does not panic"), Some(Ok(0))));
}

#[cfg(unix)]
#[test]
fn a_read_only_directory_will_do() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("log");
    let wal = Options::new().segment_bytes(SMALL).open(&path).expect("a new log");
    append(&wal, 40);
    wal.close().expect("nothing fails");
    let set = |mode: u32, files: u32| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        for entry in std::fs::read_dir(&path).expect("it is readable") {
            let file = entry.expect("it is readable").path();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(files)).expect("it is ours");
        }
    };
    set(0o500, 0o400);
    let beside = Options::new().open_read_only(&path).expect("it is there");
    let mut follower = beside.follow_with(0, Mark::Written).expect("it is there");
    (0..40).for_each(|number| is_entry(&mut follower, number));
    is_pending(&mut follower);
    assert_eq!(follower.durable_end(), 40);
    set(0o700, 0o600);
}

/// Rollovers, restarts and kills under the eyes of several followers, with tiny segments, on both disks.
#[test]
fn followers_never_stick_or_skip_at_a_rollover_or_a_restart() {
    within(LIMIT, || {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let path = scratch.path().join("log");
        let disk = SimDisk::new(9);
        for on_disk in [true, false] {
            for policy in EVERY_POLICY {
                let path = path.with_file_name(policy.name());
                let disk = if on_disk { None } else { Some(disk.power_cut_losing_everything()) };
                let options = small(policy).background(true);
                let wal_of = || match &disk {
                    None => options.open(&path).expect("it opens"),
                    Some(disk) => open(disk, &options),
                };
                let wal = wal_of();
                let from = wal.written_end();
                let rounds = 5;
                let to = from + rounds * 30;
                let followers: Vec<_> = (0..3)
                    .map(|_| {
                        let beside = match &disk {
                            None => Options::new().open_read_only(&path).expect("it is there"),
                            Some(disk) => view(disk),
                        };
                        let mut follower =
                            beside.follow_with(from, Mark::Written).expect("it is there").every(OFTEN);
                        thread::spawn(move || {
                            for number in from..to {
                                let entry = follower.next().expect("it never ends").expect("nothing fails");
                                assert_eq!(entry.sequence(), number);
                                assert_eq!(entry.payload(), large(number));
                            }
                            assert!(follower.try_next().is_pending());
                        })
                    })
                    .collect();
                let mut wal = Some(wal);
                for round in 0..rounds {
                    let open = wal.take().unwrap_or_else(wal_of);
                    for _ in 0..30 {
                        open.append(&large(open.written_end())).expect("nothing fails");
                    }
                    if round % 2 == 0 {
                        open.close().expect("nothing fails");
                    }
                }
                for follower in followers {
                    follower.join().unwrap_or_else(|_| panic!("{policy:?}, on a real disk: {on_disk}"));
                }
            }
        }
    });
}

/// Entries 5 and 6 are written, a follower hands them out, and their sync fails: the device has neither. A writer that is
/// started again goes on after entry 4, in the same segment, so that no LINK tells of it. The follower had taken entry 7 of
/// that writer for the one after its own.
#[test]
fn what_a_failed_sync_took_away_and_a_new_writer_wrote_again_in_the_same_segment_is_told() {
    for loss in LOSSES {
        // How long the new entries are, beside the lost ones.
        for extra in [0, 3, 4000] {
            // Whether the follower looks after the failure, and after the new entries, or only in the end.
            for looks in [true, false] {
                for closes in [true, false] {
                    let what = format!("{loss:?}, {extra} bytes more, looks {looks}, closes {closes}");
                    let disk = SimDisk::new(3);
                    let options = Options::new().sync(SyncPolicy::None).background(false);
                    let wal = open(&disk, &options);
                    append(&wal, 5);
                    wal.sync().expect("nothing fails");
                    append(&wal, 2);
                    let mut written = follow(&disk, 0);
                    let mut durable = view(&disk).follow(0).expect("it is there");
                    (0..7).for_each(|number| is_entry(&mut written, number));
                    (0..5).for_each(|number| is_entry(&mut durable, number));
                    disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::SyncLoss(loss)));
                    let mut failed = wal.sync().is_err();
                    // Where the cache shows at once what is lost, so does the follower.
                    let told = looks
                        && item(&mut written).is_some_and(|item| {
                            item.expect_err("nothing was appended").kind() == ErrorKind::Truncated
                        });
                    assert_eq!(told, looks && loss == SyncLoss::CacheReverted, "{what}");
                    drop(wal);
                    let wal = match try_open(&disk, &options) {
                        Ok(wal) => wal,
                        Err(_) => {
                            // The lie came out at the open.
                            failed = true;
                            open(&disk, &options)
                        }
                    };
                    let kept = wal.written_end();
                    assert!(failed && (5..=7).contains(&kept), "{what}: {kept}");
                    for number in kept..kept + 4 {
                        let payload = [other(number), vec![9; extra]].concat();
                        assert_eq!(wal.append(&payload).expect("nothing fails"), number);
                    }
                    if closes {
                        wal.close().expect("nothing fails");
                    } else {
                        wal.sync().expect("nothing fails");
                        append(&wal, 1);
                    }
                    if kept < 7 && !told {
                        fails(&mut written, ErrorKind::Truncated);
                    } else if !told {
                        (7..11).for_each(|number| is_new(&mut written, number));
                    }
                    // What is durable was not taken back: it reads on, in the new entries.
                    for number in 5..kept {
                        is_entry(&mut durable, number);
                    }
                    (kept..kept + 4).for_each(|number| is_new(&mut durable, number));
                    let anew = view(&disk);
                    assert_eq!(read(anew.range(..)).0.len() as u64, anew.written_end(), "{what}");
                }
            }
        }
    }
}

#[track_caller]
fn is_new(follower: &mut ViewFollower, number: u64) {
    let entry = item(follower).expect("it is there").expect("nothing fails");
    assert_eq!(entry.sequence(), number);
    assert!(entry.payload().starts_with(&other(number)));
}

/// The same for a view whose entries have gone: they were taken back, and nothing is damaged.
#[test]
fn a_view_whose_last_entries_were_taken_back_says_so_and_a_new_one_has_the_others() {
    let disk = SimDisk::new(3);
    let options = Options::new().sync(SyncPolicy::None).background(false);
    let wal = open(&disk, &options);
    append(&wal, 5);
    wal.sync().expect("nothing fails");
    append(&wal, 3);
    let before = view(&disk);
    assert_eq!((before.written_end(), before.durable_end()), (8, 5));
    disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld)));
    wal.sync().expect_err("it fails");
    drop(wal);
    let wal = open(&disk, &options);
    (5..9).for_each(|number| assert_eq!(wal.append(&[7; 60]).expect("nothing fails"), number));
    assert_eq!(before.read(4).expect("it was durable").payload(), payload(4));
    for number in 5..8 {
        // The entry that has the number now, or none: never one that is made of both.
        match before.read(number) {
            Ok(entry) => assert_eq!(entry.payload(), [7; 60]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Truncated, "{error}"),
        }
    }
    let error = before.range(..).find_map(Result::err).expect("an error");
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(read(view(&disk).range(..)).0.len(), 9);
}

/// A follower that seldom looks has its segment open, and no lock on it. The writer drops the segment and uses the file again:
/// nothing of what the follower knew stands there. It waited for ever.
#[test]
fn a_follower_whose_segment_was_dropped_and_used_again_is_told_or_goes_on() {
    for mark in [Mark::Written, Mark::Durable] {
        for drops_what_comes in [false, true] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(SyncPolicy::Immediate));
            (0..3).for_each(|number| assert_eq!(wal.append(&large(number)).expect("nothing fails"), number));
            let beside = view(&disk);
            let mut follower = beside.follow_with(wal.durable_end(), mark).expect("it is there");
            let from = follower.position();
            is_pending(&mut follower);
            drop(beside);
            let before = wal.stats().recycled_segments;
            while wal.stats().recycled_segments < before + 3 {
                for _ in 0..4 {
                    wal.append(&large(wal.written_end())).expect("nothing fails");
                }
                let keep = if drops_what_comes { wal.written_end() - 1 } else { from };
                wal.truncate_before(keep).expect("nothing fails");
                if !drops_what_comes {
                    break;
                }
            }
            if drops_what_comes {
                fails(&mut follower, ErrorKind::OutOfRange);
            } else {
                let entry = item(&mut follower).expect("it is there").expect("nothing fails");
                assert_eq!(entry.sequence(), from);
            }
        }
    }
}

/// A follower has gone on to a segment whose LINK was never on the device: the first sync in it fails, and the next writer
/// makes a segment of that number anew. The follower waited for ever.
#[test]
fn a_follower_in_a_segment_whose_link_was_taken_back_reads_on_in_the_one_that_took_its_place() {
    for loss in [SyncLoss::CacheNewDiskOld, SyncLoss::CacheReverted] {
        let disk = SimDisk::new(3);
        let options = Options::new().sync(SyncPolicy::None).background(false);
        let wal = open(&disk, &options);
        append(&wal, 3);
        wal.roll().expect("nothing fails");
        let mut durable = view(&disk).follow(0).expect("it is there");
        (0..3).for_each(|number| is_entry(&mut durable, number));
        append(&wal, 1);
        assert_eq!(linked(&disk).len(), 2);
        is_pending(&mut durable);
        disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::SyncLoss(loss)));
        wal.sync().expect_err("it fails");
        drop(wal);
        let wal = open(&disk, &options);
        assert_eq!(wal.append(&other(3)).expect("nothing fails"), 3, "{loss:?}");
        wal.close().expect("nothing fails");
        is_new(&mut durable, 3);
    }
}

/// An entry that was not durable is taken back, and a longer one stands in its place: the view said that it is damaged.
#[test]
fn a_view_of_an_entry_that_another_one_has_replaced_in_place_does_not_call_it_damaged() {
    let disk = SimDisk::new(3);
    let options = Options::new().sync(SyncPolicy::None).background(false);
    let wal = open(&disk, &options);
    append(&wal, 7);
    wal.sync().expect("nothing fails");
    wal.truncate_after(4).expect("nothing fails");
    append(&wal, 1);
    let before = view(&disk);
    assert_eq!(before.written_end(), 6);
    disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld)));
    wal.sync().expect_err("it fails");
    drop(wal);
    let wal = open(&disk, &options);
    assert_eq!(wal.append(&[7; 3000]).expect("nothing fails"), 5);
    assert_eq!(linked(&disk).len(), 2, "in the segment of the truncation");
    match before.read(5) {
        Ok(entry) => assert_eq!(entry.payload(), [7; 3000]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Truncated, "{error}"),
    }
    let error = before.range(..).find_map(Result::err).expect("an error");
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    assert!(before.verify().expect("it looks anew").damages.is_empty());
}

/// The last frame of a log was durable, and the anchor says so. When its header goes bad, that is damage and no cut.
#[test]
fn a_last_frame_that_the_anchor_vouches_for_is_damage_when_it_goes_and_was_not_taken_back() {
    let disk = SimDisk::new(3);
    let options = small(SyncPolicy::Immediate);
    append(&open(&disk, &options), 3);
    // The open states what is durable.
    drop(open(&disk, &options));
    let before = view(&disk);
    let name = linked(&disk)[0].clone();
    assert!(disk.damage(&name, |bytes| {
        let last = frames(bytes).pop().expect("a frame");
        bytes[last.offset] ^= 1;
    }));
    let error = refused(before.read(2), ErrorKind::Corrupt);
    assert_eq!(error.damage().and_then(|damage| damage.sequences).expect("it says which").first, Some(2));
}

/// A SEAL of a close was the end of a segment for a follower, and is the middle of one now.
#[test]
fn a_follower_reads_on_after_the_seal_of_a_close_also_when_it_began_there() {
    for begins_at_the_end in [false, true] {
        for mark in [Mark::Written, Mark::Durable] {
            let disk = SimDisk::new(1);
            let options = small(SyncPolicy::Immediate).segment_bytes(64 << 10);
            let wal = open(&disk, &options);
            append(&wal, 3);
            wal.close().expect("nothing fails");
            let from = if begins_at_the_end { 3 } else { 0 };
            let mut follower = view(&disk).follow_with(from, mark).expect("it is there");
            (from..3).for_each(|number| is_entry(&mut follower, number));
            for life in 1..6 {
                let wal = open(&disk, &options);
                append(&wal, 3);
                wal.close().expect("nothing fails");
                (3 * life..3 * life + 3).for_each(|number| is_entry(&mut follower, number));
                is_pending(&mut follower);
            }
            assert_eq!(linked(&disk).len(), 1, "all of it in one segment");
        }
    }
}

/// A follower had read to the end. The end was cut off and written again, and then the front was dropped up to that
/// very end, with the LINK that told of the cut. The follower went on as if what it had read were that log.
#[test]
fn a_cut_is_told_though_the_segments_that_said_so_are_dropped() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 5);
    let mut follower = follow(&disk, 0);
    (0..5).for_each(|number| is_entry(&mut follower, number));
    wal.truncate_after(2).expect("nothing fails");
    (3..5).for_each(|number| assert_eq!(wal.append(&other(number)).expect("nothing fails"), number));
    wal.roll().expect("nothing fails");
    append(&wal, 1);
    wal.truncate_before(5).expect("nothing fails");
    assert_eq!(linked(&disk).len(), 1, "what was read and what was cut is gone");
    fails(&mut follower, ErrorKind::Truncated);
}

#[test]
fn a_front_that_is_dropped_up_to_the_place_is_no_cut() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 5);
    let mut follower = follow(&disk, 0);
    (0..5).for_each(|number| is_entry(&mut follower, number));
    wal.roll().expect("nothing fails");
    append(&wal, 1);
    wal.truncate_before(5).expect("nothing fails");
    assert_eq!(linked(&disk).len(), 1, "what was read is gone");
    is_entry(&mut follower, 5);
    is_pending(&mut follower);
}

/// A writer truncated every few milliseconds, on a machine that was busy. Each time that a follower looked, a segment
/// that it had just found in the list was gone when it opened it. After four looks it called that damage.
#[test]
fn segments_that_go_whenever_they_are_looked_at_are_no_damage() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate).recycle(false));
    append(&wal, 3);
    let left = Arc::new(AtomicU64::new(0));
    let anew = {
        let (wal, left) = (wal.clone(), Arc::clone(&left));
        move || {
            left.fetch_sub(1, Ordering::Relaxed);
            wal.truncate_after(3).expect("nothing fails");
            append(&wal, 1);
            wal.roll().expect("nothing fails");
            append(&wal, 1);
        }
    };
    let seam = {
        let (disk, left) = (disk.clone(), Arc::clone(&left));
        Seam::new(disk.clone(), move |call| {
            // What is read of the last segment says which one is in front of it, and that one is opened next.
            let is_last = |name: &str| linked(&disk).last().is_some_and(|last| last == name);
            if left.load(Ordering::Relaxed) > 0
                && matches!(call, Call::Read { name, offset: 0, .. } if is_last(name))
            {
                anew();
            }
            Ok(())
        })
    };
    let seen = Options::new().open_read_only_in(seam).expect("there is a log");
    let mut follower = seen.follow_with(0, Mark::Written).expect("it is there");
    (0..3).for_each(|number| is_entry(&mut follower, number));
    append(&wal, 1);
    is_entry(&mut follower, 3);
    for _ in 0..2 {
        wal.roll().expect("nothing fails");
        append(&wal, 1);
    }
    left.store(12, Ordering::Relaxed);
    (4..6).for_each(|number| is_entry(&mut follower, number));
    assert_eq!(left.load(Ordering::Relaxed), 0, "they went while it looked");
}

/// Truncations at both ends, rollovers and reopenings beside followers that begin again when they are told: no
/// false alarm, and every payload is one that has had this number.
#[test]
fn beside_truncations_there_is_no_false_alarm() {
    within(LIMIT, || {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let path = scratch.path().join("log");
        let options = Options::new().segment_bytes(SMALL).sync(SyncPolicy::Immediate);
        let wal = options.open(&path).expect("a new log");
        let done = Arc::new(AtomicBool::new(false));
        let followers: Vec<_> = (0..3)
            .map(|_| {
                let (path, done) = (path.clone(), Arc::clone(&done));
                thread::spawn(move || {
                    let (mut seen, mut told) = (0_u64, 0_u64);
                    while !done.load(Ordering::Relaxed) {
                        let beside = Options::new().open_read_only(&path).expect("it is there");
                        let mut follower = beside
                            .follow_with(beside.first(), Mark::Written)
                            .expect("it is there")
                            .every(OFTEN);
                        while !done.load(Ordering::Relaxed) {
                            let number = follower.position();
                            match follower.next_timeout(Duration::from_millis(5)) {
                                Poll::Pending => {}
                                Poll::Ready(None) => panic!("it never ends"),
                                Poll::Ready(Some(Ok(entry))) => {
                                    assert_eq!(entry.sequence(), number);
                                    assert!(entry.starts_with(&number.to_le_bytes()));
                                    seen += 1;
                                }
                                Poll::Ready(Some(Err(error))) => {
                                    let kind = error.kind();
                                    let expected = [ErrorKind::Truncated, ErrorKind::OutOfRange];
                                    assert!(expected.contains(&kind), "{error}");
                                    told += 1;
                                    break;
                                }
                            }
                        }
                    }
                    (seen, told)
                })
            })
            .collect();
        let begun = Instant::now();
        let mut wal = Some(wal);
        for round in 0_u64.. {
            if begun.elapsed() > Duration::from_secs(4) {
                break;
            }
            let open = wal.take().unwrap_or_else(|| options.open(&path).expect("it opens"));
            append(&open, 20);
            let (first, written) = (open.first(), open.written_end());
            match round % 4 {
                0 if written > first + 60 => {
                    open.truncate_before(written - 30).expect("nothing fails");
                }
                1 => open.truncate_after(written - 7).expect("nothing fails"),
                2 if round % 8 == 2 => {
                    open.close().expect("nothing fails");
                    continue;
                }
                _ => thread::sleep(Duration::from_millis(3)),
            }
            wal = Some(open);
        }
        done.store(true, Ordering::Relaxed);
        let seen: Vec<_> =
            followers.into_iter().map(|follower| follower.join().expect("it does not panic")).collect();
        assert!(seen.iter().all(|&(seen, _)| seen > 0), "{seen:?}");
        assert!(seen.iter().any(|&(_, told)| told > 0), "{seen:?}");
    });
}

// It was called corruption: the anchor was gone, and a removed directory lists nothing.
#[test]
fn a_log_that_is_removed_under_a_follower_or_a_view_is_no_log_and_no_damage() {
    for behind in [0, 4, 20] {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            append(&wal, 20);
            wal.sync().expect("nothing fails");
            let mut follower = follow(&disk, 0);
            (0..20 - behind).for_each(|number| is_entry(&mut follower, number));
            let seen = view(&disk);
            wal.close().expect("nothing fails");
            for name in disk.names() {
                disk.delete(&name);
            }
            // What it has open it may still hand out.
            let error = loop {
                match item(&mut follower) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("it ended without a word"),
                }
            };
            assert_eq!(error.kind(), ErrorKind::NoLog, "{behind} behind under {policy:?}: {error}");
            assert!(follower.next().is_none(), "it has ended");
            let error = seen.range(..).find_map(Result::err).expect("nothing is there");
            assert_eq!(error.kind(), ErrorKind::NoLog, "{error}");
        }
    }
}
