//! Replay of a log, forward, lent and owned, beside a bare loop over a mapping of the same payloads.
//!
//! ```sh
//! REPLAY_MIB=256 cargo bench -p benches --bench replay
//! ```
//!
//! The bare loop computes one CRC-32 for each entry of a file that holds nothing but payloads of one length: no replay that
//! verifies each entry can be faster. Without `REPLAY_MIB` a log has 8 MiB of payloads.
//!
//! Two processes that share a processor slow each other down by turns, so all cases of a shape also run interleaved: the
//! ratios printed are the medians of the rounds.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]
#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal::{Options, SyncPolicy, Wal};
use wal_io::{Access, Directory, Disk, Mapping};

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = replays
}
criterion_main!(benches);

const DEFAULT_MIB: u64 = 8;
const SEGMENT_BYTES: u64 = 64 << 20;
const ROUNDS: usize = 15;

/// How a log is written.
struct Shape {
    name: &'static str,
    payload_bytes: usize,
    /// Entries that share a frame.
    batch: u64,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "32-bytes-batches-of-64", payload_bytes: 32, batch: 64 },
    Shape { name: "32-bytes-lone", payload_bytes: 32, batch: 1 },
    Shape { name: "4-KiB-batches-of-64", payload_bytes: 4096, batch: 64 },
    Shape { name: "4-KiB-lone", payload_bytes: 4096, batch: 1 },
];

/// How many entries were read, and how long they were together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Read {
    entries: u64,
    bytes: u64,
}

impl Read {
    fn add(&mut self, payload: &[u8]) {
        self.entries += 1;
        self.bytes += payload.len() as u64;
    }
}

/// A log, and its payloads alone.
struct Written {
    wal: Wal,
    bare: Mapping,
    /// Of each payload.
    digests: Vec<u32>,
    payload_bytes: usize,
    all: Read,
}

type Case = (&'static str, fn(&Written) -> Read);

const CASES: [Case; 4] = [
    ("bare-loop", Written::bare_loop),
    ("lent", Written::lent),
    ("batches", Written::batches),
    ("owned", Written::owned),
];

impl Written {
    fn new(shape: &Shape, directory: &Path, entries: u64) -> Written {
        let options = Options::new().sync(SyncPolicy::None).segment_bytes(SEGMENT_BYTES);
        let wal = options.open(directory.join("log")).expect("a new log");
        let mut bare = Vec::new();
        for first in (0..entries).step_by(usize::try_from(shape.batch).expect("small")) {
            let batch: Vec<Vec<u8>> = (first..entries.min(first + shape.batch))
                .map(|number| number.to_le_bytes().into_iter().cycle().take(shape.payload_bytes).collect())
                .collect();
            batch.iter().for_each(|payload| bare.extend_from_slice(payload));
            wal.append_batch(&batch).expect("there is space");
        }
        // The last segment is read like the others.
        wal.roll().expect("there is space");
        wal.append(&vec![0; shape.payload_bytes]).expect("there is space");
        let digests = bare.chunks(shape.payload_bytes).map(crc32fast::hash).collect();
        std::fs::write(directory.join("bare"), &bare).expect("there is space");
        let files = Disk::open(directory).expect("it was just created");
        let file = files.open("bare", Access::Read).expect("it was just written");
        let bare = file.map(bare.len()).expect("it can be mapped");
        let all = Read { entries, bytes: entries * shape.payload_bytes as u64 };
        Written { wal, bare, digests, payload_bytes: shape.payload_bytes, all }
    }

    fn bare_loop(&self) -> Read {
        let mut read = Read::default();
        for (payload, &digest) in self.bare.chunks_exact(self.payload_bytes).zip(&self.digests) {
            if crc32fast::hash(payload) == digest {
                read.add(payload);
            }
        }
        read
    }

    fn lent(&self) -> Read {
        let mut read = Read::default();
        let mut reader = self.wal.reader(..self.all.entries).expect("the log is open");
        while let Some(entry) = reader.next().expect("the log is whole") {
            read.add(&entry);
        }
        read
    }

    fn batches(&self) -> Read {
        let mut read = Read::default();
        let mut reader = self.wal.reader(..self.all.entries).expect("the log is open");
        while let Some(batch) = reader.next_batch().expect("the log is whole") {
            batch.for_each(|entry| read.add(&entry));
        }
        read
    }

    fn owned(&self) -> Read {
        let mut read = Read::default();
        for entry in self.wal.range(..self.all.entries).expect("the log is open") {
            read.add(&entry.expect("the log is whole"));
        }
        read
    }
}

fn replays(criterion: &mut Criterion) {
    let mib = std::env::var("REPLAY_MIB")
        .map_or(DEFAULT_MIB, |mib| mib.parse().expect("REPLAY_MIB is a number of MiB"));
    for shape in SHAPES {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let entries = (mib << 20) / shape.payload_bytes as u64;
        let written = Written::new(&shape, scratch.path(), entries);
        tell_ratios(&shape, &written);
        let mut group = criterion.benchmark_group(format!("replay/{}", shape.name));
        group.throughput(Throughput::Elements(entries));
        group.sample_size(10);
        for (name, case) in CASES {
            group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(case(&written), written.all)));
        }
        group.finish();
        written.wal.close().expect("nothing fails");
    }
}

/// Millions of entries a second of each case, and how that compares with the bare loop, in rounds of one run each.
fn tell_ratios(shape: &Shape, written: &Written) {
    let mut rates = [[0.0; ROUNDS]; CASES.len()];
    for round in 0..=ROUNDS {
        for (rates, (_, case)) in rates.iter_mut().zip(CASES) {
            let begun = Instant::now();
            assert_eq!(case(written), written.all);
            let seconds = begun.elapsed().as_secs_f64();
            // The first round brings every page into memory.
            if let Some(round) = round.checked_sub(1) {
                rates[round] = written.all.entries as f64 / seconds / 1e6;
            }
        }
    }
    let median = |mut figures: [f64; ROUNDS]| {
        figures.sort_by(f64::total_cmp);
        figures[ROUNDS / 2]
    };
    for (index, (name, _)) in CASES.iter().enumerate() {
        let ratios = std::array::from_fn(|round| rates[index][round] / rates[0][round]);
        let (rate, ratio) = (median(rates[index]), median(ratios));
        println!("{}: {name}: {rate:.2} M entries/s, {ratio:.2} of the bare loop", shape.name);
    }
}
