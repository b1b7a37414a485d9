//! The threads behind the log fail, panic or stand still: nobody hangs, and nothing false is promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::gate::Gate;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{
    EVERY_POLICY, HALF, Ledger, check_power_cut, contents, damage_last_frame, eventually, open, read,
    refused, small, try_open, within,
};
use wal::{Durability, Ending, ErrorKind, SyncPolicy};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);

fn is_on(thread: &str) -> bool {
    thread::current().name() == Some(thread)
}

fn panics_on_purpose() {
    panic!("a panic below the log, on purpose");
}

#[test]
fn a_preparation_that_panics_costs_an_append_at_most_and_hangs_nobody() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            for (skipped, panics) in [(0, 1), (1, 1), (2, 1), (3, 2), (0, u64::MAX)] {
                let disk = SimDisk::new(1);
                let calls = AtomicU64::new(0);
                let seam = Seam::new(disk.clone(), move |call| {
                    let prepares = match call {
                        Call::Write { name, .. } | Call::Sync { name } => name.ends_with(".wal"),
                        Call::SyncDirectory => true,
                        _ => false,
                    };
                    if prepares && is_on("wal-files") {
                        let before = calls.fetch_add(1, Ordering::Relaxed);
                        if before >= skipped && before - skipped < panics {
                            panics_on_purpose();
                        }
                    }
                    Ok(())
                });
                let wal = small(policy).background(true).open_in(seam).expect("no thread is at it yet");
                let mut ledger = Ledger::new(policy);
                let mut refusals = 0;
                for _ in 0..12 {
                    if let Err(error) = ledger.append(&wal, HALF) {
                        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                        assert!(error.to_string().contains("panicked"), "{error}");
                        refusals += 1;
                    }
                }
                assert!(refusals <= panics.min(12), "{refusals} refusals after {panics} panics");
                assert_eq!(contents(&wal), ledger.entries());
                ledger.sync(&wal).expect("what there is can be synced");
                ledger.close(wal).expect("a close needs no segment");
                check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(policy));
            }
        }
    });
}

#[test]
fn an_anchor_that_panics_is_written_later() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(1);
            let calls = AtomicU64::new(0);
            let seam = Seam::new(disk.clone(), move |call| {
                let strikes =
                    matches!(call, Call::Write { name: "ANCHOR", .. } | Call::Sync { name: "ANCHOR" });
                if strikes && is_on("wal-files") && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                    panics_on_purpose();
                }
                Ok(())
            });
            let wal = small(policy).background(true).open_in(seam).expect("no thread is at it yet");
            let mut ledger = Ledger::new(policy);
            for _ in 0..9 {
                ledger.append(&wal, HALF).expect("nobody waits for the anchor");
            }
            ledger.close(wal).expect("the closing thread writes it");
            let reopened = open(&disk.kill(), &small(policy));
            assert_eq!(reopened.recovery().ending, Ending::Clean);
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(policy));
        }
    });
}

// Whoever sleeps until the syncing thread has synced must be woken when that thread dies.
#[test]
fn a_syncing_thread_that_panics_poisons_the_log_and_wakes_everybody() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            for in_write in [true, false] {
                let disk = SimDisk::new(1);
                let seam = Seam::new(disk.clone(), move |call| {
                    let strikes = match call {
                        Call::Write { .. } => in_write,
                        Call::Sync { .. } => !in_write,
                        _ => false,
                    };
                    if strikes && is_on("wal-sync") {
                        panics_on_purpose();
                    }
                    Ok(())
                });
                let options = small(policy).segment_bytes(1 << 20).background(true);
                let wal = options.open_in(seam).expect("no thread is at it yet");
                let watcher = {
                    let wal = wal.clone();
                    thread::spawn(move || wal.until_durable(1_000_000).wait())
                };
                let commits: Vec<_> =
                    (0..4).map_while(|_| wal.submit_with(b"submitted", Durability::Durable).ok()).collect();
                assert!(!commits.is_empty(), "the first one joins");
                for commit in commits {
                    refused(commit.wait(), ErrorKind::Poisoned);
                }
                refused(watcher.join().expect("nobody panics"), ErrorKind::Poisoned);
                refused(wal.append(b"after"), ErrorKind::Poisoned);
                refused(wal.close(), ErrorKind::Poisoned);
                // What was written may be there; the log is whole in any case.
                contents(&open(&disk.kill(), &small(policy)));
            }
        }
    });
}

