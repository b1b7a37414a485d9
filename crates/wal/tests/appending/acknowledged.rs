//! What was acknowledged as durable survives a power cut at that very moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::task::block_on;
use crate::common::{EVERY_POLICY, SMALL, contents, every_setup, holds_all, open, small, within};
use wal::{Durability, Error, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CrashModel, SimDisk};

const LIMIT: Duration = Duration::from_secs(60);

type Acknowledges = fn(&Wal, &[u8]) -> Result<u64, Error>;

/// Every call that may say that an entry is durable.
const ACKNOWLEDGED: [Acknowledges; 5] = [
    |wal, payload| wal.append_with(payload, Durability::Durable),
    |wal, payload| wal.submit_with(payload, Durability::Durable)?.wait(),
    |wal, payload| block_on(wal.submit_with(payload, Durability::Durable)?),
    |wal, payload| {
        let commit = wal.submit_with(payload, Durability::Durable)?;
        loop {
            if let Some(outcome) = commit.wait_timeout(Duration::from_micros(50)) {
                return outcome;
            }
        }
    },
    |wal, payload| {
        let number = wal.append_with(payload, Durability::Written)?;
        wal.sync()?;
        Ok(number)
    },
];

/// The log as the device has it, at this moment.
#[track_caller]
fn on_the_device(disk: &SimDisk, options: &Options) -> Vec<Vec<u8>> {
    contents(&open(&disk.power_cut_losing_everything(), &options.clone().background(false)))
}

/// Threads that append, and look at the device after each acknowledgement.
fn acknowledges_nothing_too_early(options: &Options, bytes: usize) {
    let disk = SimDisk::new(3);
    let wal = open(&disk, options);
    thread::scope(|scope| {
        for appender in 0..4_usize {
            let (wal, disk) = (wal.clone(), &disk);
            scope.spawn(move || {
                for turn in 0..30 {
                    let payload = payload((appender * 1000 + turn) as u64, bytes);
                    let acknowledges = ACKNOWLEDGED[(appender + turn) % ACKNOWLEDGED.len()];
                    let number = acknowledges(&wal, &payload).expect("nothing fails");
                    assert!(wal.durable_end() > number);
                    holds_all(&on_the_device(disk, options), &[(number, payload)]);
                }
            });
        }
    });
    assert_eq!(on_the_device(&disk, options).len(), 120);
}

// hiqlite#361 and nats-server#7564: the completion of a write fired when its bytes were in a buffer, and
// the flush came later. A crash in between lost entries that the leader had counted. Here the power is cut
// at the very moment of each acknowledgement.
#[test]
fn an_entry_that_is_acknowledged_as_durable_is_on_the_device() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for segment_bytes in [SMALL, 1 << 20] {
                let options = small(policy).segment_bytes(segment_bytes).background(background);
                acknowledges_nothing_too_early(&options, 150);
            }
        }
    });
}

#[test]
fn an_entry_that_is_acknowledged_as_durable_by_a_buffered_log_is_on_the_device() {
    within(LIMIT, || {
        for policy in [SyncPolicy::None, EVERY_POLICY[2]] {
            for background in [false, true] {
                acknowledges_nothing_too_early(&small(policy).buffered(1000).background(background), 150);
            }
        }
    });
}

#[test]
fn the_plain_calls_of_a_policy_that_waits_keep_its_promise() {
    let plain: [Acknowledges; 4] = [
        Wal::append,
        |wal, payload| wal.submit(payload)?.wait(),
        |wal, payload| Ok(wal.append_batch([payload])?.start),
        |wal, payload| block_on(wal.submit_batch([payload])?),
    ];
    within(LIMIT, move || {
        for (policy, background) in every_setup().filter(|(policy, _)| policy.waits()) {
            let options = small(policy).background(background);
            let disk = SimDisk::new(1);
            let wal = open(&disk, &options);
            for turn in 0..40 {
                let payload = payload(turn, 700);
                let call = plain[usize::try_from(turn).expect("few") % plain.len()];
                let number = call(&wal, &payload).expect("nothing fails");
                holds_all(&on_the_device(&disk, &options), &[(number, payload)]);
            }
        }
    });
}

