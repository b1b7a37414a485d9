//! No more is in flight than the options allow, and whoever waits for room gets it.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::gate::Gate;
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{EVERY_POLICY, contents, every_setup, open, refused, small, within};
use wal::{Commit, Durability, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);
const BOUND: u64 = 1000;
const PAYLOAD: usize = 100;

/// So many entries of this size are allowed: a few bytes more go with each.
const ALLOWED: usize = 9;

/// A log whose writes of frames pass one gate, and whose syncs of segments another.
fn gated(options: &Options) -> (SimDisk, Wal, Arc<Gate>, Arc<Gate>) {
    let disk = SimDisk::new(1);
    let (writes, syncs) = (Gate::new(), Gate::new());
    let (written, synced) = (Arc::clone(&writes), Arc::clone(&syncs));
    let seam = Seam::new(disk.clone(), move |call| match call {
        Call::Write { name, offset: 8192.., .. } if name.ends_with(".wal") => written.pass(),
        Call::Sync { name } if name.ends_with(".wal") => synced.pass(),
        _ => Ok(()),
    });
    let wal = options.open_in(seam).expect("nothing is written");
    wal.append_with(b"first", Durability::Durable).expect("the gates are open");
    (disk, wal, writes, syncs)
}

fn bounded(policy: SyncPolicy) -> Options {
    small(policy).segment_bytes(1 << 20).background(true).max_in_flight_bytes(BOUND)
}

#[test]
fn try_submit_is_refused_at_the_bound_and_not_before_and_appends_nothing() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            for holds_writes in [true, false] {
                let (disk, wal, writes, syncs) = gated(&bounded(policy));
                let gate = if holds_writes { writes } else { syncs };
                // What only has to be written is not held up by a sync.
                let durability = if holds_writes { Durability::Written } else { Durability::Durable };
                gate.shut();
                let commits: Vec<_> = (0..ALLOWED)
                    .map(|_| wal.submit_with(&[1; PAYLOAD], durability).expect("there is room"))
                    .collect();
                let began = Instant::now();
                for _ in 0..20 {
                    refused(wal.try_submit(&[2; PAYLOAD]), ErrorKind::Backpressure);
                }
                refused(wal.submit_timeout(&[2; PAYLOAD], Duration::ZERO), ErrorKind::Backpressure);
                assert!(began.elapsed() < LIMIT / 2, "it does not wait");
                assert!(commits.iter().all(|commit| commit.outcome().is_none()));
                gate.open();
                for (number, commit) in (1..).zip(commits) {
                    assert_eq!(commit.wait().expect("nothing fails"), number);
                }
                let after = wal.try_submit(&[3; PAYLOAD]).expect("there is room again");
                assert_eq!(after.sequence(), 1 + ALLOWED as u64, "what was refused has no number");
                after.wait().expect("nothing fails");
                wal.close().expect("nothing fails");
                assert_eq!(contents(&open(&disk, &small(policy))).len(), ALLOWED + 2);
            }
        }
    });
}

#[test]
fn submit_timeout_waits_for_so_long_and_gets_room_if_there_is_some_by_then() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let (_disk, wal, writes, _) = gated(&bounded(policy));
            writes.shut();
            let held = wal.submit(&[1; 900]).expect("there is room");
            let pause = Duration::from_millis(20);
            let began = Instant::now();
            refused(wal.submit_timeout(&[2; PAYLOAD], pause), ErrorKind::Backpressure);
            assert!(began.elapsed() >= pause);
            let waits = {
                let wal = wal.clone();
                thread::spawn(move || wal.submit_timeout(&[3; PAYLOAD], LIMIT).expect("room in time").wait())
            };
            let endless = {
                let wal = wal.clone();
                thread::spawn(move || wal.append(&[3; PAYLOAD]))
            };
            // A time that no clock can hold is as good as for ever.
            let longest = {
                let wal = wal.clone();
                thread::spawn(move || wal.submit_timeout(&[3; PAYLOAD], Duration::MAX).expect("room").wait())
            };
            thread::sleep(Duration::from_millis(3));
            writes.open();
            held.wait().expect("nothing fails");
            for waiter in [waits, endless, longest] {
                waiter.join().expect("nobody panics").expect("nothing fails");
            }
            assert_eq!(wal.written_end(), 5);
        }
    });
}

#[test]
fn an_entry_above_the_bound_goes_alone() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let (disk, wal, writes, _) = gated(&bounded(policy));
            let giant = payload(1, 5000);
            writes.shut();
            let small_one = wal.submit(b"small").expect("there is room");
            refused(wal.try_submit(&giant), ErrorKind::Backpressure);
            refused(wal.submit_timeout(&giant, Duration::from_millis(5)), ErrorKind::Backpressure);
            writes.open();
            small_one.wait().expect("nothing fails");
            wal.sync().expect("nothing fails");
            writes.shut();
            let alone = wal.try_submit(&giant).expect("nothing else is in flight");
            refused(wal.try_submit(b"beside it"), ErrorKind::Backpressure);
            writes.open();
            alone.wait().expect("nothing fails");
            let batch = wal.append_batch([&giant[..], &giant, &giant]).expect("nothing fails");
            assert_eq!(batch, 3..6);
            wal.close().expect("nothing fails");
            let shown = contents(&open(&disk, &small(policy)));
            assert!(shown.len() == 6 && shown[2] == giant && shown[5] == giant);
        }
    });
}

