//! Waiting for a watermark: by blocking, for a time, and as a task; until it never will be.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::gate::Gate;
use crate::common::seam::{Call, Seam};
use crate::common::task::block_on;
use crate::common::{EVERY_POLICY, eio, every_setup, fault, open, refused, small, within};
use wal::{Durability, Error, ErrorKind, Reached, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const LIMIT: Duration = Duration::from_secs(30);
const FAR: u64 = 1_000_000;

/// Every way to wait, with an answer in the end.
const WAYS: [fn(Reached) -> Result<(), Error>; 4] = [
    Reached::wait,
    |mut reached| reached.wait_timeout(LIMIT).expect("within the time"),
    |reached| block_on(reached),
    |mut reached| loop {
        if let Some(outcome) = reached.wait_timeout(Duration::from_micros(100)) {
            return outcome;
        }
    },
];

type Watermark = fn(&Wal, u64) -> Reached;
const WATERMARKS: [Watermark; 2] = [Wal::until_written, Wal::until_durable];

/// Counts how often it was woken.
#[derive(Default)]
struct Counts(AtomicU64);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(reached: &mut Reached, waker: &Arc<Counts>) -> Poll<Result<(), Error>> {
    Pin::new(reached).poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker))))
}

#[test]
fn what_is_true_already_is_told_at_once() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let wal = open(&SimDisk::new(1), &small(policy).background(background));
            wal.append_batch([b"a", b"b", b"c"]).expect("nothing fails");
            wal.sync().expect("nothing fails");
            for watermark in WATERMARKS {
                for way in WAYS {
                    (0..3).for_each(|number| way(watermark(&wal, number)).expect("it is"));
                }
                assert!(watermark(&wal, 2).wait_timeout(Duration::ZERO).is_some());
                assert!(
                    watermark(&wal, 3).wait_timeout(Duration::ZERO).is_none(),
                    "nobody has appended that"
                );
            }
        }
    });
}

#[test]
fn whoever_waits_for_an_entry_that_nobody_has_appended_yet_is_woken_by_it_and_not_before() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let wal = open(&SimDisk::new(1), &small(policy).background(background));
            let waiting: Vec<_> = WATERMARKS
                .into_iter()
                .zip([Wal::written_end, Wal::durable_end])
                .flat_map(|watermark| WAYS.map(|way| (watermark, way)))
                .flat_map(|(watermark, way)| [3, 7].map(|number| (watermark, way, number)))
                .map(|((watermark, position), way, number)| {
                    let wal = wal.clone();
                    thread::spawn(move || {
                        way(watermark(&wal, number)).expect("it comes");
                        assert!(position(&wal) > number, "told too early");
                    })
                })
                .collect();
            for _ in 0..10 {
                wal.append(&[1; 900]).expect("nothing fails");
                thread::sleep(Duration::from_micros(200));
            }
            wal.sync().expect("nothing fails");
            waiting.into_iter().for_each(|waiter| waiter.join().expect("nobody panics"));
        }
    });
}

#[test]
fn waiting_asks_for_no_write_and_no_sync() {
    within(LIMIT, || {
        for background in [false, true] {
            let disk = SimDisk::new(1);
            let wal = open(
                &disk,
                &small(SyncPolicy::None).segment_bytes(1 << 20).background(background).buffered(1 << 16),
            );
            wal.append(b"gathers").expect("it gathers");
            let pause = Duration::from_millis(10);
            for watermark in WATERMARKS {
                let began = Instant::now();
                assert!(watermark(&wal, 0).wait_timeout(pause).is_none());
                assert!(began.elapsed() >= pause);
            }
            wal.flush().expect("nothing fails");
            wal.until_written(0).wait().expect("it is written");
            assert!(wal.until_durable(0).wait_timeout(pause).is_none());
            assert_eq!(wal.durable_end(), 0);
        }
    });
}

#[test]
fn a_task_is_woken_once_when_it_is_true_and_a_dropped_one_never() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(1);
            let gate = Gate::new();
            let syncs = Arc::clone(&gate);
            let seam = Seam::new(disk, move |call| match call {
                Call::Sync { name } if name.ends_with(".wal") => syncs.pass(),
                _ => Ok(()),
            });
            let options = small(policy).segment_bytes(1 << 20).background(true);
            let wal = options.open_in(seam).expect("nothing fails");
            wal.append_with(b"first", Durability::Durable).expect("nothing fails");
            gate.shut();
            let [first, last, gone] = [(); 3].map(|()| Arc::new(Counts::default()));
            let mut reached = wal.until_durable(1);
            assert!(poll(&mut reached, &first).is_pending());
            // A task that has moved is woken where it is now.
            assert!(poll(&mut reached, &last).is_pending());
            let mut dropped = wal.until_durable(1);
            assert!(poll(&mut dropped, &gone).is_pending());
            drop(dropped);
            let commit = wal.submit_with(b"second", Durability::Durable).expect("nothing fails");
            gate.until_somebody_waits();
            wal.until_written(1).wait().expect("it is written before it is synced");
            assert!(poll(&mut reached, &last).is_pending());
            gate.open();
            commit.wait().expect("nothing fails");
            crate::common::eventually("the task is woken", LIMIT, || last.0.load(Ordering::SeqCst) > 0);
            assert!(matches!(poll(&mut reached, &last), Poll::Ready(Ok(()))));
            wal.close().expect("nothing fails");
            let woken = [first, last, gone].map(|counts| counts.0.load(Ordering::SeqCst));
            assert_eq!(woken, [0, 1, 0], "{policy:?}");
        }
    });
}

