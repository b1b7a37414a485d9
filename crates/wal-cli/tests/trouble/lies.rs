//! A LINK with the wrong number, and an anchor that begins the log beyond its end, under right checksums: every command
//! says that the log is corrupt.
use std::fs;
use std::path::Path;

use crate::support::{Log, lines};
use wal_format::{
    Anchor, DurablePoint, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameHeader, LINK_FRAME_BYTES, Link,
    SLOT_BYTES, SegmentHeader, Sequence,
};

/// Every way of looking at a log, and of going on with it.
const COMMANDS: [&[&str]; 7] = [
    &["cat"],
    &["cat", "--reverse"],
    &["cat", "--follow"],
    &["cat", "--follow", "--written"],
    &["info"],
    &["verify"],
    &["append"],
];

fn later(number: Sequence, by: i64) -> Sequence {
    number.value().checked_add_signed(by).and_then(|number| number.try_into().ok()).expect("small")
}

/// Gives all entries of a segment without a SEAL other numbers, in its LINK too.
fn renumber(file: &Path, by: i64) {
    let mut bytes = fs::read(file).expect("it is there");
    let segment = SegmentHeader::decode(&bytes).expect("a header");
    let mut at = usize::try_from(FIRST_FRAME_OFFSET).expect("small");
    let (link, _) = Link::decode(&bytes[at..], segment.life).expect("a LINK");
    let link = Link { next: later(link.next, by), ..link };
    bytes[at..at + LINK_FRAME_BYTES].copy_from_slice(&link.encode(segment.life));
    let mut previous = FrameHeader::chain_value(bytes[at..].first_chunk().expect("whole"));
    at += LINK_FRAME_BYTES;
    while let Ok(frame) = FrameHeader::decode(&bytes[at..], segment.life, at as u64) {
        let frame = FrameHeader { previous, first: later(frame.first, by), ..frame };
        let encoded = frame.encode(segment.life, at as u64);
        bytes[at..at + FRAME_HEADER_BYTES].copy_from_slice(&encoded);
        previous = FrameHeader::chain_value(&encoded);
        at += usize::try_from(frame.layout(segment.checksum).end).expect("small");
    }
    fs::write(file, bytes).expect("it can be written");
}

fn rewrite_anchor(log: &Log, change: impl Fn(Anchor) -> Anchor) {
    let file = log.path.join("ANCHOR");
    let mut bytes = fs::read(&file).expect("it is there");
    for slot in [0, SLOT_BYTES] {
        if let Ok(anchor) = Anchor::decode(&bytes[slot..]) {
            bytes[slot..slot + SLOT_BYTES].copy_from_slice(&change(anchor).encode(&[]));
        }
    }
    fs::write(file, bytes).expect("it can be written");
}

fn all_say_corrupt(log: &Log, named: &str) {
    let before = log.contents();
    for command in COMMANDS {
        let ran = log.run_with(command, b"");
        assert_eq!(ran.code, Some(2), "{command:?}: {ran:?}");
        let told = [ran.stderr.as_bytes(), &ran.stdout].concat();
        assert!(String::from_utf8_lossy(&told).contains(named), "{command:?}: {ran:?}");
    }
    let mut after = log.contents();
    after.retain(|file, _| before.contains_key(file));
    assert_eq!(after, before);
}

#[test]
fn a_link_that_lies_about_its_number_is_corrupt_for_every_command() {
    for by in [-9, -2, -1, 0, 1, 5] {
        let log = Log::new();
        for life in 0..3 {
            // With another kind of checksum a segment is begun.
            let checksum = ["crc32", "crc64"][life % 2];
            let mut writer = log.writer(&["--sync", "immediate", "--checksum", checksum]);
            writer.send_one_by_one(10 * life..10 * (life + 1));
            writer.kill();
        }
        let files = log.segments();
        let (before, last) = (&files[1], &files[2]);
        renumber(last, by);
        let shifted = |point: DurablePoint| DurablePoint { next: later(point.next, by), ..point };
        rewrite_anchor(&log, |anchor| Anchor { durable: anchor.durable.map(shifted), ..anchor });
        if by == 0 {
            assert_eq!(log.cat(), lines(0..30).as_bytes(), "the right numbers are no lie");
            continue;
        }
        let ran = log.run(&["cat"]);
        assert!(lines(0..20).as_bytes().starts_with(&ran.stdout), "by {by}: nothing behind it is printed");
        all_say_corrupt(&log, before.file_name().and_then(|name| name.to_str()).expect("a name"));
    }
}

#[test]
fn an_anchor_that_begins_beyond_the_end_is_corrupt_for_every_command() {
    for closed in [true, false] {
        for first in [21, 100, (1 << 56) - 1] {
            let log = Log::new();
            let mut writer = log.writer(&["--sync", "immediate"]);
            writer.send_one_by_one(0..20);
            if closed {
                assert_eq!(writer.close(), Some(0));
            } else {
                writer.kill();
            }
            let first = Sequence::try_from(first).expect("small");
            rewrite_anchor(&log, |anchor| Anchor { first, ..anchor });
            assert_eq!(log.run(&["cat"]).stdout, b"");
            all_say_corrupt(&log, "00000000000000000001.wal");
        }
    }
}