#[test]
fn whatever_many_threads_submit_no_more_than_the_bound_is_in_flight() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for slow_writes in [true, false] {
                let seam = Seam::new(SimDisk::new(1), move |call| {
                    let slow = match call {
                        Call::Write { .. } => slow_writes,
                        Call::Sync { .. } => !slow_writes,
                        _ => false,
                    };
                    if slow {
                        thread::sleep(Duration::from_micros(100));
                    }
                    Ok(())
                });
                let options = bounded(policy).background(background);
                let wal = options.open_in(seam).expect("nothing fails");
                let flying: Mutex<Vec<Commit>> = Mutex::new(Vec::new());
                thread::scope(|scope| {
                    for thread in 0..4_usize {
                        let (wal, flying) = (wal.clone(), &flying);
                        scope.spawn(move || {
                            for turn in 0..60 {
                                let durability =
                                    [Durability::Written, Durability::Durable][(thread + turn) % 2];
                                let commit =
                                    wal.submit_with(&[7; PAYLOAD], durability).expect("nothing fails");
                                let mut flying = flying.lock().expect("nobody panics");
                                flying.push(commit);
                                // What has not ended when it is looked at was in
                                // flight at the beginning of the look.
                                let bytes = flying.iter().filter(|commit| commit.outcome().is_none()).count()
                                    * PAYLOAD;
                                assert!(bytes as u64 <= BOUND, "{bytes} bytes are in flight");
                            }
                        });
                    }
                });
                for commit in flying.into_inner().expect("nobody panics") {
                    commit.wait().expect("nothing fails");
                }
                assert_eq!(wal.written_end(), 240);
            }
        }
    });
}

// Without threads nobody else makes room: whoever submits does it.
#[test]
fn without_threads_whoever_submits_above_the_bound_writes_and_syncs() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &bounded(policy).background(false));
            let mut refusals = 0;
            let mut commits = Vec::new();
            for number in 0..50 {
                let payload = payload(number, PAYLOAD);
                let commit = match wal.try_submit(&payload) {
                    Ok(commit) => commit,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
                        refusals += 1;
                        wal.submit_with(&payload, Durability::Durable).expect("it makes room")
                    }
                };
                assert_eq!(commit.sequence(), number);
                commits.push(commit);
            }
            assert!(refusals >= 4, "{policy:?}: {refusals}");
            for commit in commits.into_iter().rev() {
                commit.wait().expect("nothing fails");
            }
        }
    });
}

/// What one thread has the system do in a call.
#[derive(Clone, Copy, Debug, Default)]
struct Did {
    frames_and_seals: u64,
    /// LINKs: each begins a segment.
    links: u64,
}

#[test]
fn a_submit_writes_at_most_one_frame_and_begins_at_most_one_segment() {
    within(LIMIT, || {
        let (mut wrote, mut rolled) = (0, 0);
        for (policy, background) in every_setup() {
            for patient in [false, true] {
                let caller = thread::current().id();
                let did = Arc::new(Mutex::new(Did::default()));
                let counted = Arc::clone(&did);
                let seam = Seam::new(SimDisk::new(1), move |call| {
                    if let Call::Write { name, offset: offset @ 8192.., .. } = call
                        && name.ends_with(".wal")
                        && thread::current().id() == caller
                    {
                        let mut did = counted.lock().expect("no thread panics");
                        if offset == 8192 { did.links += 1 } else { did.frames_and_seals += 1 }
                    }
                    Ok(())
                });
                let options = small(policy).background(background).max_in_flight_bytes(4 * BOUND);
                let wal = options.open_in(seam).expect("nothing fails");
                for turn in 0..400_usize {
                    let entry = payload((turn as u64) << 20, [20, 700, 1900][turn % 3]);
                    *did.lock().expect("no thread panics") = Did::default();
                    let submitted = if patient { wal.submit(&entry) } else { wal.try_submit(&entry) };
                    let Did { frames_and_seals: frames, links } = *did.lock().expect("no thread panics");
                    assert!(
                        links <= 1 && frames <= 1 + links,
                        "{frames} frames and SEALs, {links} segments in one call"
                    );
                    wrote = wrote.max(frames);
                    rolled = rolled.max(links);
                    match submitted {
                        Ok(_) => {}
                        Err(error) => {
                            assert_eq!((error.kind(), patient), (ErrorKind::Backpressure, false), "{error}");
                            wal.flush().expect("nothing fails");
                        }
                    }
                }
                wal.close().expect("nothing fails");
            }
        }
        assert!(wrote > 0 && rolled > 0, "{wrote} frames, {rolled} segments: nothing was shown");
    });
}
