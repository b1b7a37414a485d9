//! Dropping the end of the log: old or new after a crash, told to whoever waits, and gone for good.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::bytes::{linked, segments};
use crate::common::ledger::payload;
use crate::common::{
    FEW_IMAGES, HALF, SMALL, contents, eio, enospc, every_setup, fault, is_poisoned, open, read, refused,
    small, view, within,
};
use wal::{Durability, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, SyncLoss, Times};

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);

type Payloads = Vec<Vec<u8>>;

/// Appends so many entries of so many bytes that were never appended before.
fn append(wal: &Wal, stamp: &mut u64, count: usize, bytes: usize) -> Payloads {
    let made: Payloads = (0..count)
        .map(|_| {
            *stamp += 1;
            payload(*stamp << 20, bytes)
        })
        .collect();
    for payload in &made {
        wal.append(payload).expect("nothing fails");
    }
    made
}

/// Three segments of two entries.
fn log_of_six(disk: &SimDisk, options: &Options) -> (Wal, Payloads) {
    let wal = open(disk, options);
    let entries = append(&wal, &mut 0, 6, HALF);
    assert_eq!(linked(disk).len(), 3);
    (wal, entries)
}

#[track_caller]
fn is_one_of(shown: &Payloads, logs: &[&[Vec<u8>]], what: &str) {
    assert!(logs.contains(&shown.as_slice()), "{what}: {} entries", shown.len());
}

#[test]
fn an_entry_in_front_of_the_first_one_cannot_be_the_last() {
    let disk = SimDisk::new(1);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    wal.truncate_before(3).expect("nothing fails");
    for last in [0, 2] {
        refused(wal.truncate_after(last), ErrorKind::OutOfRange);
    }
    assert!(contents(&wal) == entries[3..]);
    wal.truncate_after(3).expect("one entry stays");
    assert!(contents(&wal) == entries[3..4]);
}

#[test]
fn truncating_at_or_beyond_the_end_does_nothing() {
    let disk = SimDisk::new(2);
    let empty = open(&disk, &small(SyncPolicy::None));
    empty.truncate_after(0).expect("there is nothing to drop");
    let entries = append(&empty, &mut 0, 2, 10);
    let before = (disk.operations(), empty.durable_end());
    for last in [1, 2, u64::MAX] {
        empty.truncate_after(last).expect("there is nothing to drop");
    }
    assert_eq!((disk.operations(), empty.durable_end()), before, "nothing is written and nothing synced");
    assert!(contents(&empty) == entries);
}

#[test]
fn a_log_that_is_closed_or_poisoned_is_not_truncated() {
    let disk = SimDisk::new(3);
    let (wal, _) = log_of_six(&disk, &small(POLICY));
    let other = wal.clone();
    wal.close().expect("nothing fails");
    refused(other.truncate_after(1), ErrorKind::Closed);
    drop(other);
    let wal = open(&disk, &small(POLICY));
    wal.append(&[2]).expect("it begins a segment");
    disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::Error(eio())));
    refused(wal.append(&[3]), ErrorKind::Poisoned);
    disk.heal();
    refused(wal.truncate_after(1), ErrorKind::Poisoned);
}

#[test]
fn without_space_for_the_next_segment_the_log_stays_as_it_was() {
    let disk = SimDisk::new(4);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    // What may be prepared already is given up.
    drop(wal);
    let wal = open(&disk, &small(POLICY));
    for name in segments(&disk).iter().filter(|name| !linked(&disk).contains(name)) {
        disk.delete(name);
    }
    disk.space(Some(0));
    refused(wal.truncate_after(2), ErrorKind::NoSpace);
    assert!(contents(&wal) == entries);
    assert_eq!((wal.written_end(), wal.durable_end()), (6, 6));
    disk.space(None);
    wal.truncate_after(2).expect("there is space again");
    assert!(contents(&wal) == entries[..3]);
    drop(wal);
    assert!(contents(&open(&disk.power_cut_losing_everything(), &small(POLICY))) == entries[..3]);
}

