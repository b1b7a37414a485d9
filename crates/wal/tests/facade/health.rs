//! A probe is told what is wrong with the log, also while a disk hangs; and a slow sync is told once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::gate::Gate;
use crate::common::seam::{Call, Seam};
use crate::common::{HALF, eventually, every_setup, open, refused, small, within};
use wal::{Durability, ErrorKind, Operation, Options, SlowSync, SyncPolicy, Wal};
use wal_segment::io::Directory;
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);

/// What counts as slow: no sync of the simulated disk comes near it, unless the test holds it up.
const SLOW: Duration = Duration::from_millis(200);

/// What the callback was told.
type Told = Arc<Mutex<Vec<SlowSync>>>;

fn told(told: &Told) -> Vec<SlowSync> {
    told.lock().expect("no panic").clone()
}

/// Slow syncs are written down. No segment ends on the way.
fn watched(policy: SyncPolicy, background: bool, told: &Told) -> Options {
    let told = Arc::clone(told);
    let options = small(policy).segment_bytes(1 << 20).background(background).slow_sync(SLOW);
    options.on_slow_sync(move |sync| told.lock().expect("no panic").push(sync.clone()))
}

/// A log whose syncs pass one gate and whose writes pass another.
fn gated(options: &Options) -> (Wal, Arc<Gate>, Arc<Gate>) {
    let (syncs, writes) = (Gate::new(), Gate::new());
    let (sync_gate, write_gate) = (Arc::clone(&syncs), Arc::clone(&writes));
    let seam = Seam::new(SimDisk::new(1), move |call| match call {
        Call::Sync { name } if name.ends_with(".wal") && !is_on("wal-files") => sync_gate.pass(),
        Call::Write { name, .. } if name.ends_with(".wal") && !is_on("wal-files") => write_gate.pass(),
        _ => Ok(()),
    });
    let wal = options.open_in(seam).expect("a new log");
    wal.append_with(b"first", Durability::Durable).expect("the gates are open");
    (wal, syncs, writes)
}

fn is_on(thread: &str) -> bool {
    thread::current().name() == Some(thread)
}

#[test]
fn a_failed_sync_is_told_with_its_cause() {
    for (policy, background) in every_setup() {
        let (wal, syncs, _) = gated(&watched(policy, background, &Told::default()));
        assert!(wal.health().is_healthy(), "{}", wal.health());
        syncs.open_failing_one();
        refused(wal.append_with(b"lost", Durability::Durable), ErrorKind::Poisoned);
        let health = wal.health();
        let poisoned = health.poisoned.as_ref().expect("a sync failed");
        assert_eq!(poisoned.kind(), ErrorKind::Poisoned);
        assert!(health.to_string().contains("the gate lets nobody through"), "{health}");
        assert!(!health.is_healthy() && health.stalled.is_none() && !health.closed, "{health}");
    }
}

#[test]
fn a_sync_that_hangs_is_told_while_it_hangs_and_once_when_it_has_ended() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for fails in [false, true] {
                let slow = Told::default();
                let (wal, syncs, _) = gated(&watched(policy, background, &slow));
                syncs.shut();
                let appender = {
                    let wal = wal.clone();
                    thread::spawn(move || wal.append_with(b"second", Durability::Durable))
                };
                syncs.until_somebody_waits();
                eventually("the stall is told", LIMIT, || wal.health().stalled.is_some());
                let stall = wal.health().stalled.expect("it hangs still");
                assert_eq!(stall.what, Operation::Sync);
                assert!(stall.lasted >= SLOW, "{stall:?}");
                assert!(wal.health().to_string().contains("a sync has not ended for"), "{}", wal.health());
                assert_eq!((told(&slow), wal.stats().slow_syncs), (Vec::new(), 0), "it has not ended");

                if fails {
                    syncs.open_failing_one();
                } else {
                    syncs.open();
                }
                assert_eq!(appender.join().expect("no panic").is_err(), fails);
                eventually("the callback is called", LIMIT, || !told(&slow).is_empty());
                let health = wal.health();
                assert_eq!((health.stalled, health.poisoned.is_some()), (None, fails), "{policy:?}");
                assert_eq!(wal.stats().slow_syncs, 1);
                drop(wal);
                let [sync] = told(&slow).try_into().expect("told once");
                assert!(sync.took >= SLOW, "{sync:?}");
                assert_eq!((sync.sequences, sync.failed), (1..2, fails), "{policy:?}");
            }
        }
    });
}