#[test]
fn whoever_waits_for_the_durable_watermark_finds_the_entry_on_the_device() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let options = small(policy).background(background);
            let disk = SimDisk::new(5);
            let wal = open(&disk, &options);
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                for awaits in [false, true] {
                    let (wal, disk, options) = (wal.clone(), &disk, &options);
                    scope.spawn(move || {
                        for number in (0..36).step_by(4) {
                            let reached = wal.until_durable(number);
                            if awaits { block_on(reached) } else { reached.wait() }.expect("nothing fails");
                            assert!(on_the_device(disk, options).len() as u64 > number);
                        }
                    });
                }
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let durable = wal.durable_end();
                        assert!(on_the_device(&disk, &options).len() as u64 >= durable);
                    }
                });
                for number in 0..40 {
                    wal.append(&payload(number, 400)).expect("nothing fails");
                }
                wal.sync().expect("nothing fails");
                over.store(true, Ordering::Relaxed);
            });
        }
    });
}

// A log written in Go synced the file that was the last one when the sync began. A rollover between the
// write and the sync of an entry made that another file, and the entry was acknowledged in the wrong one.
#[test]
fn an_entry_is_synced_in_the_file_that_it_is_in_whoever_rolls_over_in_between() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(9);
            // Between a write and its sync there is time for others to roll over.
            let seam = Seam::new(disk.clone(), |call| {
                if matches!(call, Call::Sync { .. }) {
                    thread::sleep(Duration::from_micros(200));
                }
                Ok(())
            });
            let options = small(policy).background(background);
            let wal = options.open_in(seam).expect("nothing fails");
            thread::scope(|scope| {
                for appender in 0..6_usize {
                    let (wal, disk, options) = (wal.clone(), &disk, small(policy));
                    scope.spawn(move || {
                        for turn in 0..6 {
                            // Two or three fill a segment.
                            let payload = payload((appender * 100 + turn) as u64, 900 + appender * 150);
                            let acknowledges = ACKNOWLEDGED[(appender + turn) % ACKNOWLEDGED.len()];
                            let number = acknowledges(&wal, &payload).expect("nothing fails");
                            let model = CrashModel { exhaustive_up_to: 1, random: 2, tearing: 1, garbage: 0 };
                            for image in disk.crash_images(model, number) {
                                let shown = contents(&open(&image, &options));
                                holds_all(&shown, &[(number, payload.clone())]);
                            }
                        }
                    });
                }
            });
            assert!(crate::common::bytes::linked(&disk).len() > 12, "there were rollovers");
            drop(wal);
            assert_eq!(contents(&open(&disk.power_cut_losing_everything(), &options)).len(), 36);
        }
    });
}

#[test]
fn entries_that_share_a_sync_are_all_covered_by_it() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let options = small(policy).segment_bytes(64 << 10).background(background);
            let disk = SimDisk::new(2);
            let wal = Arc::new(open(&disk, &options));
            let commits: Vec<_> = (0..200)
                .map(|number| (number, payload(number, 300)))
                .map(|(number, payload)| {
                    let commit = wal.submit_with(&payload, Durability::Durable).expect("nothing fails");
                    assert_eq!(commit.sequence(), number);
                    (commit, payload)
                })
                .collect();
            // The last one first: when it is durable, everything in front of it is.
            commits.last().expect("two hundred").0.wait().expect("nothing fails");
            let shown = on_the_device(&disk, &options);
            for (commit, payload) in &commits {
                assert_eq!(commit.outcome().expect("known").expect("nothing fails"), commit.sequence());
                holds_all(&shown, &[(commit.sequence(), payload.clone())]);
            }
        }
    });
}

/// Appends when it is dropped.
struct AppendsLast(Wal);

impl Drop for AppendsLast {
    fn drop(&mut self) {
        self.0.append(b"last words").expect("it can be written");
    }
}

/// A panic of its own code is no failure of the log: what a destructor appends meanwhile is shown to readers, over a rollover
/// too.
#[test]
fn what_a_destructor_appends_while_its_thread_panics_is_shown() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let wal = Options::new().segment_bytes(64 << 10).open(scratch.path().join("log")).expect("a new log");
    for round in 0..10 {
        wal.append(&[7; 20 << 10]).expect("it can be written");
        let last = AppendsLast(wal.clone());
        let panicked = std::thread::spawn(move || {
            let _last = last;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(panicked.join().is_err());
        assert_eq!(&*wal.read(2 * round + 1).expect("it is shown"), b"last words");
        let entries = wal.range(..).expect("the log is open").map(|entry| entry.expect("it is whole"));
        assert_eq!(entries.count() as u64, 2 * round + 2);
    }
    wal.close().expect("nothing fails");
}