/// A write fails, though all of it is stored, and then everything behind the last entry is dropped. Returns
/// whether the failed entry was in doubt.
fn rest_is_gone(entries: usize, gathers: bool, background: bool, nth: u64) -> bool {
    let what = format!("{entries} entries, buffered: {gathers}, threads: {background}, write {nth}");
    let disk = SimDisk::new(nth);
    let options = small(SyncPolicy::None).background(background);
    let options = if gathers { options.buffered(1 << 20) } else { options };
    let wal = open(&disk, &options);
    let kept = append(&wal, &mut 0, entries, HALF);
    wal.flush().expect("nothing fails");
    let stored = FaultEffect::PartialThenError(1 << 20, eio());
    disk.fail(fault(CallKind::Write, nth, Times::Once, stored));
    let told = wal.append_with(&payload(7, HALF), Durability::Written);
    disk.heal();
    if told.is_ok() {
        return false;
    }
    let in_doubt = contents(&open(&disk.kill(), &options)).len() > entries;
    if gathers {
        // Something stands where the failed entry stood, and has a number and no more.
        append(&wal, &mut 100, 1, 10);
    }
    wal.truncate_after(entries as u64 - 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(contents(&wal) == kept, "{what}");
    for image in disk.crash_images(FEW_IMAGES, nth).chain([disk.kill()]) {
        assert!(contents(&open(&image, &options)) == kept, "{what}: {}", image.origin());
    }
    let more = append(&wal, &mut 200, 1, HALF);
    wal.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(contents(&open(&disk, &options)) == [kept, more].concat(), "{what}");
    in_doubt
}

// A write failed when all of it was stored, and the entry was taken back. Then everything behind the last
// entry was dropped, which was found to be nothing. After a kill the failed entry was there.
#[test]
fn what_a_failed_write_has_left_behind_the_last_entry_does_not_come_back() {
    // The failed entry is one in the middle of a segment, or the first one of the next.
    for (entries, gathers) in [(1, false), (2, false), (1, true), (2, true)] {
        for background in [false, true] {
            let in_doubt = (0..4).filter(|&nth| rest_is_gone(entries, gathers, background, nth)).count();
            assert!(in_doubt > 0 || background, "{entries} entries, buffered: {gathers}");
        }
    }
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
    let (old, new) = (entries.as_slice(), &entries[..3]);
    disk.fail(fault(call, nth, times, with));
    let told = wal.truncate_after(2);
    disk.heal();
    let cut = wal.written_end() == 3;
    // A thread may sync while this looks at the images.
    let durable = usize::try_from(wal.durable_end()).expect("a few").max(3);
    if let Err(error) = &told {
        let known = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Poisoned];
        assert!(known.contains(&error.kind()), "{what}: {error:?}");
    } else {
        assert!(cut, "{what}");
    }
    // The power is cut now: it is old or new, and new for certain if that is what was said.
    for image in disk.crash_images(FEW_IMAGES, nth) {
        let shown = contents(&open(&image, &small(policy)));
        if told.is_ok() || cut {
            is_one_of(&shown, &[new], &what);
        } else {
            let ends: Vec<&[Vec<u8>]> = (durable..=6).map(|end| &old[..end]).chain([new]).collect();
            is_one_of(&shown, &ends, &what);
        }
    }
    if is_poisoned(&wal, &told, background) {
        refused(wal.append(&[1]), ErrorKind::Poisoned);
        return told.is_err();
    }
    // Appends go on, and then it is decided.
    let mut expected = if cut { new.to_vec() } else { old.to_vec() };
    assert!(contents(&wal) == expected, "{what}");
    expected.extend(append(&wal, &mut 100, 1, HALF));
    wal.sync().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(contents(&wal) == expected, "{what}");
    for image in disk.crash_images(FEW_IMAGES, nth) {
        is_one_of(&contents(&open(&image, &small(policy))), &[&expected], &what);
    }
    // And it can be cut once more.
    wal.truncate_after(1).unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(wal);
    assert!(contents(&open(&disk.power_cut_losing_everything(), &small(policy))) == entries[..2], "{what}");
    told.is_err()
}

