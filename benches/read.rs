//! Reads of single entries by number, warm, all over a log of 40 segments; and whole reads in either direction.
//!
//! ```sh
//! READ_ENTRIES=10000000 cargo bench -p benches --bench read
//! ```
//!
//! Without `READ_ENTRIES` the log has 100,000 entries. For each shape of log, a line says how long a single
//! read takes at the median and beyond, each read timed by itself (two looks at the clock, some 40 ns, are
//! part of that); criterion's figures are means without them.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]
#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal::{Options, SyncPolicy, Wal};

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = reads
}
criterion_main!(benches);

const SEGMENTS: u64 = 40;
const DEFAULT_ENTRIES: u64 = 100_000;
/// How many reads are timed one by one.
const SAMPLES: u64 = 100_000;

/// How a log is written.
struct Shape {
    name: &'static str,
    /// Entries that share a frame.
    batch: u64,
    /// Payloads have from 60 bytes to 140, or all have 100.
    varied: bool,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "lone-alike", batch: 1, varied: false },
    Shape { name: "lone-varied", batch: 1, varied: true },
    Shape { name: "batches-of-64", batch: 64, varied: true },
];

impl Shape {
    fn payload_bytes(&self, number: u64) -> usize {
        if self.varied { 60 + usize::try_from(scatter(number) % 81).expect("small") } else { 100 }
    }

    fn payload(&self, number: u64) -> Vec<u8> {
        let bytes = self.payload_bytes(number);
        number.to_le_bytes().into_iter().cycle().take(bytes).collect()
    }

    fn written(&self, path: &std::path::Path, entries: u64) -> Wal {
        let segment_bytes = (entries * (100 + 8 + 32 / self.batch) / SEGMENTS).max(64 << 10);
        let options = Options::new().sync(SyncPolicy::None).segment_bytes(segment_bytes);
        let wal = options.open(path).expect("a new log");
        for first in (0..entries).step_by(usize::try_from(self.batch).expect("small")) {
            let batch: Vec<_> =
                (first..entries.min(first + self.batch)).map(|number| self.payload(number)).collect();
            wal.append_batch(&batch).expect("there is space");
        }
        wal.sync().expect("a device");
        wal
    }

    fn check(&self, wal: &Wal, number: u64) -> u64 {
        let entry = wal.read(number).expect("the log is whole");
        assert_eq!((entry.sequence(), entry.len()), (number, self.payload_bytes(number)));
        assert_eq!(entry[..8], number.to_le_bytes());
        entry.len() as u64
    }
}

/// SplitMix64: numbers all over the log, the same in every run.
fn scatter(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn reads(criterion: &mut Criterion) {
    let entries = std::env::var("READ_ENTRIES")
        .map_or(DEFAULT_ENTRIES, |entries| entries.parse().expect("READ_ENTRIES is a number of entries"));
    for shape in SHAPES {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let wal = shape.written(&scratch.path().join("log"), entries);
        let mut group = criterion.benchmark_group(format!("read/{}", shape.name));

        group.throughput(Throughput::Elements(entries));
        group.sample_size(10);
        group.bench_function("forward", |bencher| {
            bencher.iter(|| {
                let entries_read = wal.range(..).expect("open").map(Result::unwrap).count();
                assert_eq!(entries_read as u64, entries);
            });
        });
        group.bench_function("backward", |bencher| {
            bencher.iter(|| {
                let entries_read = wal.range(..).expect("open").rev().map(Result::unwrap).count();
                assert_eq!(entries_read as u64, entries);
            });
        });

        tell_quantiles(&shape, &wal, entries);
        group.throughput(Throughput::Elements(1));
        let mut turn = 0_u64;
        group.bench_function("by-number", |bencher| {
            bencher.iter(|| {
                turn += 1;
                black_box(shape.check(&wal, scatter(turn) % entries))
            });
        });
        group.finish();
        wal.close().expect("nothing fails");
    }
}

fn tell_quantiles(shape: &Shape, wal: &Wal, entries: u64) {
    // Every page is in memory, and mapped, before one is timed.
    assert_eq!(wal.range(..).expect("open").map(Result::unwrap).count() as u64, entries);
    let samples = SAMPLES.min(entries);
    let mut took: Vec<Duration> = (0..samples)
        .map(|sample| {
            let number = scatter(!sample) % entries;
            let begun = Instant::now();
            let entry = wal.read(number).expect("the log is whole");
            let took = begun.elapsed();
            assert_eq!(entry[..8], number.to_le_bytes());
            took
        })
        .collect();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let segments = wal.stats().segments;
    let (p50, p90, p99) = (at(50), at(90), at(99));
    println!(
        "{}: {entries} entries in {segments} segments: p50 {p50:?}, p90 {p90:?}, p99 {p99:?}",
        shape.name
    );
}
