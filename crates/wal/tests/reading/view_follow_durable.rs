//! A follower of a view hands out what is durable, as one of the log does, unless it is asked for what is written: what it
//! has handed out no loss of power takes back, and what becomes durable it hands out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::bytes::linked;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{
    EVERY_POLICY, FEW_IMAGES, contents, eio, every_setup, fault, open, refused, small, view, within,
};
use wal::{ErrorKind, Mark, Options, SyncPolicy, ViewFollower, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const LIMIT: Duration = Duration::from_secs(60);

fn append(wal: &Wal, count: u64) {
    for _ in 0..count {
        let number = wal.written_end();
        wal.append(&payload(number, usize::try_from(number * 37 % 700).expect("small")))
            .expect("nothing fails");
    }
}

/// What the follower has now. A look may find out only that there is more to be looked at.
fn drain(follower: &mut ViewFollower, seen: &mut Vec<Vec<u8>>) {
    for _ in 0..3 {
        while let Poll::Ready(item) = follower.try_next() {
            let entry = item.expect("it has not ended").expect("nothing fails");
            seen.push(entry.to_vec());
        }
    }
}

fn numbers(follower: &mut ViewFollower) -> u64 {
    drain(follower, &mut Vec::new());
    position(follower)
}

fn position(follower: &ViewFollower) -> u64 {
    follower.position()
}

#[track_caller]
fn survives(disk: &SimDisk, first: u64, seen: &[Vec<u8>], what: &str) {
    let begin = usize::try_from(first).expect("small");
    let kept = contents(&open(disk, &small(SyncPolicy::Immediate)));
    let kept = kept.get(begin..).unwrap_or_default();
    assert!(
        kept.starts_with(seen),
        "{what}: {} handed out, {} kept\n{}",
        seen.len(),
        kept.len(),
        disk.origin()
    );
}

/// An index in another process was fed by `View::follow`. It held entries that were written and not synced; power was
/// lost, the log was opened again, and other entries got their numbers. The follower of the log itself, of the same
/// name, had never handed them out.
#[test]
fn a_power_cut_never_takes_back_what_a_follower_has_handed_out() {
    for policy in EVERY_POLICY {
        for seed in 0..6_u64 {
            let disk = SimDisk::new(seed);
            let options = small(policy);
            let mut wal = open(&disk, &options);
            let mut followers = vec![(0, view(&disk).follow(0).expect("an empty log"), Vec::new())];
            for step in 0..40_u64 {
                let what = format!("{policy:?}, seed {seed}, step {step}");
                match (seed * 31 + step * 7) % 11 {
                    0 => wal.sync().expect("nothing fails"),
                    1 => wal.flush().expect("nothing fails"),
                    2 if step % 3 == 0 => wal.roll().expect("nothing fails"),
                    3 if step % 4 == 0 => {
                        drop(wal);
                        wal = open(&disk, &options);
                    }
                    4 if step % 4 == 0 => {
                        wal.close().expect("nothing fails");
                        wal = open(&disk, &options);
                    }
                    // One that begins in the middle, where entries are written that are not durable.
                    5 => {
                        let first = wal.written_end() / 2;
                        followers.push((first, view(&disk).follow(first).expect("it is there"), Vec::new()));
                    }
                    _ => append(&wal, 1 + step % 3),
                }
                for (first, follower, seen) in &mut followers {
                    drain(follower, seen);
                    assert!(seen.is_empty() || position(follower) <= wal.durable_end(), "{what}");
                    survives(&disk.power_cut_losing_everything(), *first, seen, &what);
                }
                if step % 8 == 7 {
                    for image in disk.crash_images(FEW_IMAGES, seed).take(20) {
                        for (first, _, seen) in &followers {
                            survives(&image, *first, seen, &what);
                        }
                    }
                }
            }
            wal.close().expect("nothing fails");
            let all = contents(&open(&disk, &options));
            for (first, follower, seen) in &mut followers {
                drain(follower, seen);
                assert!(all[usize::try_from(*first).expect("small")..] == seen[..], "{policy:?}: all of it");
            }
        }
    }
}

#[test]
fn under_none_nothing_is_handed_out_that_was_not_synced() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None).segment_bytes(1 << 20));
    let mut follower = view(&disk).follow(0).expect("an empty log");
    assert_eq!(follower.mark(), Mark::Durable);
    append(&wal, 5);
    assert_eq!(numbers(&mut follower), 0, "written alone");
    // One that begins when they are written already, within them.
    let mut within = view(&disk).follow(3).expect("it is written");
    let mut written = view(&disk).follow_with(0, Mark::Written).expect("it is written");
    assert_eq!(written.mark(), Mark::Written);
    assert_eq!((numbers(&mut within), numbers(&mut written)), (3, 5));
    append(&wal, 1);
    assert_eq!((numbers(&mut follower), numbers(&mut within), numbers(&mut written)), (0, 3, 6));
    // The first sync in a segment is put into the anchor.
    wal.sync().expect("nothing fails");
    assert_eq!((numbers(&mut follower), numbers(&mut within)), (6, 6), "no frame came, the anchor did");
    append(&wal, 4);
    assert_eq!((numbers(&mut follower), numbers(&mut within), numbers(&mut written)), (6, 6, 10));
    // The next one is stated by the frame that comes next.
    wal.sync().expect("nothing fails");
    assert_eq!(numbers(&mut written), 10);
    append(&wal, 1);
    assert_eq!((numbers(&mut follower), numbers(&mut within), numbers(&mut written)), (10, 10, 11));
    // A rollover makes durable what came before, and the LINK of the next segment states it.
    wal.roll().expect("nothing fails");
    append(&wal, 1);
    assert_eq!((numbers(&mut follower), numbers(&mut within), numbers(&mut written)), (11, 11, 12));
    wal.close().expect("nothing fails");
    assert_eq!((numbers(&mut follower), numbers(&mut within)), (12, 12), "closed");
}

