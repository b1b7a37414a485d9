//! Each call of a rollover fails, once or for ever: the log says so and goes on, or is poisoned.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{HALF, contents, eio, enospc, fault, open, small, within};
use wal::{ErrorKind, SyncPolicy};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

const CALLS: [CallKind; 7] = [
    CallKind::Create,
    CallKind::Allocate,
    CallKind::Write,
    CallKind::SyncFile,
    CallKind::SyncDirectory,
    CallKind::Remove,
    CallKind::Len,
];

// In a log written in Go a rollover that failed left no open file behind. The next append used it all the
// same, and panicked.
#[test]
fn a_rollover_that_fails_anywhere_is_an_error_and_the_next_append_goes_on_or_says_why_not() {
    within(LIMIT, || {
        for background in [false, true] {
            for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
                for call in CALLS {
                    for nth in 0..4 {
                        for times in [Times::Once, Times::Forever] {
                            for failure in [eio(), enospc()] {
                                let options = small(policy).background(background);
                                let disk = SimDisk::new(nth);
                                let wal = open(&disk, &options);
                                wal.append(&[0; HALF]).expect("nothing fails yet");
                                disk.fail(fault(call, nth, times, FaultEffect::Error(failure)));
                                let mut accepted = vec![vec![0; HALF]];
                                for number in 1..7 {
                                    let payload = vec![number; HALF];
                                    let appended = catch_unwind(AssertUnwindSafe(|| wal.append(&payload)))
                                        .expect("no panic");
                                    if let Ok(sequence) = appended {
                                        assert_eq!(sequence, accepted.len() as u64);
                                        accepted.push(payload);
                                    }
                                }
                                disk.heal();
                                let what =
                                    format!("{policy:?}, threads: {background}, {call:?} {nth} {times:?}");
                                match wal.append(&[9; HALF]) {
                                    Ok(sequence) => {
                                        assert_eq!(sequence, accepted.len() as u64, "{what}");
                                        accepted.push(vec![9; HALF]);
                                        wal.close().expect("the fault is over");
                                        assert_eq!(contents(&open(&disk, &options)), accepted, "{what}");
                                    }
                                    Err(error) => {
                                        assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: {error}");
                                        drop(wal);
                                        let shown = contents(&open(&disk.kill(), &options));
                                        if policy.waits() {
                                            assert!(shown.starts_with(&accepted), "{what}");
                                        } else {
                                            assert!(
                                                shown.iter().zip(&accepted).all(|(a, b)| a == b),
                                                "{what}"
                                            );
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    });
}
