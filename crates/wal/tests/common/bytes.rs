//! Segment files as bytes, by `wal-format` alone.

use wal_format::{
    ChecksumKind, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameHeader, Life, SegmentHeader, SegmentName,
    SegmentNumber,
};
use wal_segment::io::sim::SimDisk;

/// A frame and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) offset: usize,
    pub(crate) end: usize,
    pub(crate) header: FrameHeader,
}

pub(crate) fn segment_name(number: u64) -> String {
    SegmentName::of(SegmentNumber::new(number).expect("from 1")).to_string()
}

/// The names of all segments, in order.
pub(crate) fn segments(disk: &SimDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| SegmentName::parse(name).is_some()).collect()
}

/// The names of the segments that hold the log: not of one that is prepared, which holds no LINK.
pub(crate) fn linked(disk: &SimDisk) -> Vec<String> {
    let holds_a_frame = |name: &String| {
        // A thread of the log may remove what was listed.
        disk.contents(name)
            .is_some_and(|bytes| SegmentHeader::decode(&bytes).is_ok() && !frames(&bytes).is_empty())
    };
    segments(disk).into_iter().filter(holds_a_frame).collect()
}

pub(crate) fn header(bytes: &[u8]) -> SegmentHeader {
    SegmentHeader::decode(bytes).expect("the segment has a header")
}

/// The frames of a segment, the LINK first, up to the first place that holds none.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let segment = header(bytes);
    let mut found = Vec::new();
    let mut at = FIRST_FRAME_OFFSET;
    loop {
        let offset = small(at);
        let Ok(header) = FrameHeader::decode(bytes.get(offset..).unwrap_or(&[]), segment.life, at) else {
            return found;
        };
        at += header.layout(segment.checksum).end;
        found.push(Frame { offset, end: small(at), header });
    }
}

/// Writes the checksum of a changed frame header, as somebody would who knows the format.
pub(crate) fn repair(bytes: &mut [u8], life: Life, offset: usize) {
    let frame = &mut bytes[offset..offset + FRAME_HEADER_BYTES];
    let crc = crc32(&frame[4..]) ^ life.mask(offset as u64);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    u32::try_from(ChecksumKind::Crc32.digest(bytes)).expect("32 bits")
}

fn small(number: u64) -> usize {
    usize::try_from(number).expect("test files are small")
}