#[test]
fn what_a_killed_writer_has_left_is_handed_out_once_an_open_has_made_it_durable() {
    for policy in [SyncPolicy::None, SyncPolicy::Immediate] {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        append(&wal, 5);
        let mut follower = view(&disk).follow(0).expect("it is there");
        let before = numbers(&mut follower);
        assert!(before < 5, "{policy:?}: the last one is not stated at once");
        drop(wal);
        assert_eq!(numbers(&mut follower), before, "{policy:?}: killed");
        let wal = open(&disk, &small(policy));
        assert_eq!(numbers(&mut follower), 5, "{policy:?}: opened again");
        // In the same segment: what comes is stated by what follows it.
        append(&wal, 2);
        assert!(numbers(&mut follower) <= wal.durable_end(), "{policy:?}");
        wal.close().expect("nothing fails");
        assert_eq!(numbers(&mut follower), 7, "{policy:?}");
    }
}

#[test]
fn with_threads_what_is_synced_is_handed_out_within_a_second_or_two_though_nothing_follows() {
    within(LIMIT, || {
        for on_disk in [true, false] {
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let path = scratch.path().join("log");
            let disk = SimDisk::new(1);
            let options = Options::new().sync(SyncPolicy::Immediate);
            let wal = if on_disk { options.open(&path) } else { options.open_in(Arc::new(disk.clone())) };
            let wal = wal.expect("a new log");
            let beside = if on_disk {
                Options::new().open_read_only(&path).expect("it is there")
            } else {
                view(&disk)
            };
            let mut follower = beside.follow(0).expect("an empty log").every(Duration::from_millis(1));
            append(&wal, 9);
            let begun = Instant::now();
            for number in 0..9 {
                let entry = follower.next().expect("it never ends").expect("nothing fails");
                assert_eq!(entry.sequence(), number);
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    });
}

#[test]
fn it_sees_each_entry_once_over_rollovers_closes_kills_and_reopens_under_every_policy() {
    for (policy, background) in every_setup() {
        let disk = SimDisk::new(1);
        let options = small(policy).background(background);
        drop(open(&disk, &options));
        let (mut follower, mut seen) = (view(&disk).follow(0).expect("an empty log"), Vec::new());
        for life in 0..30_u64 {
            let wal = open(&disk, &options);
            append(&wal, if life % 10 == 9 { 40 } else { 1 });
            drain(&mut follower, &mut seen);
            if life % 2 == 0 {
                drop(wal);
            } else {
                wal.close().expect("nothing fails");
            }
            drain(&mut follower, &mut seen);
        }
        let wal = open(&disk, &options);
        drain(&mut follower, &mut seen);
        assert!(
            contents(&wal) == seen,
            "{policy:?}, threads: {background}: {} of {}",
            seen.len(),
            wal.written_end()
        );
    }
}

/// A follower knew entries that were written and that it did not hand out. They were cut off, and others got their
/// numbers.
#[test]
fn what_is_cut_off_behind_it_is_not_handed_out_though_it_was_known() {
    for last in [4, 5, 9, 14, 18, 19] {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::None).segment_bytes(1 << 20));
        append(&wal, 5);
        wal.sync().expect("nothing fails");
        let batch: Vec<_> = (5..20).map(|number| payload(number, 40)).collect();
        wal.append_batch(batch).expect("nothing fails");
        let (mut follower, mut seen) = (view(&disk).follow(0).expect("it is there"), Vec::new());
        drain(&mut follower, &mut seen);
        assert_eq!(seen.len(), 5);
        wal.truncate_after(last).expect("nothing fails");
        for number in last + 1..25 {
            wal.append(&payload(1000 + number, 50)).expect("nothing fails");
        }
        wal.close().expect("nothing fails");
        drain(&mut follower, &mut seen);
        assert!(contents(&open(&disk, &small(SyncPolicy::None))) == seen, "cut behind {last}");
    }
}

