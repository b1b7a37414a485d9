//! Golden files: the bytes of every structure, as hex dumps that can be checked by hand against the
//! drawings in `docs/format.md`.
//!
//! Each case is encoded and compared byte for byte with its file, then the *file* is decoded and its
//! values are compared. A change of the format therefore shows as a diff in `tests/golden`, and a log
//! written by an earlier build stays readable as long as these files stay as they are.
//!
//! To write the files anew, on purpose, and look at the diff:
//!
//! ```sh
//! UPDATE_GOLDEN=1 cargo test -p wal-format golden
//! ```
//!
//! A row is an offset, eight bytes, and the same bytes as text. Rows of zeros that repeat the one
//! before are left out and stand as `*`. Lines that begin with `#` are for the reader.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::frame::encode_data_frame;
use wal_format::{
    Anchor, ChecksumKind, DataFrame, DurablePoint, FIRST_FRAME_OFFSET, FrameHeader, FrameKind,
    HEADER_COPY_OFFSET, IndexPoint, Life, Link, LinkReason, LogId, NOTES_SECTION, Predecessor, Seal,
    SealBody, SealKind, Section, Sections, SegmentHeader, SegmentNumber, Sequence, encode_seal_frame,
    encode_section, seal_frame_bytes, section_bytes,
};

/// Every golden file there is.
const FILES: [&str; 24] = [
    "anchor_feature",
    "anchor_full",
    "anchor_new_log",
    "anchor_notes",
    "data_crc64",
    "data_one_entry",
    "data_padding",
    "data_several_entries",
    "extension",
    "link_genesis",
    "link_reopen",
    "link_reset",
    "link_rollover",
    "link_torn",
    "link_truncate",
    "seal_close",
    "seal_close_again",
    "seal_final",
    "seal_section",
    "segment",
    "segment_reopened",
    "segment_header_crc32",
    "segment_header_crc64",
    "segment_header_feature",
];

const LOG: LogId = LogId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
const SALT: u64 = 0x0123_4567_89ab_cdef;
/// A type of section that no version has.
const UNKNOWN_SECTION: u32 = 0xfeed;
/// A kind of frame that no version has.
const UNKNOWN_KIND: u8 = 200;
/// 2023-11-14.
const UNIX_NS: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

#[test]
fn segment_headers_match_their_golden_files() {
    let crc32 = SegmentHeader {
        log: LOG,
        life: life(),
        nominal_bytes: 64 << 20,
        checksum: ChecksumKind::Crc32,
        fresh: true,
        features: 0,
        created_unix_ns: UNIX_NS,
    };
    let bytes = golden("segment_header_crc32", "A new file of 64 MiB.", &crc32.encode());
    assert_eq!(SegmentHeader::decode(&bytes), Ok(crc32));

    let note = "With a feature of a later version that this one may pass over.";
    let feature = SegmentHeader { features: 0x0100, ..crc32 };
    let bytes = golden("segment_header_feature", note, &feature.encode());
    assert_eq!(SegmentHeader::decode(&bytes), Ok(feature));

    #[cfg(feature = "crc64")]
    {
        let crc64 = SegmentHeader { checksum: ChecksumKind::Crc64, fresh: false, ..crc32 };
        let bytes =
            golden("segment_header_crc64", "The same, recycled, with the other kind.", &crc64.encode());
        assert_eq!(SegmentHeader::decode(&bytes), Ok(crc64));
    }
}

#[test]
fn anchors_match_their_golden_files() {
    let new_log = Anchor {
        log: LOG,
        generation: 1,
        first: Sequence::ZERO,
        first_segment: SegmentNumber::FIRST,
        active: None,
        durable: None,
        seal_offset: None,
        next_segment_bytes: 64 << 20,
        next_checksum: ChecksumKind::Crc32,
    };
    let bytes = golden("anchor_new_log", "One slot, before the first segment exists.", &new_log.encode(&[]));
    assert_eq!(Anchor::decode(&bytes), Ok(new_log));

    let full = Anchor {
        generation: 9,
        first: sequence(100),
        first_segment: segment(3),
        active: Some((segment(7), SALT)),
        durable: Some(DurablePoint { segment: segment(7), offset: 20_480, next: sequence(1_234) }),
        seal_offset: Some(20_424),
        ..new_log
    };
    let bytes = golden("anchor_full", "One slot, after a close.", &full.encode(&[]));
    assert_eq!(Anchor::decode(&bytes), Ok(full));
    assert!(Anchor::sections(&bytes).is_empty());

    let note = "With a feature of a later version that this one may pass over.";
    let bytes = golden("anchor_feature", note, &with_feature(&full.encode(&[])));
    assert_eq!(Anchor::decode(&bytes), Ok(full));

    let sections = [(NOTES_SECTION, &b"notes of an application"[..]), (UNKNOWN_SECTION, b"later")];
    let note = "With notes, and a section of a later version.";
    let bytes = golden("anchor_notes", note, &full.encode(&encoded_sections(&sections)));
    assert_eq!(Anchor::decode(&bytes), Ok(full));
    assert_sections(Sections::new(Anchor::sections(&bytes)), &sections);
}

