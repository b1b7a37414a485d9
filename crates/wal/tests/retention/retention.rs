//! Retention: whole segments go when a limit is exceeded, and none that somebody needs.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::bytes::linked;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{
    FEW_IMAGES, HALF, SMALL, contents, eventually, every_setup, open, refused, small, within,
};
use wal::{ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;
use wal_segment::io::{Access, Directory, File, Listed, Lock};

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);
const SECOND: u64 = 1_000_000_000;

/// Two entries of this size fill a segment.
fn append(wal: &Wal, entries: u64) {
    for n in 0..entries {
        wal.append(&payload(n << 20, HALF)).expect("nothing fails");
    }
}

/// A simulated disk with a clock that a test moves on, and one of the system that it sets.
#[derive(Clone)]
struct Clocked {
    disk: SimDisk,
    monotonic_ns: Arc<AtomicU64>,
    /// How far the clock of the system is before the other one; it wraps.
    ahead_ns: Arc<AtomicU64>,
    /// How far each look at the clock moves it.
    tick_ns: u64,
}

impl Clocked {
    fn new(seed: u64) -> Clocked {
        let monotonic_ns = Arc::new(AtomicU64::new(1_000 * SECOND));
        Clocked { disk: SimDisk::new(seed), monotonic_ns, ahead_ns: Arc::default(), tick_ns: 0 }
    }

    fn until(&self, seconds: u64) {
        self.monotonic_ns.store(seconds * SECOND, Ordering::Relaxed);
    }

    fn set_system_clock(&self, seconds: u64) {
        let now = self.monotonic_ns.load(Ordering::Relaxed);
        self.ahead_ns.store((seconds * SECOND).wrapping_sub(now), Ordering::Relaxed);
    }

    fn open(&self, options: &Options) -> Wal {
        options.open_in(Arc::new(self.clone())).expect("nothing fails")
    }
}

impl fmt::Debug for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Directory for Clocked {
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn list(&self) -> io::Result<Vec<Listed>> {
        self.disk.list()
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        Directory::open(&self.disk, name, access)
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.create(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(name)
    }
    fn salt(&self) -> u64 {
        self.disk.salt()
    }
    fn now_unix_ns(&self) -> u64 {
        self.monotonic_ns().wrapping_add(self.ahead_ns.load(Ordering::Relaxed))
    }
    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.fetch_add(self.tick_ns, Ordering::Relaxed)
    }
    fn wait(&self, pause: Duration) {
        self.disk.wait(pause);
    }
}

#[test]
fn limits_that_cannot_be_kept_are_refused() {
    let options = Options::new();
    for options in [
        options.clone().retain_bytes(0),
        options.clone().retain_entries(0),
        options.clone().retain_age(Duration::ZERO),
        options.clone().roll_after(Duration::ZERO),
    ] {
        refused(crate::common::try_open(&SimDisk::new(1), &options), ErrorKind::InvalidOptions);
    }
}

#[test]
fn what_a_limit_wants_is_kept_and_at_most_a_segment_more() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for limits in [small(policy).retain_entries(5), small(policy).retain_bytes(2 * SMALL)] {
                let disk = SimDisk::new(1);
                let options = limits.background(background);
                let wal = open(&disk, &options);
                wal.start_retention().expect("the log is open");
                let mut most = 0;
                for _ in 0..30 {
                    append(&wal, 1);
                    let kept = wal.written_end() - wal.first();
                    assert!(kept >= 5.min(wal.written_end()), "{policy:?}: {kept} are left");
                    most = most.max(kept);
                }
                assert!(background || most <= 9, "{policy:?}: {most} are left");
                wal.sync().expect("nothing fails");
                append(&wal, 2);
                eventually("it is dropped", LIMIT, || wal.written_end() - wal.first() <= 9);
                assert!(wal.first().is_multiple_of(2), "whole segments");
                assert_eq!(wal.stats().maintenance_errors, 0);
                wal.close().expect("the thread is joined");
            }
        }
    });
}

/// A service came back and took its hold again where it had stopped reading. The open had begun to drop what the
/// limits did not want, and the entries that the service still needed were gone.
#[test]
fn a_hold_that_is_taken_again_after_an_open_finds_everything_that_it_kept() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(6);
            let wal = open(&disk, &small(policy));
            append(&wal, 9);
            wal.close().expect("nothing fails");
            let limits = small(policy).background(background).retain_entries(1).retain_bytes(1);
            let options = limits.retain_age(Duration::from_nanos(1));
            for turn in 0..20 {
                let wal = open(&disk, &options);
                assert!(!wal.stats().retention_started);
                if turn % 4 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                // Appends and rollovers do not begin it.
                append(&wal, 1);
                let hold = wal.hold("service", 0).expect("nothing was dropped");
                wal.start_retention().expect("the log is open");
                append(&wal, 1);
                assert_eq!((hold.invalidated(), contents(&wal).len()), (false, 9 + 2 * (turn + 1)));
                assert_eq!((wal.first(), wal.stats().maintenance_errors), (0, 0));
                // While the log is open, retention would drop what it lets go.
                drop(wal);
                drop(hold);
            }
        }
    });
}

