//! The hot paths allocate nothing on the thread that calls: counted by the allocator, per thread.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

use std::path::Path;
use std::time::Duration;

use wal::{Commit, Durability, Options, SyncPolicy, Wal};
use wal_testing::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u64 = 1000;
const APPENDS: u64 = 100_000;
const ROLLOVERS: u64 = 10;
const SEGMENT: u64 = 1 << 20;

/// In memory where there is such a place: this is about allocations, and a hundred thousand syncs of a
/// disk take long.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// Warms up, then counts what `appends` allocates on this thread; it is given how many entries to append.
fn count(options: &Options, entries_a_call: u64, mut append: impl FnMut(&Wal)) -> u64 {
    let scratch = scratch();
    let wal = options.clone().segment_bytes(SEGMENT).open(scratch.path().join("log")).expect("a new log");
    for _ in 0..WARM_UP {
        append(&wal);
    }
    let before = wal.stats();
    let (counted, ()) = allocations(|| {
        for _ in 0..APPENDS / entries_a_call {
            append(&wal);
        }
    });
    wal.flush().expect("nothing fails");
    let after = wal.stats();
    assert!(after.appended_entries - before.appended_entries >= APPENDS - entries_a_call);
    assert!(after.rollovers - before.rollovers >= ROLLOVERS, "{} rollovers", after.rollovers);
    wal.close().expect("nothing fails");
    counted
}

fn policies() -> [SyncPolicy; 4] {
    [
        SyncPolicy::None,
        SyncPolicy::Immediate,
        SyncPolicy::periodic(1000, Duration::from_millis(10)),
        SyncPolicy::default(),
    ]
}

const PAYLOAD: [u8; 120] = [7; 120];

#[test]
fn an_append_allocates_nothing_under_any_policy_across_rollovers() {
    for policy in policies() {
        let counted = count(&Options::new().sync(policy), 1, |wal| {
            wal.append(&PAYLOAD).expect("nothing fails");
        });
        assert_eq!(counted, 0, "{policy:?}");
    }
}

#[test]
fn a_batch_allocates_nothing_however_many_entries_it_has() {
    for entries in [2, 64, 65, 1000] {
        let batch = vec![PAYLOAD; entries];
        let counted = count(&Options::new().sync(SyncPolicy::None), entries as u64, |wal| {
            wal.append_batch(&batch).expect("nothing fails");
        });
        assert_eq!(counted, 0, "batches of {entries}");
    }
}

#[test]
fn a_commit_that_is_waited_for_allocates_nothing() {
    let counted = count(&Options::new(), 1, |wal| {
        let commit: Commit = wal.submit(&PAYLOAD).expect("nothing fails");
        commit.wait().expect("nothing fails");
    });
    assert_eq!(counted, 0);
}

#[test]
fn an_append_with_another_promise_and_a_buffered_one_allocate_nothing() {
    let counted = count(&Options::new().sync(SyncPolicy::None), 1, |wal| {
        wal.append_with(&PAYLOAD, Durability::Durable).expect("nothing fails");
    });
    assert_eq!(counted, 0, "durable under none");
    let counted = count(&Options::new().sync(SyncPolicy::None).buffered(64 << 10), 1, |wal| {
        wal.append(&PAYLOAD).expect("nothing fails");
    });
    assert_eq!(counted, 0, "buffered");
}

#[test]
fn a_rollover_into_a_file_that_was_used_before_allocates_nothing() {
    for policy in policies() {
        let scratch = scratch();
        let options = Options::new().sync(policy).segment_bytes(SEGMENT);
        let wal = options.open(scratch.path().join("log")).expect("a new log");
        let mut counted = 0;
        for _ in 0..ROLLOVERS + 4 {
            let (allocated, ()) = allocations(|| {
                for _ in 0..SEGMENT / 200 {
                    wal.append(&PAYLOAD).expect("nothing fails");
                }
            });
            // The first ones fill what is used again later.
            counted += if wal.stats().recycled_segments > 0 { allocated } else { 0 };
            wal.truncate_before(wal.written_end() - 1).expect("nothing fails");
        }
        let stats = wal.stats();
        assert_eq!(counted, 0, "{policy:?}");
        assert!(stats.recycled_segments > 2, "{} of {}", stats.recycled_segments, stats.rollovers);
    }
}

#[test]
fn threads_that_share_a_sync_allocate_nothing() {
    let scratch = scratch();
    let wal = Options::new().segment_bytes(SEGMENT).open(scratch.path().join("log")).expect("a new log");
    let counted: u64 = std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let append = |count: u64| {
                        (0..count).for_each(|_| {
                            wal.append(&PAYLOAD).expect("nothing fails");
                        });
                    };
                    append(WARM_UP);
                    allocations(|| append(APPENDS / 4)).0
                })
            })
            .collect();
        appenders.into_iter().map(|appender| appender.join().expect("no panic")).sum()
    });
    assert_eq!(counted, 0, "allocations in {APPENDS} appends of four threads");
    assert!(wal.stats().rollovers >= ROLLOVERS);
}

/// A log of so many entries, the last segment with some.
fn filled(scratch: &Path) -> Wal {
    let options = Options::new().sync(SyncPolicy::None).segment_bytes(SEGMENT);
    let wal = options.open(scratch.join("log")).expect("a new log");
    for _ in 0..APPENDS {
        wal.append(&PAYLOAD).expect("nothing fails");
    }
    wal.sync().expect("nothing fails");
    wal
}