#[test]
fn whichever_call_of_a_truncation_fails_it_is_told_and_the_log_is_old_or_new_and_goes_on() {
    within(LIMIT, || {
        let mut told = 0;
        let calls = [
            (CallKind::Create, 2),
            (CallKind::Remove, 4),
            (CallKind::Allocate, 2),
            (CallKind::Open, 3),
            (CallKind::Read, 3),
            (CallKind::Write, 5),
            (CallKind::SyncFile, 5),
            (CallKind::SyncDirectory, 3),
            (CallKind::Any, 24),
        ];
        for (policy, background) in every_setup() {
            for (call, count) in calls {
                let mut effects = vec![FaultEffect::Error(eio())];
                match call {
                    // All of it may be there, although it is said to have failed.
                    CallKind::Write => effects.extend(
                        [0, 40, 64, 9000].map(|stored| FaultEffect::PartialThenError(stored, enospc())),
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
        assert!(told > 100, "{told} were told");
    });
}

#[test]
fn a_failed_sync_of_the_link_poisons_and_a_failed_anchor_does_not() {
    let disk = SimDisk::new(5);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    // Of the next segment, of its LINK, and of the anchor. Instead of a file that waits and does not serve,
    // another one is used, and nobody is told.
    let options = small(POLICY).recycle(false);
    let mut seen = BTreeMap::new();
    for nth in 0..3 {
        let disk = disk.kill();
        let wal = open(&disk, &options);
        disk.fail(fault(CallKind::SyncFile, nth, Times::Once, FaultEffect::Error(eio())));
        let told = wal.truncate_after(2).expect_err("one of its syncs failed");
        seen.insert(nth, (told.kind(), wal.written_end()));
        disk.heal();
        if told.kind() != ErrorKind::Poisoned {
            wal.append(&[1]).expect("appends go on");
        }
    }
    drop(wal);
    let kinds: Vec<_> = seen.into_values().collect();
    let link = kinds.iter().position(|seen| *seen == (ErrorKind::Poisoned, 6)).expect("the LINK's");
    assert!(kinds[..link].iter().all(|seen| *seen == (ErrorKind::Io, 6)), "{kinds:?}");
    assert_eq!(kinds[link + 1], (ErrorKind::Io, 3), "the log is cut, and the anchor is owed");
    assert_eq!(entries.len(), 6);
}

#[test]
fn power_cut_at_any_operation_leaves_the_old_log_or_the_new_one() {
    for (policy, last) in
        [(POLICY, 0), (POLICY, 2), (POLICY, 4), (SyncPolicy::None, 3), (SyncPolicy::None, 4)]
    {
        let mut ended = false;
        for cut_at in 0.. {
            let disk = SimDisk::new(cut_at);
            let (wal, entries) = log_of_six(&disk, &small(policy));
            let (start, durable) = (disk.operations(), usize::try_from(wal.durable_end()).expect("a few"));
            disk.crash_at(start + cut_at);
            let told = wal.truncate_after(last);
            drop(wal);
            let kept = usize::try_from(last + 1).expect("a few");
            let new = &entries[..kept];
            // What is not durable may be lost, as ever.
            let old: Vec<&[Vec<u8>]> = (durable..=6).map(|end| &entries[..end]).chain([new]).collect();
            for image in disk.crash_images(FEW_IMAGES, cut_at) {
                let wal = open(&image, &small(policy));
                let shown = contents(&wal);
                let what = format!("{policy:?}, {last}, cut at {cut_at}: {}", image.origin());
                is_one_of(&shown, if told.is_ok() { std::slice::from_ref(&new) } else { &old }, &what);
                // And nothing is left in the way of what comes next.
                let more = append(&wal, &mut 50, 3, HALF);
                drop(wal);
                let again = contents(&open(&image.kill(), &small(policy)));
                assert!(again == [shown, more].concat(), "{what}");
            }
            if told.is_ok() && !disk.crashed() {
                ended = true;
                break;
            }
        }
        assert!(ended);
    }
}

// unisondb#216: entries of the same size as those that were cut off took their place, and after a crash the
// old ones were there.
#[test]
fn what_was_cut_off_never_comes_back_behind_entries_of_the_same_size() {
    for policy in [POLICY, SyncPolicy::None] {
        let disk = SimDisk::new(6);
        let (wal, entries) = log_of_six(&disk, &small(policy));
        wal.truncate_after(1).expect("nothing fails");
        let mut expected = entries[..2].to_vec();
        expected.extend(append(&wal, &mut 100, 2, HALF));
        let durable = usize::try_from(wal.durable_end()).expect("a few");
        let ends: Vec<&[Vec<u8>]> = (durable.max(2)..=4).map(|end| &expected[..end]).collect();
        for image in disk.crash_images(FEW_IMAGES, 6) {
            let wal = open(&image, &small(policy));
            is_one_of(&contents(&wal), &ends, "after a power cut");
            drop(wal);
            for _ in 0..3 {
                is_one_of(&contents(&open(&image, &small(policy))), &ends, "opened again");
            }
        }
        drop(wal);
    }
}

#[test]
fn a_log_that_is_truncated_and_opened_again_and_again_is_what_a_vector_would_be() {
    for segment_bytes in [SMALL, 1 << 20] {
        let disk = SimDisk::new(7);
        let options = small(POLICY).segment_bytes(segment_bytes);
        let mut expected: Payloads = Vec::new();
        let mut stamp = 0;
        for round in 0..60_u64 {
            let wal = open(&disk, &options);
            assert!(contents(&wal) == expected, "round {round}");
            expected.extend(append(&wal, &mut stamp, 1 + usize::try_from(round % 4).expect("small"), 700));
            if round % 3 != 0 {
                let last = expected.len() as u64 * (round % 7 + 1) / 8;
                wal.truncate_after(last).expect("nothing fails");
                expected.truncate(usize::try_from(last + 1).expect("small"));
            }
            if round % 5 == 0 {
                wal.truncate_after(expected.len() as u64 / 2).expect("nothing fails");
                expected.truncate(expected.len() / 2 + 1);
            }
            if round % 2 == 0 {
                wal.close().expect("nothing fails");
            }
            let verified = view(&disk).verify().expect("it can be read");
            assert!(verified.damages.is_empty(), "round {round}: {:?}", verified.damages);
            assert_eq!(verified.entries, expected.len() as u64, "round {round}");
        }
    }
}

#[test]
fn a_cut_in_the_middle_of_a_batch_keeps_what_is_in_front_of_it() {
    let disk = SimDisk::new(8);
    let wal = open(&disk, &small(POLICY));
    wal.append_batch([b"a", b"b", b"c", b"d"]).expect("nothing fails");
    wal.truncate_after(1).expect("nothing fails");
    assert!(contents(&wal) == [b"a", b"b"]);
    assert_eq!((wal.written_end(), wal.durable_end(), wal.last()), (2, 2, Some(1)));
    assert_eq!(wal.append(b"C").expect("nothing fails"), 2);
    drop(wal);
    let wal = open(&disk.power_cut_losing_everything(), &small(POLICY));
    assert!(contents(&wal) == [b"a", b"b", b"C"]);
    let seen = view(&disk);
    let segments: Vec<_> = seen.segments().map(|segment| segment.sequences).collect();
    assert_eq!(segments, [0..2, 2..3]);
}

#[test]
fn truncated_twice_the_log_ends_where_it_was_said_last() {
    let disk = SimDisk::new(9);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    for last in [4, 3, 3, 0] {
        wal.truncate_after(last).expect("nothing fails");
        let kept = usize::try_from(last + 1).expect("a few");
        assert!(contents(&wal) == entries[..kept]);
        for image in disk.crash_images(FEW_IMAGES, last) {
            assert!(contents(&open(&image, &small(POLICY))) == entries[..kept]);
        }
    }
    assert_eq!(linked(&disk).len(), 2, "what was skipped is removed: {:?}", segments(&disk));
}

#[test]
fn a_reader_keeps_the_log_that_it_has_and_its_files_until_it_is_gone() {
    for mapped in [true, false] {
        let disk = SimDisk::new(10);
        let options = small(POLICY).mapped_reads(mapped);
        let (wal, entries) = log_of_six(&disk, &options);
        let mut begun = wal.read_from(0).expect("the log is open");
        let not_begun = wal.read_from(0).expect("the log is open");
        begun.next().expect("an entry").expect("it is whole");
        wal.truncate_after(2).expect("nothing fails");
        let more = append(&wal, &mut 100, 4, HALF);
        let expected = [&entries[..3], &more].concat();
        // Who comes now maps less of the second segment than those who came before.
        assert!(contents(&wal) == expected);
        assert!(read(not_begun).0 == entries, "from its start");
        let (rest, error) = read(begun);
        assert!(error.is_none() && rest == entries[1..], "{error:?}");
        assert!(contents(&wal) == expected);
        let before = linked(&disk).len();
        wal.close().expect("nothing fails");
        assert!(linked(&disk).len() < before, "nobody needs the third segment any more");
        assert!(contents(&open(&disk, &options)) == expected);
    }
}

#[test]
fn what_a_truncation_could_not_remove_is_removed_by_the_next_open_and_foreign_files_are_not() {
    let disk = SimDisk::new(11);
    let (wal, entries) = log_of_six(&disk, &small(POLICY));
    for call in [CallKind::Remove, CallKind::Rename] {
        disk.fail(fault(call, 0, Times::Forever, FaultEffect::Error(eio())));
    }
    wal.truncate_after(1).expect("the log is cut all the same");
    drop(wal);
    disk.heal();
    assert_eq!(linked(&disk).len(), 4);
    let foreign = crate::common::bytes::segment_name(3);
    disk.put(&foreign, b"something else");
    for _ in 0..2 {
        assert!(contents(&open(&disk, &small(POLICY))) == entries[..2]);
        let left: Vec<_> = [1, 3, 4].map(crate::common::bytes::segment_name).into();
        assert_eq!(segments(&disk), left);
    }
}

#[test]
fn whoever_waits_for_what_was_cut_off_is_told() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(12);
            let wal = open(&disk, &small(policy).background(background));
            let commits: Vec<_> = (0..5)
                .map(|n| wal.submit_with(&[n; 9], Durability::Durable).expect("nothing fails"))
                .collect();
            let (front, beyond) = (wal.until_durable(1), wal.until_durable(7));
            let waits = thread::spawn(move || (front.wait(), beyond.wait()));
            wal.truncate_after(2).expect("nothing fails");
            assert_eq!((wal.written_end(), wal.durable_end()), (3, 3), "{policy:?} {background}");
            for (n, commit) in commits.into_iter().enumerate() {
                match commit.wait() {
                    Ok(number) => assert_eq!(number, n as u64),
                    // What was durable before it was cut off, stays said.
                    Err(error) => assert!(n > 2 && error.kind() == ErrorKind::Truncated, "{n}: {error:?}"),
                }
            }
            let (front, beyond) = waits.join().expect("it does not panic");
            front.expect("it is durable");
            refused(beyond, ErrorKind::Truncated);
            assert_eq!(wal.append(b"on").expect("nothing fails"), 3);
            let entries = contents(&wal);
            assert!(entries[..3] == [[0; 9], [1; 9], [2; 9]] && entries[3] == b"on");
        }
    });
}

