//! Appends to the whole log: by policy, size and threads, in batches, and submitted.
//!
//! ```sh
//! BENCH_DIR=DIRECTORY_ON_THE_DISK cargo bench -p benches --bench append
//! ```
//!
//! - `append/BYTES`: each append is handed to the operating system before it returns (`none`, `periodic`), or up to 64 KiB gather in
//!   memory first (`buffered`). `write` is a bare write of a payload to the end of a file.
//! - `append/durable`: each append is durable before it returns (`immediate`, `grouped`). `write-and-sync` is a bare write with an
//!   fdatasync.
//! - `append/batch`: batches under `none`. `append/submit`: one thread submits under `grouped`, and then waits for the last one.
//!
//! With several threads, each appends its share. After each case the log is read back and its entries are counted. Without
//! `BENCH_DIR` the logs are in the folder for temporary files; where that is in memory, a sync does nothing.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use wal::{Options, SyncPolicy, Wal};

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_millis(800))
        .warm_up_time(Duration::from_millis(200));
    targets = unsynced, durable, batches, submits
}
criterion_main!(benches);

fn unsynced(criterion: &mut Criterion) {
    let none = Options::new().sync(SyncPolicy::None);
    let modes = [
        ("none", none.clone()),
        ("periodic", Options::new().sync(SyncPolicy::periodic(10_000, Duration::from_millis(100)))),
        ("buffered", none.buffered(64 << 10)),
    ];
    for payload_bytes in [32, 256, 4096, 64 << 10] {
        let mut group = criterion.benchmark_group(format!("append/{payload_bytes}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("write", |bencher| {
            let directory = directory();
            let mut file = File::create(directory.path().join("bare")).expect("there is space");
            let payload = vec![7; payload_bytes];
            bencher.iter(|| file.write_all(&payload).expect("there is space"));
        });
        for (mode, options) in &modes {
            for threads in [1, 4, 16] {
                let log = Log::new(options);
                group.bench_function(format!("{mode}/{threads}-threads"), |bencher| {
                    bencher.iter_custom(|appends| log.append(appends, threads, payload_bytes));
                });
                log.check();
            }
        }
        group.finish();
    }
}

fn durable(criterion: &mut Criterion) {
    const PAYLOAD_BYTES: usize = 256;
    let mut group = criterion.benchmark_group("append/durable");
    group.throughput(Throughput::Elements(1));
    group.bench_function("write-and-sync", |bencher| {
        let directory = directory();
        let mut file = File::create(directory.path().join("bare")).expect("there is space");
        bencher.iter(|| {
            file.write_all(&[7; PAYLOAD_BYTES]).expect("there is space");
            file.sync_data().expect("the disk works");
        });
    });
    for policy in [SyncPolicy::Immediate, SyncPolicy::default()] {
        for threads in [1, 4, 16, 64, 256] {
            let log = Log::new(&Options::new().sync(policy));
            group.bench_function(format!("{}/{threads}-threads", policy.name()), |bencher| {
                bencher.iter_custom(|appends| log.append(appends, threads, PAYLOAD_BYTES));
            });
            log.check();
        }
    }
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/batch");
    for entries in [8_u64, 64, 512] {
        group.throughput(Throughput::Elements(entries));
        let log = Log::new(&Options::new().sync(SyncPolicy::None));
        let batch = vec![[7_u8; 32]; usize::try_from(entries).expect("some hundred")];
        group.bench_function(format!("{entries}x32"), |bencher| {
            bencher.iter(|| log.count(log.wal.append_batch(&batch).expect("there is space").count() as u64));
        });
        log.check();
    }
    group.finish();
}

fn submits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/submit");
    group.throughput(Throughput::Elements(1));
    for payload_bytes in [32, 256] {
        let log = Log::new(&Options::new());
        let payload = vec![7; payload_bytes];
        group.bench_function(format!("{payload_bytes}"), |bencher| {
            bencher.iter_custom(|submits| {
                let begun = Instant::now();
                for _ in 1..submits {
                    drop(log.wal.submit(&payload).expect("there is space"));
                }
                log.wal.submit(&payload).expect("there is space").wait().expect("the disk works");
                log.count(submits);
                begun.elapsed()
            });
        });
        log.check();
    }
    group.finish();
}

/// A new log in a directory of its own.
struct Log {
    wal: Wal,
    appended: AtomicU64,
    _directory: TempDir,
}

impl Log {
    fn new(options: &Options) -> Log {
        let directory = directory();
        let wal = options.open(directory.path()).expect("a new log");
        Log { wal, appended: AtomicU64::new(0), _directory: directory }
    }

    /// Lets the threads append so many entries together, and returns how long that took.
    fn append(&self, appends: u64, threads: u64, payload_bytes: usize) -> Duration {
        let payload = vec![7; payload_bytes];
        let begun = Instant::now();
        thread::scope(|scope| {
            for thread in 0..threads {
                let share = appends / threads + u64::from(thread < appends % threads);
                let payload = &payload;
                scope.spawn(move || {
                    for _ in 0..share {
                        self.wal.append(payload).expect("it can be written");
                    }
                });
            }
        });
        self.count(appends);
        begun.elapsed()
    }

    fn count(&self, entries: u64) {
        self.appended.fetch_add(entries, Ordering::Relaxed);
    }

    /// Reads everything, which has to be all that was appended.
    fn check(self) {
        self.wal.sync().expect("the disk works");
        let entries =
            self.wal.range(..).expect("it is whole").map(|entry| entry.expect("it is whole").sequence());
        assert!(entries.eq(0..self.appended.into_inner()), "each entry is there, in order");
    }
}

fn directory() -> TempDir {
    match std::env::var_os("BENCH_DIR") {
        Some(path) => TempDir::new_in(path).expect("BENCH_DIR is a directory"),
        None => TempDir::new().expect("a temporary directory"),
    }
}