fn bytes(entries: impl Iterator<Item = Result<wal::Entry, wal::Error>>) -> u64 {
    entries.map(|entry| entry.expect("a good entry").payload().len() as u64).sum()
}

#[test]
fn reading_allocates_for_segments_and_never_for_entries() {
    let scratch = scratch();
    let wal = filled(scratch.path());
    let segments = wal.stats().segments;
    let all = || wal.range(..).expect("the log is open");
    let (mut forward, mut backward) = (all(), all().rev());
    for (what, (counted, read)) in
        [("forward", allocations(|| bytes(&mut forward))), ("backward", allocations(|| bytes(&mut backward)))]
    {
        assert_eq!(read, APPENDS * PAYLOAD.len() as u64);
        assert!(
            counted <= 32 * segments,
            "{what}: {counted} allocations for {APPENDS} entries in {segments} segments"
        );
    }
    wal.close().expect("nothing fails");
}

#[test]
fn a_reader_that_lends_allocates_nothing_within_a_segment_one_by_one_or_in_batches() {
    let scratch = scratch();
    let wal = filled(scratch.path());
    // In the middle of a closed segment, and at the end of the one that takes appends.
    for entries in [50_000..51_000, APPENDS - 300..APPENDS] {
        for batches in [false, true] {
            let mut reader = wal.reader(entries.clone()).expect("the log is open");
            for _ in 0..10 {
                assert!(reader.next().expect("a good entry").is_some());
            }
            let (counted, read) = allocations(|| {
                let mut read = 0;
                if batches {
                    while let Some(batch) = reader.next_batch().expect("good entries") {
                        read += batch.map(|entry| entry.len() as u64).sum::<u64>();
                    }
                } else {
                    while let Some(entry) = reader.next().expect("a good entry") {
                        read += entry.len() as u64;
                    }
                }
                read
            });
            assert_eq!(read, (entries.end - entries.start - 10) * PAYLOAD.len() as u64);
            assert_eq!(counted, 0, "{entries:?}, in batches: {batches}");
        }
    }
    let segments = wal.stats().segments;
    let mut reader = wal.reader(..).expect("the log is open");
    let (counted, ()) = allocations(|| while reader.next_batch().expect("good entries").is_some() {});
    assert!(counted <= 32 * segments, "{counted} allocations for {APPENDS} entries in {segments} segments");
    wal.close().expect("nothing fails");
}

#[test]
fn reading_within_a_segment_allocates_nothing() {
    let scratch = scratch();
    let wal = filled(scratch.path());
    // In the middle of a closed segment, and at the end of the one that takes appends.
    for entries in [50_000..51_000, APPENDS - 300..APPENDS] {
        let range = || wal.range(entries.clone()).expect("the log is open");
        let (mut forward, mut backward) = (range(), range());
        bytes(forward.by_ref().take(10));
        bytes(backward.by_ref().rev().take(10));
        let (counted, _) = allocations(|| bytes(&mut forward));
        assert_eq!(counted, 0, "{entries:?} forward");
        // The places of the frames of a stretch are held in a list, which may have to grow.
        let (counted, _) = allocations(|| bytes(backward.by_ref().rev()));
        assert!(counted <= 2, "{counted} allocations for {entries:?} backward");
    }
    wal.close().expect("nothing fails");
}

#[test]
fn a_read_of_one_entry_allocates_nothing_in_any_segment() {
    let scratch = scratch();
    let wal = filled(scratch.path());
    // Closed segments alone, then the last one among them.
    for numbers in [0..APPENDS / 2, 0..APPENDS] {
        let read = || numbers.clone().rev().step_by(7).map(|number| wal.read(number));
        bytes(read());
        let (counted, _) = allocations(|| bytes(read()));
        assert_eq!(counted, 0, "{numbers:?}");
    }
    assert!(wal.stats().segments < 64, "all of them stay open");
    wal.close().expect("nothing fails");
}

#[test]
fn a_follower_allocates_for_segments_and_never_for_entries() {
    let scratch = scratch();
    let wal = filled(scratch.path());
    let segments = wal.stats().segments;
    let mut follower = wal.follow(0).expect("the log is open");
    let mut follow = |entries: u64| {
        let followed = follower.by_ref().take(usize::try_from(entries).expect("small"));
        assert_eq!(bytes(followed), entries * PAYLOAD.len() as u64);
    };
    follow(WARM_UP);
    let (counted, ()) = allocations(|| follow(1000));
    assert_eq!(counted, 0, "within a segment that is mapped");
    let (counted, ()) = allocations(|| follow(APPENDS - WARM_UP - 1000));
    assert!(counted <= 32 * segments, "{counted} allocations for {APPENDS} entries in {segments} segments");
    // Each entry is read as it comes, into the memory of the one before.
    let mut append_and_follow = |entries: u64| {
        for _ in 0..entries {
            wal.append_with(&PAYLOAD, Durability::Durable).expect("nothing fails");
            follow(1);
        }
    };
    append_and_follow(10);
    let (counted, ()) = allocations(|| append_and_follow(1000));
    assert_eq!(counted, 0, "at the end of the log");
    wal.close().expect("nothing fails");
}