#[test]
fn a_preparation_that_stands_still_holds_up_no_more_than_the_next_segment() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(1);
            let gate = Gate::new();
            let prepares = Arc::clone(&gate);
            let seam = Seam::new(disk.clone(), move |call| match call {
                Call::SyncDirectory if is_on("wal-files") => prepares.pass(),
                _ => Ok(()),
            });
            let options = small(policy).segment_bytes(32 << 10).background(true);
            let wal = options.open_in(seam).expect("no thread is at it yet");
            wal.append_with(&payload(0, 100), Durability::Durable).expect("nothing fails");
            gate.shut();
            // More than half a segment: the next one is ordered, and its preparation stands still.
            for number in 1..14 {
                let appended = wal.append_with(&payload(number, HALF), Durability::Durable);
                assert_eq!(appended.expect("there is room"), number);
            }
            gate.until_somebody_waits();
            wal.sync().expect("the sync does not wait for it");
            assert_eq!(contents(&wal).len(), 14);
            let appender = {
                let wal = wal.clone();
                thread::spawn(move || {
                    (14..20).map(|number| wal.append(&payload(number, HALF))).collect::<Vec<_>>()
                })
            };
            thread::sleep(Duration::from_millis(3));
            assert!(!appender.is_finished(), "it waits for the segment");
            let (shown, error) = read(wal.range(..).expect("the log is open"));
            assert!(shown.len() >= 14 && error.is_none(), "a reader waits for nobody");
            gate.open();
            for (number, appended) in (14..).zip(appender.join().expect("nobody panics")) {
                assert_eq!(appended.expect("nothing fails"), number);
            }
            wal.close().expect("nothing fails");
            assert_eq!(contents(&open(&disk, &small(policy))).len(), 20);
        }
    });
}

// Until something on disk states that the last frames were durable, damage to them cannot be told from a
// torn tail. An idle log writes nothing that would state it; so the anchor does, when there is time.
#[test]
fn about_a_second_behind_the_last_sync_the_anchor_attests_everything() {
    within(LIMIT, || {
        let damaged = |disk: &SimDisk| {
            let image = disk.power_cut_losing_everything();
            damage_last_frame(&image);
            image
        };
        let logs: Vec<_> = EVERY_POLICY
            .into_iter()
            .map(|policy| {
                let disk = SimDisk::new(1);
                let wal = open(&disk, &small(policy).segment_bytes(1 << 20).background(true));
                for number in 0..10 {
                    wal.append_with(&payload(number, 100), Durability::Durable).expect("nothing fails");
                }
                (policy, disk, wal)
            })
            .collect();
        for (policy, disk, wal) in logs {
            let attested = || matches!(try_open(&damaged(&disk), &small(policy)), Err(error) if error.kind() == ErrorKind::Corrupt);
            eventually("the anchor is written", LIMIT / 2, attested);
            let error = refused(try_open(&damaged(&disk), &small(policy)), ErrorKind::Corrupt);
            let lost = error.damage().and_then(|damage| damage.sequences).expect("it says what is lost");
            assert_eq!((lost.first, lost.end), (Some(9), Some(10)), "{error}");
            // And nothing is written while nothing happens.
            let operations = disk.operations();
            thread::sleep(Duration::from_millis(20));
            assert_eq!(disk.operations(), operations, "{policy:?}");
            drop(wal);
        }
        // Without threads nobody does it, and the last frame is dropped as a torn tail.
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::Immediate).segment_bytes(1 << 20));
        for number in 0..10 {
            wal.append(&payload(number, 100)).expect("nothing fails");
        }
        assert_eq!(contents(&open(&damaged(&disk), &small(SyncPolicy::Immediate))).len(), 9);
    });
}