#[test]
fn a_write_that_hangs_is_told_to_whoever_asks_twice() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let (wal, _, writes) = gated(&watched(policy, background, &Told::default()));
            writes.shut();
            let appender = {
                let wal = wal.clone();
                thread::spawn(move || wal.append(b"second"))
            };
            writes.until_somebody_waits();
            assert_eq!(wal.health().stalled, None, "nobody has seen it before");
            thread::sleep(SLOW);
            let stall = wal.health().stalled.expect("it was there before");
            assert_eq!(stall.what, Operation::Write);
            assert!(stall.lasted >= SLOW, "{stall:?}");
            writes.open();
            appender.join().expect("no panic").expect("it passes");
            wal.sync().expect("nothing fails");
            assert!(wal.health().is_healthy(), "{}", wal.health());
        }
    });
}

#[test]
fn writes_that_end_are_no_stall_however_often_somebody_asks() {
    within(LIMIT, || {
        let (wal, _, writes) = gated(&watched(SyncPolicy::None, false, &Told::default()));
        for _ in 0..4 {
            writes.shut();
            let appender = {
                let wal = wal.clone();
                thread::spawn(move || wal.append(b"one of many"))
            };
            writes.until_somebody_waits();
            assert_eq!(wal.health().stalled, None, "another write was in hand before");
            thread::sleep(SLOW / 3);
            writes.open();
            appender.join().expect("no panic").expect("it passes");
        }
    });
}

#[test]
fn a_sync_in_time_is_not_slow() {
    for (policy, background) in every_setup() {
        let slow = Told::default();
        let options = watched(policy, background, &slow).slow_sync(Duration::from_secs(3600));
        let wal = open(&SimDisk::new(1), &options);
        (0..20).for_each(|_| assert!(wal.append_with(b"quick", Durability::Durable).is_ok()));
        assert_eq!(wal.stats().slow_syncs, 0);
        wal.close().expect("nothing fails");
        assert_eq!(told(&slow), Vec::new());
    }
}

// The callback of a slow sync stands where that of a rollover does: it may do whatever an application does.
#[test]
fn a_callback_of_a_slow_sync_may_append_and_sync() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let later: Arc<OnceLock<Wal>> = Arc::default();
            let called = Arc::new(AtomicBool::new(false));
            let (wal_of, call) = (Arc::clone(&later), Arc::clone(&called));
            let options = small(policy).segment_bytes(1 << 20).background(background);
            let options = options.slow_sync(Duration::from_nanos(1)).on_slow_sync(move |_| {
                // Its own syncs are slow, too: once is enough.
                if let Some(wal) = wal_of.get().filter(|_| !call.swap(true, Ordering::SeqCst)) {
                    wal.append_with(b"from the callback", Durability::Durable).expect("nothing fails");
                    wal.sync().expect("nothing fails");
                    assert!(wal.health().poisoned.is_none());
                }
            });
            let wal = open(&SimDisk::new(1), &options);
            later.set(wal.clone()).expect("once");
            wal.append_with(b"slow", Durability::Durable).expect("nothing fails");
            eventually("it was called and has appended", LIMIT, || wal.durable_end() == 2);
            wal.close().expect("nothing fails");
        }
    });
}