#[test]
fn links_match_their_golden_files() {
    let unsealed = Predecessor { segment: segment(6), end_offset: 20_480, seal_offset: None };
    let sealed = Predecessor { seal_offset: Some(20_424), ..unsealed };
    let closed_before = Predecessor { seal_offset: Some(16_384), ..unsealed };
    for (name, reason, predecessor, chain, next) in [
        ("link_genesis", LinkReason::Genesis, None, 0, 0),
        ("link_rollover", LinkReason::Rollover, Some(sealed), 0x0a0b_0c0d, 1_234),
        ("link_reopen", LinkReason::Reopen, Some(sealed), 0x0a0b_0c0d, 1_234),
        ("link_torn", LinkReason::Torn, Some(closed_before), 0x0a0b_0c0d, 1_234),
        ("link_truncate", LinkReason::Truncate, Some(unsealed), 0x0a0b_0c0d, 1_000),
        ("link_reset", LinkReason::Reset, None, 0, 1_000_000),
    ] {
        let link = Link { reason, predecessor, chain, next: sequence(next), begun_unix_ns: UNIX_NS + SECOND };
        let bytes = golden(name, "At 8192 of segment 7, salt 0x0123456789abcdef.", &link.encode(life()));
        let (decoded, own) = Link::decode(&bytes, life()).expect("the file holds a LINK");
        assert_eq!(decoded, link, "{name}");
        assert_eq!(own.to_le_bytes(), bytes[..4], "{name}");
    }
}

#[test]
fn data_frames_match_their_golden_files() {
    data_case("data_one_entry", ChecksumKind::Crc32, &[b"one frame, one entry: 32 bytes.."]);
    data_case("data_several_entries", ChecksumKind::Crc32, &[b"first", b"", b"the third"]);
    data_case("data_padding", ChecksumKind::Crc32, &[b"x"]);
    #[cfg(feature = "crc64")]
    data_case("data_crc64", ChecksumKind::Crc64, &[b"first", b"", b"the third"]);
}

fn data_case(name: &str, checksum: ChecksumKind, payloads: &[&[u8]]) {
    let offset = FIRST_FRAME_OFFSET + 4096;
    let durable_offset = offset - 4000;
    let frame = data_frame(life(), 0x0a0b_0c0d, 1_234, durable_offset, offset, checksum, payloads);
    let note = "At 12288 of segment 7, salt 0x0123456789abcdef; durable up to 8288.";
    let bytes = golden(name, note, &frame);

    let header = FrameHeader::decode(&bytes, life(), offset).expect("the file holds a frame");
    let expected = FrameHeader {
        previous: 0x0a0b_0c0d,
        first: sequence(1_234),
        kind: FrameKind::Data,
        payload_bytes: payloads.iter().map(|payload| length(payload)).sum(),
        entries: length(payloads),
        durable_offset,
        table_crc: header.table_crc,
    };
    assert_eq!(header, expected, "{name}");
    assert_eq!(header.next_sequence(), Some(sequence(1_234 + payloads.len() as u64)), "{name}");
    let data = DataFrame::decode(&bytes, &header, checksum).expect("the file holds a DATA frame");
    for ((entry, payload), number) in data.entries().zip(payloads).zip(1_234..) {
        let entry = entry.expect("the payload is whole");
        assert_eq!((entry.sequence, entry.payload), (sequence(number), *payload), "{name}");
    }
    assert_eq!(data.entries().count(), payloads.len(), "{name}");
}

