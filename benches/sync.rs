//! The group commit without a log: a target in memory whose writes and syncs take no time, beside a vector under a mutex.
//!
//! ```sh
//! cargo bench -p benches --bench sync
//! ```
//!
//! What is left is what the group commit itself costs an append: numbering, waiting, waking. With several threads, each
//! appends its share. The target counts, and afterwards the counts are compared.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal_sync::{Batch, Durability, Fault, GroupCommit, Limits, SyncPolicy, Target, Wrote};

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = appends
}
criterion_main!(benches);

const ONE: Batch = Batch { entries: 1, bytes: 8 };
const LIMITS: Limits = Limits {
    frame_entries: 8192,
    frame_bytes: 1 << 20,
    in_flight_bytes: 16 << 20,
    buffered_bytes: None,
    flusher: false,
};

fn appends(criterion: &mut Criterion) {
    for threads in [1, 2, 4, 16, 64] {
        let mut group = criterion.benchmark_group(format!("sync/{threads}-threads"));
        group.throughput(Throughput::Elements(1));

        let vector = Mutex::new(Vec::new());
        let mut pushed = 0;
        group.bench_function("vector", |bencher| {
            bencher.iter_custom(|appends| {
                pushed += appends;
                by_threads(threads, appends, || {
                    let mut vector = vector.lock().expect("no panic");
                    // As large as a frame gets.
                    if vector.len() == 8192 {
                        vector.clear();
                    }
                    vector.push(7_u64);
                })
            });
        });
        assert_eq!(
            vector.lock().expect("no panic").len() as u64,
            pushed.checked_sub(1).map_or(0, |last| last % 8192 + 1)
        );

        let modes = [
            ("buffered", SyncPolicy::None, Durability::Buffered),
            ("written", SyncPolicy::None, Durability::Written),
            ("immediate", SyncPolicy::Immediate, Durability::Durable),
            ("grouped", SyncPolicy::default(), Durability::Durable),
        ];
        for (name, policy, asked) in modes {
            let buffered_bytes = (asked == Durability::Buffered).then_some(64 << 10);
            let commit = GroupCommit::new(Counts::default(), policy, Limits { buffered_bytes, ..LIMITS }, 0);
            let mut appended = 0;
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|appends| {
                    appended += appends;
                    by_threads(threads, appends, || {
                        commit.append(ONE, asked, |frame| frame.push(7)).expect("nothing fails");
                    })
                });
            });
            commit.flush().expect("nothing fails");
            assert_eq!((commit.target().entries(), commit.next()), (appended, appended));
        }
        group.finish();
    }
}

/// Lets the threads make so many calls together, and returns how long that took.
fn by_threads(threads: u64, calls: u64, call: impl Fn() + Sync) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let share = calls / threads + u64::from(thread < calls % threads);
            let call = &call;
            scope.spawn(move || (0..share).for_each(|_| call()));
        }
    });
    begun.elapsed()
}

/// Counts what it is given.
#[derive(Default)]
struct Counts {
    written: AtomicU64,
}

impl Counts {
    fn entries(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Target for Counts {
    type Error = &'static str;
    type Frame = Vec<u64>;

    fn frame(&self) -> Vec<u64> {
        Vec::new()
    }

    fn clear(&self, frame: &mut Vec<u64>) {
        frame.clear();
    }

    fn syncs_to_write(&self, _frame: &Vec<u64>) -> bool {
        false
    }

    fn write(&self, frame: &mut Vec<u64>, first: u64) -> Result<Wrote, Fault<&'static str>> {
        let next = first + frame.len() as u64;
        assert_eq!(
            self.written.swap(next, Ordering::Relaxed),
            first,
            "frames come in the order of their numbers"
        );
        Ok(Wrote { next, durable: 0, sync_soon: false })
    }

    fn sync(&self) -> Result<u64, &'static str> {
        Ok(self.entries())
    }
}