/// The entry whose sync failed may be gone, and nothing says that it is durable.
#[test]
fn what_a_failed_sync_has_left_in_doubt_is_not_handed_out() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    append(&wal, 5);
    let mut follower = view(&disk).follow(0).expect("it is there");
    disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::Error(eio())));
    refused(wal.append(b"in doubt"), ErrorKind::Poisoned);
    // Its frame states what was durable before it.
    assert_eq!(numbers(&mut follower), 5);
    drop(wal);
    assert_eq!(numbers(&mut follower), 5);
}

/// The part that is written and not durable lies between the follower and the damage.
#[test]
fn it_does_not_wait_for_ever_in_front_of_damage() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None).segment_bytes(1 << 20));
    append(&wal, 3);
    wal.sync().expect("nothing fails");
    append(&wal, 3);
    drop(wal);
    // A file with the number behind the next one: one in between is missing.
    let name = linked(&disk).pop().expect("a segment");
    let bytes = disk.contents(&name).expect("it is there");
    disk.put(&crate::common::bytes::segment_name(4), &bytes);
    let beside = view(&disk);
    for mark in [Mark::Written, Mark::Durable] {
        let mut follower = beside.follow_with(0, mark).expect("it is there");
        let error = loop {
            match follower.next_timeout(Duration::from_secs(5)) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => break error,
                other => panic!("{mark:?}: {other:?} at {}", follower.position()),
            }
        };
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing), "{error}");
    }
}

/// A writer under `none` is far ahead, and nothing becomes durable: a look stays small.
#[test]
fn what_is_written_and_not_durable_is_read_little_and_once() {
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let disk = SimDisk::new(1);
    let seam = Seam::new(disk.clone(), move |call| {
        if let Call::Read { bytes, .. } = call {
            counted.fetch_add(bytes as u64, Ordering::SeqCst);
        }
        Ok(())
    });
    let wal = open(&disk, &small(SyncPolicy::None).segment_bytes(8 << 20));
    append(&wal, 10);
    let mut follower = Options::new().open_read_only_in(seam).expect("a log").follow(0).expect("it is there");
    assert_eq!(numbers(&mut follower), 0);
    reads.store(0, Ordering::SeqCst);
    let before = disk.contents(&crate::common::bytes::segment_name(1)).map_or(0, |bytes| bytes.len());
    let end = || wal.stats().appended_bytes;
    let appended = end();
    append(&wal, 1000);
    let appended = end() - appended;
    assert_eq!(numbers(&mut follower), 0);
    let read = reads.swap(0, Ordering::SeqCst);
    assert!(
        before > 0 && read < 2 * appended + (1 << 20),
        "{read} bytes read for {appended} that were appended"
    );
    for _ in 0..10 {
        assert!(follower.try_next().is_pending());
    }
    let idle = reads.swap(0, Ordering::SeqCst);
    assert!(idle < 10 * (32 << 10), "{idle} bytes read for ten looks");
    wal.sync().expect("nothing fails");
    append(&wal, 1);
    assert_eq!(numbers(&mut follower), 1010);
}

#[test]
fn the_interval_is_a_setting_of_the_follower_and_has_a_lower_bound() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("log");
    let wal = Options::new().sync(SyncPolicy::Immediate).open(&path).expect("a new log");
    let beside = Options::new().open_read_only(&path).expect("it is there");
    let mut follower = beside.follow(0).expect("an empty log").every(Duration::from_secs(3600));
    let begun = Instant::now();
    assert!(follower.next_timeout(Duration::from_millis(30)).is_pending());
    assert!((30..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let follower = beside.follow_with(0, Mark::Written).expect("an empty log");
    let mut follower = follower.every(Duration::ZERO);
    let waits = thread::spawn(move || follower.next().map(|entry| entry.map(|entry| entry.sequence())));
    append(&wal, 1);
    assert!(matches!(waits.join().expect("it does not panic"), Some(Ok(0))));
}