#[test]
fn seals_match_their_golden_files() {
    let point = |(offset, first, seconds)| IndexPoint {
        offset,
        first: sequence(first),
        unix_ns: UNIX_NS + seconds * SECOND,
    };
    // Two of one time: the system's clock was set back in between, and the log's stood still.
    let three = [(65_544, 2_000, 1), (131_072, 3_000, 7), (196_656, 4_000, 7)].map(point);
    let section = encoded_sections(&[(UNKNOWN_SECTION, b"later")]);
    let close = SealBody { kind: SealKind::Close, previous: None, points: &[], sections: &[] };
    for (name, body) in [
        ("seal_close", close),
        ("seal_close_again", SealBody { previous: Some(120_000), points: &three[1..2], ..close }),
        ("seal_final", SealBody { kind: SealKind::Final, points: &three, ..close }),
        ("seal_section", SealBody { points: &three[..1], sections: &section, ..close }),
    ] {
        let offset = 262_144;
        let frame = seal_frame(life(), 0x0a0b_0c0d, 5_000, offset, &body);
        let note = "At 262144 of segment 7, salt 0x0123456789abcdef; durable up to itself.";
        let bytes = golden(name, note, &frame);

        let header = FrameHeader::decode(&bytes, life(), offset).expect("the file holds a frame");
        assert_eq!((header.kind, header.entries), (FrameKind::Seal, 0), "{name}");
        assert_eq!((header.first, header.previous), (sequence(5_000), 0x0a0b_0c0d), "{name}");
        assert_eq!(header.durable_offset, offset, "{name}");
        let seal = Seal::decode(&bytes, &header).expect("the file holds a SEAL");
        assert_eq!((seal.kind, seal.previous), (body.kind, body.previous), "{name}");
        assert_eq!(seal.points() as usize, body.points.len(), "{name}");
        let index = seal.index(&bytes).expect("the index is whole");
        assert!(index.points().eq(body.points.iter().copied().map(Ok)), "{name}");
        assert!(index.sections().eq(Sections::new(body.sections)), "{name}");
        assert_eq!(seal.index_bytes(), seal.points_bytes() + body.sections.len(), "{name}");
    }
    assert_sections(Sections::new(&section), &[(UNKNOWN_SECTION, b"later")]);
}

#[test]
fn an_extension_frame_matches_its_golden_file() {
    let offset = FIRST_FRAME_OFFSET + 4096;
    let frame = extension_frame(life(), 0x0a0b_0c0d, 1_234, offset, b"a later version.");
    let note = "At 12288 of segment 7, salt 0x0123456789abcdef; durable up to itself.";
    let bytes = golden("extension", note, &frame);
    let header = FrameHeader::decode(&bytes, life(), offset).expect("the file holds a frame");
    assert_eq!((header.kind, header.entries), (FrameKind::Extension(UNKNOWN_KIND), 0));
    assert_eq!((header.first, header.next_sequence()), (sequence(1_234), Some(sequence(1_234))));
    assert!(header.vouches_for_body(&bytes));
    assert_eq!(header.layout(ChecksumKind::Crc32).end, bytes.len() as u64);
}

