//! A write fails while others append: the numbers are used again, and the log has no hole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::gate::Gate;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::task::block_on;
use crate::common::{
    Acknowledged, EVERY_POLICY, SMALL, contents, every_setup, fault, holds_all, open, small, within,
};
use wal::{Durability, Error, ErrorKind, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const LIMIT: Duration = Duration::from_secs(60);

/// Appends with every call; returns what was acknowledged. What fails is not tried again.
fn appends(wal: &Wal, appender: u64, turns: u64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let mut submitted = Vec::new();
    let mut take = |payloads: &[Vec<u8>], outcome: Result<u64, Error>| match outcome {
        Ok(first) => acknowledged.extend((first..).zip(payloads.iter().cloned())),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
    };
    for turn in 0..turns {
        let stamp = appender * 10_000 + turn * 10;
        let one = payload(stamp, 200);
        match turn % 6 {
            0 => take(std::slice::from_ref(&one), wal.append(&one)),
            1 => take(std::slice::from_ref(&one), wal.append_with(&one, Durability::Durable)),
            2 => match wal.submit(&one) {
                Ok(commit) => submitted.push((commit, one)),
                Err(error) => take(&[], Err(error)),
            },
            3 => match wal.submit_with(&one, Durability::Durable) {
                Ok(commit) => submitted.push((commit, one)),
                Err(error) => take(&[], Err(error)),
            },
            4 => {
                let batch: Vec<_> = (0..3).map(|part| payload(stamp + part, 90)).collect();
                let appended = wal.append_batch(&batch).map(|numbers| numbers.start);
                take(&batch, appended);
            }
            _ => {
                for (commit, payload) in submitted.drain(..) {
                    let outcome = if turn % 2 == 0 { commit.wait() } else { block_on(commit) };
                    take(&[payload], outcome);
                }
            }
        }
    }
    for (commit, payload) in submitted {
        take(&[payload], commit.wait());
    }
    acknowledged
}

// slatedb#1018: one flush failed, the next one succeeded, and the log went on behind what was missing.
// Replay stopped at the hole, and everything behind it was lost although it had been acknowledged. Here a
// failed write takes with it everything that is numbered behind it, and those numbers are given again.
#[test]
fn failed_writes_under_concurrent_appends_leave_no_hole() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for (segment_bytes, stored) in [(SMALL, 0), (SMALL, 40), (1 << 20, 0), (1 << 20, 120)] {
                let what = format!("{policy:?}, threads: {background}, {segment_bytes}, {stored} stored");
                let options = small(policy).segment_bytes(segment_bytes).background(background);
                let disk = SimDisk::new(stored as u64);
                let wal = open(&disk, &options);
                for nth in [3, 4, 9, 20, 33, 34, 35, 60, 90] {
                    let effect = FaultEffect::PartialThenError(stored, crate::common::enospc());
                    disk.fail(fault(CallKind::Write, nth, Times::Once, effect));
                }
                let threads: Vec<_> = (0..4)
                    .map(|appender| {
                        let wal = wal.clone();
                        thread::spawn(move || appends(&wal, appender, 36))
                    })
                    .collect();
                let mut acknowledged: Acknowledged =
                    threads.into_iter().flat_map(|thread| thread.join().expect("nobody panics")).collect();
                disk.heal();
                // Once anything later was accepted, what failed cannot come back.
                let last = wal.append_with(b"last", Durability::Durable).expect("the fault is over");
                acknowledged.push((last, b"last".to_vec()));
                acknowledged.sort();
                let (numbers, payloads): (Vec<u64>, Vec<Vec<u8>>) = acknowledged.into_iter().unzip();
                assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{what}: {numbers:?}");
                assert_eq!(wal.written_end(), numbers.len() as u64, "{what}");
                assert!(contents(&wal) == payloads, "{what}");
                let durable = open(&disk.power_cut_losing_everything(), &small(policy));
                assert!(contents(&durable) == payloads, "{what}: the last one was durable");
                drop(wal);
                assert!(contents(&open(&disk.kill(), &small(policy))) == payloads, "{what}");
            }
        }
    });
}

