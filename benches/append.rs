//! Appends that wait for no sync: what the log itself costs.
//!
//! ```sh
//! cargo bench -p benches --bench append
//! ```
//!
//! Under `none` each append is handed to the operating system before it returns; `buffered` gathers up to 64 KiB in memory
//! first. With several threads, each appends its share. After each case the log is read back and its entries are counted.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]

use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal::{Options, SyncPolicy, Wal};

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = appends
}
criterion_main!(benches);

fn appends(criterion: &mut Criterion) {
    let none = Options::new().sync(SyncPolicy::None);
    for (mode, options) in [("none", none.clone()), ("buffered", none.buffered(64 << 10))] {
        for payload_bytes in [32, 256] {
            let mut group = criterion.benchmark_group(format!("append/{mode}/{payload_bytes}"));
            group.throughput(Throughput::Elements(1));
            for threads in [1, 4] {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let wal = options.open(directory.path()).expect("a new log");
                let mut appended = 0;
                group.bench_function(format!("{threads}-threads"), |bencher| {
                    bencher.iter_custom(|appends| {
                        appended += appends;
                        append(&wal, appends, threads, payload_bytes)
                    });
                });
                wal.flush().expect("it can be written");
                assert_eq!(wal.range(..).expect("it is whole").count() as u64, appended);
            }
            group.finish();
        }
    }
}

/// Lets the threads append so many entries together, and returns how long that took.
fn append(wal: &Wal, appends: u64, threads: u64, payload_bytes: usize) -> Duration {
    let payload = vec![7; payload_bytes];
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let share = appends / threads + u64::from(thread < appends % threads);
            let payload = &payload;
            scope.spawn(move || {
                for _ in 0..share {
                    wal.append(payload).expect("it can be written");
                }
            });
        }
    });
    begun.elapsed()
}