/// The worked example of `docs/format.md`: the first segment of a log, three entries, closed. Then the same, opened again:
/// an extension frame, one more entry, and the end of the segment.
#[test]
fn whole_segments_match_their_golden_files() {
    let life = Life { segment: SegmentNumber::FIRST, salt: SALT };
    let header = SegmentHeader {
        log: LOG,
        life,
        nominal_bytes: 12 << 10,
        checksum: ChecksumKind::Crc32,
        fresh: true,
        features: 0,
        created_unix_ns: UNIX_NS,
    };
    let link = Link {
        reason: LinkReason::Genesis,
        predecessor: None,
        chain: 0,
        next: Sequence::ZERO,
        begun_unix_ns: UNIX_NS + SECOND,
    };
    let mut file = vec![0; index(FIRST_FRAME_OFFSET)];
    let copy = index(HEADER_COPY_OFFSET);
    for at in [0, copy] {
        file[at..at + header.encode().len()].copy_from_slice(&header.encode());
    }
    file.extend(link.encode(life));

    let crc32 = ChecksumKind::Crc32;
    let two = file.len() as u64;
    let chain = chain_value(&file[index(FIRST_FRAME_OFFSET)..]);
    let frame = data_frame(life, chain, 0, FIRST_FRAME_OFFSET, two, crc32, &[b"hello", b""]);
    file.extend(&frame);

    let one = file.len() as u64;
    let frame = data_frame(life, chain_value(&frame), 2, one, one, crc32, &[b"write-ahead"]);
    file.extend(&frame);

    let close_offset = file.len() as u64;
    let points = [IndexPoint { offset: two, first: Sequence::ZERO, unix_ns: UNIX_NS + SECOND }];
    let close = SealBody { kind: SealKind::Close, previous: None, points: &points, sections: &[] };
    let seal = seal_frame(life, chain_value(&frame), 3, close_offset, &close);
    file.extend(&seal);
    let closed =
        golden("segment", "Segment 1, salt 0x0123456789abcdef, from its first byte to its last.", &file);

    let offset = file.len() as u64;
    let frame = extension_frame(life, chain_value(&seal), 3, offset, b"a later version.");
    file.extend(&frame);
    let offset = file.len() as u64;
    let frame = data_frame(life, chain_value(&frame), 3, offset, offset, crc32, &[b"more"]);
    file.extend(&frame);
    let last = SealBody { kind: SealKind::Final, previous: Some(close_offset), points: &[], sections: &[] };
    file.extend(seal_frame(life, chain_value(&frame), 4, file.len() as u64, &last));
    let note = "The same, opened again: an extension frame, an entry, and the end of the segment.";
    let reopened = golden("segment_reopened", note, &file);

    let entries = [&b"hello"[..], b"", b"write-ahead", b"more"];
    for (bytes, entries, seals) in
        [(closed, &entries[..3], &[close][..]), (reopened, &entries[..], &[close, last])]
    {
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        assert_eq!(SegmentHeader::decode(&bytes[copy..]), Ok(header));
        let (decoded, chain) = Link::decode(&bytes[8192..], life).expect("a segment begins with a LINK");
        assert_eq!(decoded, link);
        assert_segment(&bytes, life, chain, entries, seals);
    }
}

/// Walks the frames after the LINK to the end of the file.
fn assert_segment(bytes: &[u8], life: Life, mut chain: u32, entries: &[&[u8]], mut seals: &[SealBody<'_>]) {
    let mut read = Vec::new();
    let mut offset = Link::end_offset();
    while offset < bytes.len() as u64 {
        let rest = &bytes[index(offset)..];
        let frame = FrameHeader::decode(rest, life, offset).expect("frames follow each other");
        assert_eq!((frame.previous, frame.first.value()), (chain, read.len() as u64));
        chain = chain_value(rest);
        match frame.kind {
            FrameKind::Data => {
                let data = DataFrame::decode(rest, &frame, ChecksumKind::Crc32).expect("the table is whole");
                read.extend(data.entries().map(|entry| entry.expect("the payload is whole").payload));
            }
            FrameKind::Seal => {
                let seal = Seal::decode(rest, &frame).expect("the SEAL is whole");
                let index = seal.index(rest).expect("the index is whole");
                let (expected, later) = seals.split_first().expect("no more SEALs than expected");
                assert_eq!((seal.kind, seal.previous), (expected.kind, expected.previous));
                assert!(index.points().eq(expected.points.iter().copied().map(Ok)));
                seals = later;
            }
            FrameKind::Extension(kind) => {
                assert_eq!((kind, frame.vouches_for_body(rest)), (UNKNOWN_KIND, true));
            }
            FrameKind::Link => panic!("a second LINK at {offset}"),
        }
        offset += frame.layout(ChecksumKind::Crc32).end;
    }
    assert_eq!((read, seals.len(), offset), (entries.to_vec(), 0, bytes.len() as u64));
}

#[test]
fn no_golden_file_is_left_over() {
    for file in fs::read_dir(directory()).expect("tests/golden exists") {
        let path = file.expect("tests/golden is readable").path();
        let known = FILES.iter().any(|name| path == file_of(name));
        assert!(known, "{} belongs to no test", path.display());
    }
}

fn sequence(value: u64) -> Sequence {
    Sequence::try_from(value).expect("below 2^56")
}

fn segment(number: u64) -> SegmentNumber {
    SegmentNumber::new(number).expect("not zero")
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a golden file is small")
}

fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("a golden file is small")
}

fn life() -> Life {
    Life { segment: segment(7), salt: SALT }
}

fn chain_value(frame: &[u8]) -> u32 {
    FrameHeader::chain_value(frame.first_chunk().expect("a frame begins with its header"))
}

fn data_frame(
    life: Life,
    previous: u32,
    first: u64,
    durable_offset: u64,
    offset: u64,
    checksum: ChecksumKind,
    payloads: &[&[u8]],
) -> Vec<u8> {
    let header = header(previous, first, durable_offset);
    let (frame, chain) = encode_data_frame(header, life, offset, checksum, payloads);
    assert_eq!(chain, chain_value(&frame));
    frame
}

