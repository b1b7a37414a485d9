//! Segments are filled with zeros before they are used, so that small syncs are quick: when that is done,
//! what it costs when it fails, and that nothing rests on it.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::gate::Gate;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{
    FEW_IMAGES, HALF, Ledger, POLICIES, check_images, contents, cut_everywhere, open, small, try_open, within,
};
use wal::{Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(60);

/// Where frames begin.
const FRAMES: u64 = 8192;
const SECOND: &str = "00000000000000000002.wal";

/// Immediate, in the smallest segments, without threads, and zeroed all the same.
fn zeroing() -> Options {
    small(SyncPolicy::Immediate).zero_ahead(true)
}

/// Bytes that were written to the second segment, before a LINK was, and how many syncs followed them.
fn zeros_ahead(options: &Options, appends: u64, entry_bytes: usize) -> (u64, u64) {
    let disk = SimDisk::new(1);
    let written = Arc::new(Mutex::new((0, 0)));
    let record = Arc::clone(&written);
    let seam = Seam::new(disk.clone(), move |call| {
        let mut record = record.lock().expect("nobody panics");
        match call {
            Call::Write { name: SECOND, offset: FRAMES.., bytes } => record.0 += bytes as u64,
            Call::Sync { name: SECOND } if record.0 > 0 => record.1 += 1,
            _ => {}
        }
        Ok(())
    });
    let wal = options.open_in(seam).expect("a new log");
    for number in 0..appends {
        wal.append(&payload(number, entry_bytes)).expect("nothing fails");
    }
    assert_eq!(wal.stats().segments, 1, "the second one is a spare");
    assert!(disk.contents(SECOND).is_some(), "which was prepared");
    let found = *written.lock().expect("nobody panics");
    drop(wal);
    found
}

#[test]
fn a_segment_of_small_syncs_is_followed_by_one_that_is_zeroed_and_synced() {
    // The first entry makes the first segment half full.
    let (bytes, syncs) = zeros_ahead(&zeroing(), 1, HALF);
    assert_eq!((bytes, syncs), ((12 << 10) - FRAMES, 1));
}

#[test]
fn nothing_is_zeroed_when_it_is_not_wanted_or_gives_nothing() {
    assert_eq!(zeros_ahead(&zeroing().zero_ahead(false), 1, HALF).0, 0, "it is switched off");
    assert_eq!(zeros_ahead(&small(SyncPolicy::Immediate), 1, HALF).0, 0, "no thread is there to do it");
    // The first segment is 1 MiB long, and more than half full then.
    let long = zeroing().segment_bytes(4 << 20);
    assert_eq!(zeros_ahead(&long, 7, 100 << 10).0, 0, "syncs of 64 KiB and more");
    assert!(zeros_ahead(&long, 10, 60 << 10).0 > 1 << 20, "smaller ones");
}

#[test]
fn a_zeroing_that_fails_costs_the_file_alone() {
    within(LIMIT, || {
        for background in [false, true] {
            for (failing_write, times) in [(true, 1), (false, 1), (true, u64::MAX), (false, u64::MAX)] {
                let disk = SimDisk::new(1);
                let left = AtomicU64::new(times);
                // The file that was zeroed last and is not synced yet.
                let zeroed = Mutex::new(None);
                let seam = Seam::new(disk.clone(), move |call| {
                    // Frames here are shorter than what is zeroed at once.
                    let mut zeroed = zeroed.lock().expect("no panic");
                    let fails = match call {
                        Call::Write { bytes: 4096, offset: FRAMES, name } => {
                            *zeroed = Some(name.to_owned());
                            failing_write
                        }
                        Call::Sync { name } if zeroed.as_deref() == Some(name) => {
                            *zeroed = None;
                            !failing_write
                        }
                        _ => false,
                    };
                    let counts = |left: u64| left.checked_sub(1);
                    if fails && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, counts).is_ok() {
                        return Err(io::Error::other("the zeros cannot be written"));
                    }
                    Ok(())
                });
                let wal = zeroing().background(background).open_in(seam).expect("a new log");
                let mut ledger = Ledger::new(SyncPolicy::Immediate);
                for _ in 0..9 {
                    ledger.append(&wal, HALF).expect("an append needs no zeros");
                }
                assert_eq!(contents(&wal), ledger.entries());
                ledger.close(wal).expect("nothing is poisoned");
                assert_eq!(
                    contents(&open(&disk.power_cut_losing_everything(), &zeroing())),
                    ledger.entries()
                );
            }
        }
    });
}

/// Whoever needs the segment does not wait until all of it is zeroed.
#[test]
fn an_append_gets_a_segment_that_is_being_zeroed_after_the_next_step() {
    within(LIMIT, || {
        let disk = SimDisk::new(1);
        let gate = Gate::new();
        let (steps, passes) = (Arc::new(AtomicU64::new(0)), Arc::clone(&gate));
        let counted = Arc::clone(&steps);
        let seam = Seam::new(disk.clone(), move |call| match call {
            Call::Write { name: SECOND, offset: FRAMES.., .. }
                if thread::current().name() == Some("wal-files") =>
            {
                counted.fetch_add(1, Ordering::SeqCst);
                passes.pass()
            }
            _ => Ok(()),
        });
        gate.shut();
        let options = Options::new().sync(SyncPolicy::Immediate).segment_bytes(4 << 20);
        let wal = options.open_in(seam).expect("a new log");
        let append_all = |wal: &Wal, numbers: Range<u64>| {
            numbers.for_each(|number| {
                wal.append(&payload(number, 10_000)).expect("nothing fails");
            });
        };
        // The first segment is 1 MiB long: it gets more than half full, and then full.
        append_all(&wal, 0..60);
        gate.until_somebody_waits();
        append_all(&wal, 60..100);
        let appender = {
            let wal = wal.clone();
            thread::spawn(move || append_all(&wal, 100..120))
        };
        thread::sleep(Duration::from_millis(20));
        assert!(!appender.is_finished(), "it waits for the step");
        gate.open();
        appender.join().expect("nobody panics");
        // The second segment is 4 MiB long: sixteen steps.
        assert!(steps.load(Ordering::SeqCst) < 8, "{steps:?} steps while somebody waited");
        assert_eq!(wal.stats().rollovers, 2);
        wal.close().expect("nothing fails");
    });
}

#[test]
fn a_power_cut_at_any_operation_beside_a_zeroing_loses_nothing_acknowledged() {
    for policy in POLICIES {
        let options = small(policy).zero_ahead(true);
        cut_everywhere(
            || Ledger::new(policy),
            |_, _| {},
            |disk, ledger| {
                if let Ok(wal) = try_open(disk, &options) {
                    for _ in 0..6 {
                        ledger.append(&wal, HALF).ok();
                        ledger.sync(&wal).ok();
                    }
                }
            },
            |disk, ledger| check_images(disk, ledger, &options, FEW_IMAGES, 3),
        );
    }
}