#[test]
fn what_never_comes_is_told_when_the_log_is_poisoned_closed_or_dropped() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for end in ["poisoned", "closed", "dropped"] {
                let disk = SimDisk::new(1);
                let options = small(policy).segment_bytes(1 << 20).background(background);
                let wal = open(&disk, &options);
                wal.append_with(b"first", Durability::Durable).expect("nothing fails");
                let waiting: Vec<_> = WATERMARKS
                    .into_iter()
                    .flat_map(|watermark| WAYS.map(|way| (watermark(&wal, FAR), way)))
                    .map(|(reached, way)| thread::spawn(move || way(reached)))
                    .collect();
                let tasks: Vec<_> = (0..3).map(|number| wal.until_durable(FAR + number)).collect();
                thread::sleep(Duration::from_millis(1));
                let expected = match end {
                    "closed" => {
                        wal.close().expect("nothing fails");
                        ErrorKind::Closed
                    }
                    "dropped" => {
                        drop(wal);
                        ErrorKind::Closed
                    }
                    _ => {
                        disk.fail(fault(CallKind::SyncFile, 0, Times::Forever, FaultEffect::Error(eio())));
                        refused(wal.append_with(b"second", Durability::Durable), ErrorKind::Poisoned);
                        ErrorKind::Poisoned
                    }
                };
                for waiter in waiting {
                    refused(waiter.join().expect("nobody panics"), expected);
                }
                for task in tasks {
                    refused(block_on(task), expected);
                }
            }
        }
    });
}

#[test]
fn a_commit_and_a_watermark_need_no_runtime_and_can_be_awaited_together() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let wal = open(&SimDisk::new(1), &small(policy).background(background));
            let acknowledged = block_on(async {
                let mut numbers = Vec::new();
                for _ in 0..10 {
                    let commit = wal.submit_with(&[1; 500], Durability::Durable)?;
                    let number = commit.await?;
                    wal.until_durable(number).await?;
                    numbers.push(number);
                }
                Ok::<_, Error>(numbers)
            });
            assert!(acknowledged.expect("nothing fails").into_iter().eq(0..10));
        }
    });
}

#[test]
fn many_commits_are_awaited_by_one_task_in_any_order() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let wal = open(&SimDisk::new(1), &small(policy).background(background));
            let submit = |_| Some(wal.submit_with(&[1; 200], Durability::Durable).expect("nothing fails"));
            let mut commits: Vec<_> = (0..64).map(submit).collect();
            let mut told = Vec::new();
            let all = std::future::poll_fn(|context| {
                for slot in commits.iter_mut().rev() {
                    let Some(commit) = slot else { continue };
                    if let Poll::Ready(outcome) = pin!(commit).poll(context) {
                        told.push(outcome.expect("nothing fails"));
                        *slot = None;
                    }
                }
                if told.len() == 64 { Poll::Ready(()) } else { Poll::Pending }
            });
            block_on(all);
            told.sort_unstable();
            assert!(told.into_iter().eq(0..64));
        }
    });
}

/// A service waited for an entry that another thread had submitted. The disk was full and its write failed; the
/// next entry got the number, and the service was told that its entry was durable.
#[test]
fn a_wait_for_an_entry_whose_write_failed_is_told_and_never_says_ok_for_another_entry() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let gate = Gate::new();
            let writes = Arc::clone(&gate);
            let seam = Seam::new(SimDisk::new(1), move |call| match call {
                Call::Write { name, .. } if name.ends_with(".wal") => writes.pass(),
                _ => Ok(()),
            });
            // No segment begins here but the first, so the only write that the gate sees is the frame's.
            let options = small(policy).segment_bytes(1 << 20).background(background).zero_ahead(false);
            let wal = options.open_in(seam).expect("nothing fails");
            wal.append_with(b"first", Durability::Durable).expect("nothing fails");
            let mut follower = wal.follow(0).expect("it is there");

            gate.shut();
            // Without threads the write begins with the wait for the commit, and so in another thread.
            let commit = wal.submit_with(b"lost", Durability::Written).expect("it joins");
            assert_eq!(commit.sequence(), 1);
            let writer = thread::spawn(move || commit.wait());
            gate.until_somebody_waits();
            let waiting: Vec<_> = WATERMARKS
                .into_iter()
                .flat_map(|watermark| WAYS.map(|way| (watermark(&wal, 1), way)))
                .map(|(reached, way)| thread::spawn(move || way(reached)))
                .collect();
            let unpolled = WATERMARKS.map(|watermark| watermark(&wal, 1));
            let beyond = WATERMARKS.map(|watermark| watermark(&wal, 2));
            thread::sleep(Duration::from_millis(1));
            gate.open_failing_one();
            refused(writer.join().expect("it does not panic"), ErrorKind::Io);

            assert_eq!(wal.append_with(b"second", Durability::Durable).expect("the disk is well"), 1);
            for waiter in waiting {
                let error = refused(waiter.join().expect("it does not panic"), ErrorKind::Truncated);
                assert!(error.to_string().contains("write of the entries from 1 on failed"), "{error}");
            }
            for reached in unpolled {
                refused(reached.wait(), ErrorKind::Truncated);
            }
            wal.until_durable(1).wait().expect("asked after the failure, it means the second");
            assert_eq!(wal.append_with(b"third", Durability::Durable).expect("nothing fails"), 2);
            for reached in beyond {
                reached.wait().expect("no entry had that number when the write failed");
            }
            for expected in [&b"first"[..], b"second", b"third"] {
                let entry = follower.next().expect("it goes on").expect("nothing was taken back");
                assert_eq!(entry.payload(), expected);
            }
        }
    });
}
