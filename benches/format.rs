//! Encoding and decoding of frames, beside what bounds them.
//!
//! ```sh
//! cargo bench -p benches --bench format
//! ```
//!
//! For each shape of frame: `memcpy` of the whole frame, and `crc32` and `crc64` of its payloads in one
//! piece (that is `crc32fast` and `crc64fast` alone), are what no encoder or decoder can be faster than;
//! then `encode` (digest each payload, write the frame) and `decode` (check header, table, padding and
//! every payload). Throughput counts payload bytes everywhere, so that the lines compare.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use wal_format::{
    ChecksumKind, DataFrame, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind,
    FrameLayout, Life, SegmentNumber, Sequence, TableEntry, finish_data_frame,
};

const LIFE: Life = Life { segment: SegmentNumber::FIRST, salt: 0x0123_4567_89ab_cdef };
const OFFSET: u64 = FIRST_FRAME_OFFSET + 64;
const FIRST: Sequence = Sequence::ZERO;

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = frames
}
criterion_main!(benches);

fn frames(criterion: &mut Criterion) {
    for (name, entries, entry_bytes) in [
        ("1x32", 1, 32),
        ("64x32", 64, 32),
        ("64x256", 64, 256),
        ("1x4096", 1, 4096),
        ("1x65536", 1, 64 << 10),
    ] {
        let payloads = payloads(entries, entry_bytes);
        let mut group = criterion.benchmark_group(format!("frame/{name}"));
        group.throughput(Throughput::Bytes((entries * entry_bytes) as u64));
        limits(&mut group, &payloads);
        for checksum in [ChecksumKind::Crc32, ChecksumKind::Crc64] {
            encode_and_decode(&mut group, checksum, &payloads);
        }
        group.finish();
    }
}

fn limits(group: &mut BenchmarkGroup<'_, WallTime>, payloads: &[Vec<u8>]) {
    let (frame, _) = encoded(ChecksumKind::Crc32, payloads);
    let mut copy = vec![0; frame.len()];
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| black_box(&mut copy[..]).copy_from_slice(black_box(&frame)));
    });
    assert_eq!(copy, frame);

    let bytes = payloads.concat();
    for checksum in [ChecksumKind::Crc32, ChecksumKind::Crc64] {
        let expected = checksum.digest(&bytes);
        group.bench_function(checksum.name(), |bencher| {
            bencher.iter(|| assert_eq!(checksum.digest(black_box(&bytes)), expected));
        });
    }
}

fn encode_and_decode(group: &mut BenchmarkGroup<'_, WallTime>, checksum: ChecksumKind, payloads: &[Vec<u8>]) {
    let (frame, chain) = encoded(checksum, payloads);
    let decoded = decode(&frame, checksum, |index, payload| assert_eq!(payload, payloads[index]));
    assert_eq!(decoded, Ok(payloads.len()));

    let mut out = vec![0xee; frame.len()];
    group.bench_function(format!("encode/{checksum}"), |bencher| {
        bencher.iter(|| assert_eq!(encode(&mut out, checksum, black_box(payloads)), chain));
    });
    assert_eq!(out, frame);

    group.bench_function(format!("decode/{checksum}"), |bencher| {
        bencher.iter(|| {
            let decoded = decode(black_box(&frame), checksum, |_, payload| {
                black_box(payload);
            });
            assert_eq!(decoded, Ok(payloads.len()));
        });
    });
}

/// What an append pays: a digest of each payload, and the frame. Returns the chain value.
fn encode(out: &mut [u8], checksum: ChecksumKind, payloads: &[Vec<u8>]) -> u32 {
    let mut row = FRAME_HEADER_BYTES;
    let payload_start = row + payloads.len() * TableEntry::bytes(checksum);
    let mut at = payload_start;
    for payload in payloads {
        let length = u32::try_from(payload.len()).expect("an entry of some KiB");
        let entry = TableEntry { length, digest: checksum.digest(payload) };
        let row_bytes = TableEntry::bytes(checksum);
        out[row..row + row_bytes].copy_from_slice(&entry.encode()[..row_bytes]);
        out[at..at + payload.len()].copy_from_slice(payload);
        row += row_bytes;
        at += payload.len();
    }
    let header = FrameHeader {
        previous: 0,
        first: FIRST,
        kind: FrameKind::Data,
        payload_bytes: u32::try_from(at - payload_start).expect("a frame of some KiB"),
        entries: u32::try_from(payloads.len()).expect("some dozen entries"),
        durable_offset: FIRST_FRAME_OFFSET,
        table_crc: 0,
    };
    finish_data_frame(out, header, LIFE, OFFSET, checksum)
}

/// What a reader pays. Returns the number of entries.
fn decode(
    frame: &[u8],
    checksum: ChecksumKind,
    mut each: impl FnMut(usize, &[u8]),
) -> Result<usize, FrameFault> {
    let header = FrameHeader::decode(frame, LIFE, OFFSET)?;
    let data = DataFrame::decode(frame, &header, checksum)?;
    let mut entries = 0;
    for entry in data.entries() {
        each(entries, entry?.payload);
        entries += 1;
    }
    Ok(entries)
}

fn encoded(checksum: ChecksumKind, payloads: &[Vec<u8>]) -> (Vec<u8>, u32) {
    let payload_bytes: usize = payloads.iter().map(Vec::len).sum();
    let layout = FrameLayout::of(checksum, payloads.len() as u64, payload_bytes as u64);
    let mut frame = vec![0; usize::try_from(layout.end).expect("a frame of some KiB")];
    let chain = encode(&mut frame, checksum, payloads);
    (frame, chain)
}

fn payloads(entries: usize, entry_bytes: usize) -> Vec<Vec<u8>> {
    let mut bytes = (0..=250_u8).cycle();
    (0..entries).map(|_| bytes.by_ref().take(entry_bytes).collect()).collect()
}
