//! Appends to segment files without the group commit: a frame is built and written, beside a bare write of as many bytes.
//!
//! ```sh
//! cargo bench -p benches --bench segment
//! ```
//!
//! A frame has one entry, or a batch of 64; one thread, no sync but those of rollovers. Afterwards the log is opened and its entries are
//! counted.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal::Options;
use wal_format::{Anchor, ChecksumKind, FrameLayout};
use wal_io::{Access, Directory, Disk};
use wal_segment::{
    AnchorFile, Error, FrameBuilder, OpenRequest, Order, Rules, Spare, SpareSource, WatchedFile, Writer,
    open, prepare,
};

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_millis(500))
        .warm_up_time(Duration::from_millis(200));
    targets = appends
}
criterion_main!(benches);

fn appends(criterion: &mut Criterion) {
    for (entry_bytes, entries) in [(32, 1), (256, 1), (4096, 1), (64 << 10, 1), (32, 64), (256, 64)] {
        let mut group = criterion.benchmark_group(format!("segment/{entries}x{entry_bytes}"));
        group.throughput(Throughput::Elements(entries));
        let payload = vec![7; entry_bytes];
        let payload_bytes = entries * payload.len() as u64;
        let frame_bytes = FrameLayout::of(ChecksumKind::Crc32, entries, payload_bytes).end;

        let scratch = tempfile::tempdir().expect("a temporary directory");
        group.bench_function("write", |bencher| {
            bencher.iter_custom(|writes| bare_writes(scratch.path(), frame_bytes, writes));
        });
        for checksum in [ChecksumKind::Crc32, ChecksumKind::Crc64] {
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let mut log = Log::new(scratch.path(), checksum, entries, payload_bytes);
            group.bench_function(format!("append/{checksum}"), |bencher| {
                bencher.iter_custom(|frames| log.append(frames, entries, &payload));
            });
            let next = log.writer.next().value();
            drop(log);
            let opened = Options::new().open(scratch.path()).expect("it is whole");
            let mut found = 0;
            for entry in opened.range(..).expect("it is whole") {
                assert_eq!(*entry.expect("it is whole"), payload[..]);
                found += 1;
            }
            assert_eq!(found, next);
        }
        group.finish();
    }
}

/// Writes one after the other, over and over the same 32 MiB that have been written before.
fn bare_writes(path: &Path, bytes: u64, writes: u64) -> Duration {
    const FILE_BYTES: u64 = 32 << 20;
    let directory = Disk::open(path).expect("it was just created");
    let file = match directory.open("bare", Access::ReadWrite) {
        Ok(file) => file,
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
        Err(_) => {
            let file = directory.create("bare").expect("there is space");
            let zeros = vec![0; 64 << 10];
            for offset in (0..FILE_BYTES).step_by(zeros.len()) {
                assert_eq!(file.write_at(&zeros, offset).expect("there is space"), zeros.len());
            }
            file
        }
    };
    let frame = vec![7; usize::try_from(bytes).expect("some KiB")];
    let begun = Instant::now();
    let mut offset = 0;
    for _ in 0..writes {
        assert_eq!(file.write_at(&frame, offset).expect("there is space"), frame.len());
        offset = if offset + 2 * bytes > FILE_BYTES { 0 } else { offset + bytes };
    }
    begun.elapsed()
}

struct Log {
    writer: Writer,
    spares: Here,
    frame: FrameBuilder,
    checksum: ChecksumKind,
}

impl Log {
    fn new(path: &Path, checksum: ChecksumKind, entries: u64, payload_bytes: u64) -> Log {
        let directory: Arc<dyn Directory> = Arc::new(Disk::open(path).expect("it was just created"));
        let wanted = OpenRequest { checksum: Some(checksum), ..OpenRequest::default() };
        let opened = open(&directory, wanted).expect("a new log");
        let size = |count: u64| usize::try_from(count).expect("some KiB");
        let frame = FrameBuilder::new(checksum, size(entries), size(payload_bytes));
        Log {
            writer: opened.writer,
            spares: Here { directory, anchor: Mutex::new(opened.anchor) },
            frame,
            checksum,
        }
    }

    /// The digests are part of it, as they are of an append.
    fn append(&mut self, frames: u64, entries: u64, payload: &[u8]) -> Duration {
        let begun = Instant::now();
        for _ in 0..frames {
            for _ in 0..entries {
                self.frame.push(payload, self.checksum.digest(payload));
            }
            self.writer.append(&mut self.frame, &self.spares).expect("there is space");
            self.frame.clear();
        }
        begun.elapsed()
    }
}

/// Prepares segments and writes the anchor at once, in the calling thread.
struct Here {
    directory: Arc<dyn Directory>,
    anchor: Mutex<AnchorFile>,
}

impl SpareSource for Here {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn check_names(&self) -> Result<(), Error> {
        Ok(())
    }

    fn entered(&self, _segment: WatchedFile) {}

    fn spare(&self, order: Order) -> Result<Spare, Error> {
        self.anchor.lock().expect("no panic").prove(self.directory.as_ref())?;
        prepare(self.directory.as_ref(), order, Rules::default())
    }

    fn order(&self, _order: Order) {}

    fn anchor(&self, anchor: Anchor) -> Result<(), Error> {
        self.anchor.lock().expect("no panic").write(anchor)
    }

    fn anchor_soon(&self, anchor: Anchor) {
        self.anchor(anchor).expect("there is space");
    }

    fn anchor_at_leisure(&self, _anchor: Anchor) {}
}