#[test]
fn a_failed_write_takes_back_everything_that_joined_behind_it_and_nothing_else() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let what = format!("{policy:?}, threads: {background}");
            let disk = SimDisk::new(1);
            let gate = Gate::new();
            let writes = Arc::clone(&gate);
            let seam = Seam::new(disk.clone(), move |call| match call {
                Call::Write { name, offset: 8193.., .. } if name.ends_with(".wal") => writes.pass(),
                _ => Ok(()),
            });
            let options = small(policy).segment_bytes(1 << 20).background(background);
            let wal = options.open_in(seam).expect("nothing fails");
            assert_eq!(wal.append_with(b"kept", Durability::Durable).expect("nothing fails"), 0);
            gate.shut();
            let failing = {
                let wal = wal.clone();
                thread::spawn(move || wal.append_with(b"fails", Durability::Written))
            };
            gate.until_somebody_waits();
            let behind: Vec<_> = (2..10)
                .map(|number| {
                    let commit = wal.submit_with(b"behind", Durability::Durable).expect("it joins");
                    assert_eq!(commit.sequence(), number, "{what}");
                    commit
                })
                .collect();
            let (watched, mut beyond) = (wal.until_written(5), wal.until_written(10));
            gate.open_failing_one();
            let failed = crate::common::refused(failing.join().expect("nobody panics"), ErrorKind::Io);
            for commit in behind {
                let error = crate::common::refused(commit.wait(), ErrorKind::Io);
                assert_eq!(error.to_string(), failed.to_string(), "{what}");
            }
            assert_eq!((wal.written_end(), wal.last()), (1, Some(0)), "{what}");
            for number in 1..=5 {
                let appended = wal.append_with(&[7], Durability::Durable);
                assert_eq!(appended.expect("the fault is over"), number, "{what}");
            }
            // What it waited for is not there, and entry 5 is another one.
            crate::common::refused(watched.wait(), ErrorKind::Truncated);
            wal.until_written(5).wait().expect("it is the other one that is asked for now");
            assert!(beyond.wait_timeout(Duration::ZERO).is_none(), "no entry had that number");
            assert_eq!(contents(&wal)[0], b"kept");
            drop(wal);
            let shown = contents(&open(&disk.kill(), &small(policy)));
            assert_eq!(shown, [&b"kept"[..], &[7], &[7], &[7], &[7], &[7]], "{what}");
        }
    });
}

#[test]
fn an_entry_that_failed_last_of_all_may_be_found_and_nothing_behind_it() {
    for policy in EVERY_POLICY {
        for stored in [0, 10, 64, 500] {
            let disk = SimDisk::new(1);
            // A thread that writes the anchor would meet the fault now and then.
            let options = small(policy).segment_bytes(1 << 20);
            let wal = open(&disk, &options);
            wal.append_with(b"kept", Durability::Durable).expect("nothing fails");
            let effect = FaultEffect::PartialThenError(stored, crate::common::enospc());
            disk.fail(fault(CallKind::Write, 0, Times::Once, effect));
            crate::common::refused(wal.append(&[7; 100]), ErrorKind::NoSpace);
            drop(wal);
            let shown = contents(&open(&disk.kill(), &options));
            let whole = stored == 500;
            assert_eq!(shown.len(), 1 + usize::from(whole), "{policy:?}, {stored} bytes stored");
            holds_all(&shown, &[(0, b"kept".to_vec())]);
        }
    }
}

#[test]
fn numbers_never_go_back_in_front_of_what_was_acknowledged() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let writes = AtomicU64::new(0);
            // Every fourth write fails: behind a cut, a segment takes three to begin.
            let seam = Seam::new(disk.clone(), move |call| match call {
                Call::Write { name, .. } if name.ends_with(".wal") => {
                    let fails = writes.fetch_add(1, Ordering::Relaxed) % 4 == 3;
                    if fails { Err(std::io::Error::other("every fourth")) } else { Ok(()) }
                }
                _ => Ok(()),
            });
            let options = small(policy).background(background);
            let wal = options.open_in(seam).expect("nothing is written");
            let mut accepted = Vec::new();
            for turn in 0..60 {
                let payload = payload(turn, 300);
                match wal.append(&payload) {
                    Ok(number) => {
                        assert_eq!(number, accepted.len() as u64);
                        accepted.push(payload);
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
                }
                assert_eq!(wal.written_end(), accepted.len() as u64);
            }
            assert!(accepted.len() > 15, "{} of 60", accepted.len());
            assert!(contents(&wal) == accepted);
        }
    });
}