#[test]
fn nothing_is_dropped_by_a_limit_before_retention_is_started_and_then_at_once() {
    within(LIMIT, || {
        for background in [false, true] {
            let disk = SimDisk::new(7);
            let wal = open(&disk, &small(POLICY).background(background).retain_entries(1));
            append(&wal, 9);
            if background {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(wal.first(), 0);
            assert_eq!(wal.truncate_before(1).expect("it does not depend on retention"), 1);
            assert_eq!((wal.first(), wal.stats().retention_started), (1, false));
            wal.start_retention().expect("the log is open");
            assert!(wal.stats().retention_started);
            assert!(background || wal.first() == 8, "without threads this call drops it");
            eventually("a thread drops it", LIMIT, || wal.first() == 8);
            wal.start_retention().expect("a second time changes nothing");
            let other = wal.clone();
            wal.close().expect("nothing fails");
            refused(other.start_retention(), ErrorKind::Closed);
            assert!(!open(&disk, &small(POLICY)).stats().retention_started, "it is of one open");
        }
    });
}

#[test]
fn what_a_hold_needs_stays_and_goes_when_it_is_released() {
    within(LIMIT, || {
        for advances in [false, true] {
            let disk = SimDisk::new(2);
            let wal = open(&disk, &small(POLICY).background(true).retain_entries(1));
            wal.start_retention().expect("the log is open");
            append(&wal, 1);
            let hold = wal.hold("archive", 0).expect("it is there");
            append(&wal, 11);
            assert_eq!((wal.first(), linked(&disk).len()), (0, 6));
            if advances {
                for sequence in 1..6 {
                    hold.advance(sequence).expect("it holds");
                }
                eventually("the thread is woken", LIMIT, || wal.first() == 4);
            }
            drop(hold);
            eventually("the thread is woken", LIMIT, || wal.first() == 10);
        }
    });
}

#[test]
fn retention_passes_a_hold_that_keeps_too_much() {
    let disk = SimDisk::new(3);
    let wal = open(&disk, &small(POLICY).retain_entries(2).hold_limit_bytes(SMALL));
    wal.start_retention().expect("the log is open");
    append(&wal, 1);
    let hold = wal.hold("stuck", 0).expect("it is there");
    append(&wal, 4);
    assert_eq!((wal.first(), hold.invalidated()), (0, false));
    append(&wal, 2);
    assert_eq!((wal.first(), hold.invalidated()), (4, true));
}

#[test]
fn segments_are_dropped_by_age_also_after_a_reopen_and_a_clock_that_is_set_changes_nothing_in_between() {
    let clocked = Clocked::new(4);
    let options = small(POLICY).retain_age(Duration::from_secs(100));
    let wal = clocked.open(&options);
    wal.start_retention().expect("the log is open");
    // Segments end at 1010, 1020, 1030 and so on.
    for n in 1..=5 {
        append(&wal, 2);
        clocked.until(1000 + 10 * n);
    }
    append(&wal, 1);
    // Set forward: what was written a second ago is not old.
    clocked.set_system_clock(1_000_000);
    append(&wal, 2);
    assert_eq!(wal.first(), 0, "nothing is old enough");
    clocked.until(1109);
    append(&wal, 2);
    assert_eq!(wal.first(), 0, "nothing is old enough");
    clocked.until(1125);
    append(&wal, 2);
    assert_eq!(wal.first(), 4, "two are");

    // Set back: what is old stays so.
    clocked.set_system_clock(500);
    clocked.until(1135);
    append(&wal, 2);
    assert_eq!(wal.first(), 6);
    drop(wal);
    // This open reads the clock. Nothing that is young is taken for old, and what was there ages from here.
    let wal = clocked.open(&options);
    wal.start_retention().expect("the log is open");
    append(&wal, 4);
    assert_eq!(wal.first(), 6, "after a reopen, too");
    let opened_with = wal.written_end() - 4;
    clocked.until(1236);
    append(&wal, 2);
    assert!((opened_with..wal.written_end()).contains(&wal.first()), "what the open found is gone");
}

#[test]
fn what_an_earlier_process_ended_long_ago_is_dropped_right_after_the_open() {
    let clocked = Clocked::new(4);
    let options = small(POLICY).retain_age(Duration::from_secs(100));
    let wal = clocked.open(&options);
    // A segment each ten seconds, from 1010 on; each third one is prepared when the second one begins.
    for n in 1..=8 {
        append(&wal, 2);
        clocked.until(1000 + 10 * n);
    }
    wal.close().expect("nothing fails");
    clocked.until(1145);
    let wal = clocked.open(&options);
    assert_eq!(wal.first(), 0);
    wal.start_retention().expect("the log is open");
    append(&wal, 2);
    let first = wal.first();
    assert!(
        (2..=8).contains(&first),
        "of eight segments those stay that ended at 1045 or later: from {first}"
    );
}

#[test]
fn a_log_at_rest_is_dropped_by_age_on_a_real_disk() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let age = Duration::from_millis(60);
    let options = Options::new().segment_bytes(SMALL).retain_age(age).roll_after(Duration::from_millis(20));
    let wal = options.open(scratch.path()).expect("nothing fails");
    wal.start_retention().expect("the log is open");
    append(&wal, 4);
    // A sync that takes longer than `roll_after` ends a segment of a single entry.
    eventually("time has passed", LIMIT / 4, || wal.first() >= 2);
    append(&wal, 1);
    eventually("the one that was ended by age, too", LIMIT / 4, || wal.first() >= 3);
    wal.close().expect("nothing fails");
}