fn seal_frame(life: Life, previous: u32, next: u64, offset: u64, body: &SealBody<'_>) -> Vec<u8> {
    let mut frame = vec![0xee; index(seal_frame_bytes(body.points.len())) + body.sections.len()];
    let chain = encode_seal_frame(&mut frame, header(previous, next, offset), life, offset, body);
    assert_eq!(chain, chain_value(&frame));
    frame
}

/// A frame that this version passes over, as a later one may write it. The length of its body is a multiple of 8.
fn extension_frame(life: Life, previous: u32, next: u64, offset: u64, body: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::Extension(UNKNOWN_KIND),
        payload_bytes: length(body),
        table_crc: crc32(body),
        ..header(previous, next, offset)
    };
    [&header.encode(life, offset)[..], body].concat()
}

fn encoded_sections(sections: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, body) in sections {
        let start = bytes.len();
        bytes.resize(start + section_bytes(body.len()), 0xee);
        encode_section(&mut bytes[start..], *kind, body);
    }
    bytes
}

fn assert_sections(read: Sections<'_>, expected: &[(u32, &[u8])]) {
    assert!(read.eq(expected.iter().map(|&(kind, body)| Ok(Section { kind, body }))));
}

/// A slot without sections, with the first of the features that may be passed over.
fn with_feature(slot: &[u8]) -> Vec<u8> {
    let mut bytes = slot.to_vec();
    bytes[11] = 1;
    let crc = crc32(&bytes[..124]);
    bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    u32::try_from(ChecksumKind::Crc32.digest(bytes)).expect("32 bits")
}

/// What a frame says of its place; the encoders set the rest.
fn header(previous: u32, first: u64, durable_offset: u64) -> FrameHeader {
    FrameHeader {
        previous,
        first: sequence(first),
        kind: FrameKind::Data,
        payload_bytes: 0,
        entries: 0,
        durable_offset,
        table_crc: 0,
    }
}

/// Compares `bytes` with the golden file, or writes it when asked to; returns what the file holds.
fn golden(name: &str, note: &str, bytes: &[u8]) -> Vec<u8> {
    assert!(FILES.contains(&name), "{name} is missing in FILES");
    let text = format!("# {name}: {} bytes\n# {note}\n{}", bytes.len(), dump(bytes));
    let path = file_of(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).expect("tests/golden is writable");
    }
    let file = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (number, (expected, found)) in file.lines().zip(text.lines()).enumerate() {
        assert_eq!(found, expected, "{}, line {}", path.display(), number + 1);
    }
    assert_eq!(text.lines().count(), file.lines().count(), "lines of {}", path.display());
    parse(&file)
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn file_of(name: &str) -> PathBuf {
    directory().join(name).with_extension("hex")
}

fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut repeats = false;
    for (index, row) in bytes.chunks(8).enumerate() {
        let same = index > 0 && row == [0; 8] && bytes[index * 8 - 8..index * 8] == [0; 8];
        if same && !repeats {
            text.push_str("*\n");
        }
        repeats = same;
        if same {
            continue;
        }
        write!(text, "{:>6} ", index * 8).expect("a string takes all");
        row.iter().for_each(|byte| write!(text, " {byte:02x}").expect("a string takes all"));
        let ascii = row.iter().map(|&byte| if (0x20..0x7f).contains(&byte) { byte as char } else { '.' });
        writeln!(text, "  {}", ascii.collect::<String>()).expect("a string takes all");
    }
    writeln!(text, "{:>6}", bytes.len()).expect("a string takes all");
    text
}

/// The bytes of a dump; what was left out is zero.
fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in text.lines().filter(|line| !line.starts_with(['#', '*'])) {
        let mut columns = row.split_whitespace();
        let offset = columns.next().expect("a row begins with its offset").parse().expect("a decimal offset");
        bytes.resize(offset, 0);
        bytes.extend(columns.take(8).map(|column| u8::from_str_radix(column, 16).expect("a hex byte")));
    }
    bytes
}

#[test]
fn a_dump_reads_back() {
    let mut bytes = vec![0; 64];
    bytes[0] = 1;
    bytes[63] = 0xff;
    assert_eq!(parse(&dump(&bytes)), bytes);
    assert_eq!(dump(&bytes).lines().nth(2), Some("*"));
}
