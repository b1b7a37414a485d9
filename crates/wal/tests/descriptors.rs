//! A process has few descriptors, and segments that stay open for readers take one each.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::seam::{Call, Seam};
use common::{contents, large, small};
use wal::{ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const TOO_MANY_OPEN_FILES: i32 = 24;

/// The descriptors of one process.
struct Descriptors {
    free: Arc<AtomicI64>,
    refused: Arc<AtomicI64>,
    most: i64,
    _alone: MutexGuard<'static, ()>,
}

/// The logs of a process know of each other, and these tests are one process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Descriptors {
    fn new(most: i64) -> Descriptors {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (free, refused) = (Arc::new(AtomicI64::new(most)), Arc::new(AtomicI64::new(0)));
        Descriptors { free, refused, most, _alone: alone }
    }

    fn taken(&self) -> i64 {
        self.most - self.free.load(Ordering::SeqCst)
    }

    /// A directory whose files take them; it says how many there are if it is `told`.
    fn directory(&self, disk: SimDisk, told: bool) -> Arc<Seam> {
        let (free, refused) = (Arc::clone(&self.free), Arc::clone(&self.refused));
        let most = told.then(|| self.most.unsigned_abs());
        Seam::with_max_open_files(disk, most, move |call| {
            match call {
                Call::Descriptor if free.fetch_sub(1, Ordering::SeqCst) <= 0 => {
                    free.fetch_add(1, Ordering::SeqCst);
                    refused.fetch_add(1, Ordering::SeqCst);
                    return Err(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES));
                }
                Call::Closed => {
                    free.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// The application takes all but so many.
    fn leave(&self, left: i64) {
        self.free.store(left, Ordering::SeqCst);
    }
}

fn options() -> Options {
    small(SyncPolicy::None)
}

/// A disk with a log of some hundred segments.
fn long_log(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let wal = common::open(&disk, &options());
    for number in 0..ENTRIES {
        wal.append(&large(number)).expect("nothing fails");
    }
    assert!(wal.stats().segments > 100);
    disk
}

const ENTRIES: u64 = 250;

fn holds(wal: &Wal, count: u64) {
    assert_eq!(contents(wal), (0..count).map(large).collect::<Vec<_>>());
}

// Idle segments of the log's own readers had the descriptors: the replay failed, and then every append that needed a
// segment, for as long as the process lived.
#[test]
fn a_log_of_any_length_is_replayed_and_goes_on_with_few_descriptors() {
    let disk = long_log(1);
    let descriptors = Descriptors::new(16);
    let wal = options().open_in(descriptors.directory(disk, false)).expect("enough for an open");
    holds(&wal, ENTRIES);
    assert!(descriptors.refused.load(Ordering::SeqCst) > 5, "there were enough");
    for number in ENTRIES..2 * ENTRIES {
        wal.append(&large(number)).expect("idle segments are closed");
        if number % 16 == 0 {
            assert_eq!(wal.read(number / 2).expect("it is there").payload(), large(number / 2));
        }
    }
    holds(&wal, 2 * ENTRIES);
    let rev = wal.range(..).expect("open").rev().map(|entry| entry.expect("good").sequence());
    assert!(rev.eq((0..2 * ENTRIES).rev()));
}

#[test]
fn the_logs_of_a_process_share_a_quarter_of_its_descriptors_for_idle_segments() {
    const LOGS: u64 = 5;
    let descriptors = Descriptors::new(120);
    let logs: Vec<Wal> = (0..LOGS)
        .map(|seed| options().open_in(descriptors.directory(long_log(seed), true)).expect("open"))
        .collect();
    for wal in &logs {
        wal.append(&large(ENTRIES)).expect("nothing fails");
    }
    let fixed = descriptors.taken();
    // Those that docs/operations.md names, but for the directory's own, which was opened before.
    assert_eq!(fixed, 4 * i64::try_from(LOGS).expect("few"));
    for wal in &logs {
        holds(wal, ENTRIES + 1);
    }
    let idle = descriptors.taken() - fixed;
    assert!((20..=30).contains(&idle), "{idle} idle segments of {LOGS} logs");
    // The first one gets its share from the others.
    holds(&logs[0], ENTRIES + 1);
    let again = descriptors.taken() - fixed;
    assert!((20..=30).contains(&again), "{again} idle segments of {LOGS} logs");
}

#[test]
fn a_log_that_finds_no_descriptor_closes_idle_segments_of_another_one() {
    let descriptors = Descriptors::new(400);
    let reader = options().open_in(descriptors.directory(long_log(1), true)).expect("open");
    let writer = options().open_in(descriptors.directory(SimDisk::new(2), true)).expect("open");
    holds(&reader, ENTRIES);
    // From here on only what the reader's log keeps can be had.
    descriptors.leave(0);
    for number in 0..20 {
        writer.append(&large(number)).expect("the other log gives up what it does not use");
    }
    // All of them were closed at the first turn.
    descriptors.leave(20);
    holds(&reader, ENTRIES);
    holds(&writer, 20);
    let third = options().open_in(descriptors.directory(SimDisk::new(3), true));
    third.expect("what is idle again is closed for it, too").append(b"one").expect("open");
}

#[test]
fn a_segment_that_is_read_is_not_closed_and_a_log_without_descriptors_goes_on_when_there_are_some() {
    let disk = long_log(1);
    let descriptors = Descriptors::new(400);
    let wal = options().open_in(descriptors.directory(disk, true)).expect("open");
    let mut kept: Vec<wal::Entries> =
        (0..20).map(|place| wal.read_from(place * 10).expect("there")).collect();
    for (place, entries) in (0..).zip(&mut kept) {
        assert_eq!(entries.next().expect("there").expect("good").sequence(), place * 10);
    }
    descriptors.leave(0);
    let error =
        (ENTRIES..).find_map(|number| wal.append(&large(number)).err()).expect("no descriptor is left");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("cannot create /sim/"), "{error}");
    for (place, entries) in (0..).zip(&mut kept) {
        assert_eq!(entries.next().expect("there").expect("good").sequence(), place * 10 + 1);
    }
    let next = wal.written_end();
    drop(kept);
    assert_eq!(wal.append(&large(next)).expect("the files of those readers are idle now"), next);
    holds(&wal, next + 1);
}