/// The thread looked at the clock to see what is too old, and again to see when something would be. A segment that
/// became too old between the two was in neither answer, and stayed for a minute.
#[test]
fn a_segment_that_grows_too_old_between_two_looks_at_the_clock_is_dropped() {
    within(LIMIT, || {
        for looks in 1..16 {
            let clocked = Clocked { tick_ns: 1_000_000, ..Clocked::new(looks) };
            let age = Duration::from_micros(looks * 1_000 - 500);
            let wal = clocked.open(&small(POLICY).background(true).retain_age(age));
            wal.start_retention().expect("the log is open");
            append(&wal, 5);
            eventually("it is dropped", LIMIT / 4, || wal.first() == 4);
        }
    });
}

#[test]
fn what_fails_in_the_background_is_counted_and_tried_again() {
    for background in [false, true] {
        let fails = Arc::new(AtomicBool::new(true));
        let failing = Arc::clone(&fails);
        let seam = Seam::new(SimDisk::new(5), move |call| match call {
            Call::Write { name: "ANCHOR", .. } if failing.load(Ordering::Relaxed) => {
                Err(io::Error::other("on purpose"))
            }
            _ => Ok(()),
        });
        fails.store(false, Ordering::Relaxed);
        let options = small(POLICY).background(background).retain_entries(1);
        let wal = options.open_in(seam).expect("nothing fails");
        wal.start_retention().expect("the log is open");
        append(&wal, 2);
        fails.store(true, Ordering::Relaxed);
        append(&wal, 1);
        eventually("it is counted", LIMIT, || wal.stats().maintenance_errors > 0);
        assert!(wal.stats().last_maintenance_error.is_some_and(|error| error.contains("ANCHOR")));
        assert_eq!(wal.first(), 0);
        fails.store(false, Ordering::Relaxed);
        if !background {
            append(&wal, 2);
        }
        eventually("it is tried again", LIMIT, || wal.first() >= 2);
    }
}

#[test]
fn a_power_cut_anywhere_in_retention_leaves_a_log_that_begins_where_it_did_or_where_it_was_to() {
    for policy in [POLICY, SyncPolicy::None] {
        let mut ended = false;
        for cut_at in 0..400 {
            let disk = SimDisk::new(cut_at);
            let wal = open(&disk, &small(policy).retain_entries(3));
            wal.start_retention().expect("the log is open");
            disk.crash_at(disk.operations() + cut_at);
            let accepted = (0..10).take_while(|n| wal.append(&payload(n << 20, HALF)).is_ok()).count() as u64;
            let durable = wal.durable_end();
            drop(wal);
            for image in disk.crash_images(FEW_IMAGES, cut_at) {
                let found = open(&image, &small(policy));
                let what = format!("{policy:?}, cut at {cut_at}: {}", image.origin());
                assert!(found.first().is_multiple_of(2), "{what}");
                assert!(found.written_end() >= durable && found.written_end() <= accepted + 1, "{what}");
                let kept = found.written_end() - found.first();
                // What is written counts, and under this policy a loss of power takes some of it.
                assert!(policy == SyncPolicy::None || kept >= 3.min(found.written_end()), "{what}: {kept}");
                let expected: Vec<_> =
                    (found.first()..found.written_end()).map(|n| payload(n << 20, HALF)).collect();
                assert!(contents(&found) == expected, "{what}");
            }
            if !disk.crashed() {
                ended = true;
                break;
            }
        }
        assert!(ended);
    }
}

/// A log that was cut and closed goes on in a segment without entries. That counted as ended at the open, so that it was
/// dropped days later with entries that were seconds old.
#[test]
fn entries_in_a_segment_that_was_empty_at_the_open_are_as_old_as_they_are() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    for closes in [false, true] {
        let disk = SimDisk::new(3);
        let options = crate::common::small(wal::SyncPolicy::Immediate).retain_age(DAY);
        let wal = open(&disk, &options);
        for number in 0..3 {
            assert_eq!(wal.append(&crate::common::large(number)).expect("nothing fails"), number);
        }
        wal.truncate_after(1).expect("nothing fails");
        if closes {
            wal.close().expect("nothing fails");
        } else {
            drop(wal);
        }
        let wal = open(&disk, &options);
        wal.start_retention().expect("it is open");
        disk.wait(3 * DAY);
        for number in 2..6 {
            assert_eq!(wal.append(&crate::common::large(number)).expect("nothing fails"), number);
            wal.flush().expect("nothing fails");
        }
        assert!(wal.first() <= 2, "closes {closes}: the log begins at {}", wal.first());
    }
}