#[test]
fn without_threads_everything_submitted_behind_the_cut_is_told_truncated() {
    let disk = SimDisk::new(13);
    let wal = open(&disk, &small(POLICY));
    let commits: Vec<_> = (0..5).map(|n| wal.submit(&[n; 9]).expect("nothing fails")).collect();
    wal.truncate_after(2).expect("nothing fails");
    for (n, commit) in commits.into_iter().enumerate() {
        if n <= 2 {
            assert_eq!(commit.wait().expect("it is durable"), n as u64);
        } else {
            refused(commit.wait(), ErrorKind::Truncated);
        }
    }
    // What nobody has written by now is never written.
    let commit = wal.submit(b"never").expect("nothing fails");
    wal.truncate_after(2).expect("nothing fails");
    refused(commit.wait(), ErrorKind::Truncated);
    assert!(contents(&wal) == [[0; 9], [1; 9], [2; 9]]);
}

#[test]
fn what_has_gathered_in_a_buffer_is_cut_off_as_what_is_written() {
    let disk = SimDisk::new(14);
    let options = small(SyncPolicy::None).buffered(4000);
    let wal = open(&disk, &options);
    for n in 0..5 {
        wal.append(&[n; 30]).expect("nothing fails");
    }
    assert_eq!(wal.written_end(), 0);
    wal.truncate_after(1).expect("nothing fails");
    assert_eq!((wal.written_end(), wal.durable_end()), (2, 2));
    for n in 7..9 {
        wal.append(&[n; 30]).expect("nothing fails");
    }
    // In front of everything that is not written.
    wal.truncate_after(1).expect("nothing fails");
    wal.append(&[9; 30]).expect("nothing fails");
    wal.close().expect("nothing fails");
    assert!(contents(&open(&disk, &options)) == [[0; 30], [1; 30], [9; 30]]);
}