#[test]
fn space_is_low_below_a_segment_or_the_limit() {
    const MIB: u64 = 1 << 20;
    let disk = SimDisk::new(1);
    let segment = open(&disk, &small(SyncPolicy::None).segment_bytes(4 * MIB));
    for (free, low) in [(None, false), (Some(4 * MIB), false), (Some(4 * MIB - 4096), true), (Some(0), true)]
    {
        disk.space(free);
        // It is asked for by the next call that may.
        drop(segment.health());
        segment.flush().expect("nothing fails");
        let health = segment.health();
        assert_eq!((health.space.is_low(), health.is_healthy()), (low, !low), "{free:?}: {health}");
        assert_eq!((health.space.free_bytes, health.space.needed_bytes), (free, 4 * MIB));
        assert!(health.space.age < LIMIT);
    }
    drop(segment);
    disk.space(Some(10 * MIB));
    let limit = open(&disk, &small(SyncPolicy::None).low_space_bytes(11 * MIB));
    let health = limit.health();
    assert!(health.space.is_low());
    assert_eq!(health.to_string(), "10485760 bytes are free, and 11534336 are needed");
}

#[test]
fn a_file_system_tells_what_is_free() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let wal = Options::new().open(scratch.path().join("log")).expect("a new log");
    let space = wal.health().space;
    assert!(space.failure.is_none());
    assert_eq!(space.free_bytes.is_some_and(|bytes| bytes > 0), cfg!(unix), "{space:?}");
}

#[test]
fn a_file_system_that_cannot_be_asked_is_told() {
    #[derive(Debug)]
    struct Mute(SimDisk);
    #[rustfmt::skip]
    impl Directory for Mute {
        fn path(&self) -> &std::path::Path { self.0.path() }
        fn list(&self) -> io::Result<Vec<wal_segment::io::Listed>> { self.0.list() }
        fn open(&self, name: &str, access: wal_segment::io::Access) -> io::Result<Arc<dyn wal_segment::io::File>> { self.0.open(name, access) }
        fn create(&self, name: &str) -> io::Result<Arc<dyn wal_segment::io::File>> { self.0.create(name) }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> { self.0.rename(from, to) }
        fn remove(&self, name: &str) -> io::Result<()> { self.0.remove(name) }
        fn sync(&self) -> io::Result<()> { self.0.sync() }
        fn lock(&self, name: &str) -> io::Result<Box<dyn wal_segment::io::Lock>> { self.0.lock(name) }
        fn free_bytes(&self) -> io::Result<Option<u64>> { Err(io::Error::other("nobody answers")) }
        fn salt(&self) -> u64 { self.0.salt() }
        fn now_unix_ns(&self) -> u64 { self.0.now_unix_ns() }
        fn wait(&self, pause: Duration) { self.0.wait(pause) }
    }
    let wal = small(SyncPolicy::None).open_in(Arc::new(Mute(SimDisk::new(1)))).expect("a new log");
    let health = wal.health();
    assert!(!health.is_healthy());
    assert_eq!(health.to_string(), "/sim: cannot ask for free space: nobody answers");
}

/// A log in which what `strikes` picks fails while the switch is on.
fn failing(
    options: &Options,
    strikes: impl Fn(Call<'_>) -> bool + Send + Sync + 'static,
) -> (Wal, Arc<AtomicBool>) {
    let on = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&on);
    let seam = Seam::new(SimDisk::new(1), move |call| {
        if switch.load(Ordering::SeqCst) && strikes(call) {
            return Err(io::Error::other("on purpose"));
        }
        Ok(())
    });
    (options.open_in(seam).expect("a new log"), on)
}

#[test]
fn a_spare_that_could_not_be_prepared_is_told_until_one_can() {
    within(LIMIT, || {
        for background in [false, true] {
            // Preparing a segment syncs the directory; nothing else does once the log is open.
            let options = small(SyncPolicy::Immediate).background(background);
            let (wal, on) = failing(&options, |call| call == Call::SyncDirectory);
            let append = || wal.append(&[7; HALF]);
            append().expect("a first segment");
            on.store(true, Ordering::SeqCst);
            let stuck = (0..9).find_map(|_| append().err());
            assert_eq!(stuck.expect("the segment is full").kind(), ErrorKind::Io);
            let health = wal.health();
            let failure = health.spare_failure.as_ref().expect("it could not be prepared");
            assert!(failure.to_string().contains("on purpose"), "{failure}");
            assert!(!health.is_healthy() && health.poisoned.is_none(), "{health}");
            on.store(false, Ordering::SeqCst);
            append().expect("there is a segment again");
            assert!(wal.health().is_healthy(), "{}", wal.health());
        }
    });
}