#[test]
fn appenders_and_truncations_together_leave_a_log_that_each_of_them_agrees_with() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(15);
            let options = small(policy).background(background);
            let wal = open(&disk, &options);
            // By number, what was acknowledged last under it.
            let acknowledged = Mutex::new(BTreeMap::new());
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let appenders: Vec<_> = (0..3_u64)
                    .map(|thread| {
                        let (wal, acknowledged) = (wal.clone(), &acknowledged);
                        scope.spawn(move || {
                            for n in 0..150 {
                                let bytes =
                                    payload(thread << 32 | n, 60 + usize::try_from(n).expect("small"));
                                match wal.append(&bytes) {
                                    Ok(number) => {
                                        let mut all = acknowledged.lock().expect("nobody panics");
                                        all.entry(number).or_insert_with(Vec::new).push(bytes);
                                    }
                                    Err(error) => assert_eq!(error.kind(), ErrorKind::Truncated, "{error}"),
                                }
                            }
                        })
                    })
                    .collect();
                let (truncating, over) = (wal.clone(), &done);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let written = truncating.written_end();
                        if written > 2 {
                            truncating.truncate_after(written - 2).expect("nothing fails");
                        }
                        thread::sleep(Duration::from_micros(300));
                    }
                });
                for appender in appenders {
                    appender.join().expect("it does not panic");
                }
                done.store(true, Ordering::Relaxed);
            });
            let shown = contents(&wal);
            wal.close().expect("nothing fails");
            assert!(contents(&open(&disk.power_cut_losing_everything(), &options)) == shown, "{policy:?}");
            let acknowledged = acknowledged.into_inner().expect("nobody panics");
            for (number, payload) in shown.iter().enumerate() {
                // An append may have been told that it was truncated after it, too.
                let known = acknowledged.get(&(number as u64)).is_none_or(|all| all.contains(payload));
                assert!(known, "{policy:?}: nobody was told that entry {number} is this");
            }
        }
    });
}