#[test]
fn an_anchor_that_could_not_be_written_is_told_until_it_is() {
    within(LIMIT, || {
        for background in [false, true] {
            let options = small(SyncPolicy::Immediate).background(background);
            let (wal, on) = failing(&options, |call| matches!(call, Call::Write { name: "ANCHOR", .. }));
            on.store(true, Ordering::SeqCst);
            wal.append(b"first").expect("nobody waits for the anchor");
            eventually("it is told", LIMIT, || wal.health().anchor_failure.is_some());
            let health = wal.health();
            assert!(health.to_string().starts_with("the anchor is not written: "), "{health}");
            on.store(false, Ordering::SeqCst);
            for _ in 0..9 {
                wal.append(&[7; HALF]).expect("nothing fails");
            }
            eventually("it is written", LIMIT, || wal.health().is_healthy());
        }
    });
}

#[test]
fn a_closed_log_answers() {
    let wal = open(&SimDisk::new(1), &small(SyncPolicy::None));
    wal.clone().close().expect("nothing fails");
    let health = wal.health();
    assert_eq!((health.closed, health.is_healthy(), health.poisoned.is_some()), (true, false, false));
    assert_eq!(health.to_string(), "the log is closed");
}

#[test]
fn no_time_at_all_is_no_limit() {
    let options = Options::new().slow_sync(Duration::ZERO);
    let error = refused(options.open_in(Arc::new(SimDisk::new(1))), ErrorKind::InvalidOptions);
    assert!(error.to_string().contains("slow_sync"), "{error}");
}

// A file system over the network did not answer: `statfs` took six seconds, on the thread of the probe, and then the log
// was called healthy.
#[test]
fn health_answers_while_the_file_system_does_not_and_says_so() {
    const ASKED: usize = 500;
    within(LIMIT, || {
        let probe = thread::current().id();
        let gate = Gate::new();
        let (held_back, called) = (Arc::clone(&gate), Arc::new(AtomicU64::new(0)));
        let calls = Arc::clone(&called);
        let seam = Seam::new(SimDisk::new(1), move |call| {
            calls.fetch_add(u64::from(thread::current().id() == probe), Ordering::SeqCst);
            if call == Call::FreeBytes { held_back.pass() } else { Ok(()) }
        });
        let options = small(SyncPolicy::Immediate).background(true).slow_sync(Duration::from_millis(50));
        let wal = options.open_in(seam).expect("a new log");
        wal.append(b"entry").expect("nothing fails");
        assert!(wal.health().is_healthy());
        gate.shut();
        called.store(0, Ordering::SeqCst);
        drop(wal.health());
        gate.until_somebody_waits();
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..ASKED {
            let begun = Instant::now();
            let health = wal.health();
            took.push(begun.elapsed());
            drop(health);
        }
        took.sort_unstable();
        println!("health: median {:?}, 99 of 100 within {:?}", took[ASKED / 2], took[ASKED * 99 / 100]);
        assert!(took[ASKED * 99 / 100] < Duration::from_millis(50), "{:?}", took[ASKED * 99 / 100]);
        eventually("it is told", LIMIT, || {
            wal.health().stalled.is_some_and(|stall| stall.what == Operation::Space)
        });
        let health = wal.health();
        assert!(!health.is_healthy() && health.space.age >= Duration::from_millis(50), "{health}");
        assert!(health.to_string().contains("query for the free space"), "{health}");
        assert_eq!(called.load(Ordering::SeqCst), 0, "no call on the thread of the probe");
        gate.open();
        eventually("it answers again", LIMIT, || wal.health().is_healthy());
        wal.close().expect("nothing fails");
    });
}
