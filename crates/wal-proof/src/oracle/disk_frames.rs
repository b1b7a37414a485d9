//! The frames on a disk, and which of them must be durable, by a second reader that shares no code with recovery.
//!
//! A frame is *attested* when something else on the disk says that it was durable: a later frame of its
//! segment whose durable point lies after it, the LINK of a later segment, or the anchor.

use wal::sim::SimDisk;
use wal_format::{
    ANCHOR_FILE, Anchor, FIRST_FRAME_OFFSET, FrameHeader, FrameKind, LINK_FRAME_BYTES, Link, SLOT_BYTES,
    SegmentHeader, SegmentName, SegmentNumber,
};

/// A frame as the classifier found it.
#[derive(Clone, Debug)]
pub(crate) struct DiskFrame {
    pub(crate) file: String,
    pub(crate) segment: u64,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: FrameKind,
    pub(crate) first: u64,
    pub(crate) entries: u64,
    pub(crate) durable: u64,
    /// No truncation has dropped an entry in it.
    pub(crate) kept: bool,
}

/// All frames of all segments that hold the log, by walking headers.
pub(crate) fn frames(disk: &SimDisk) -> Vec<DiskFrame> {
    let (begins, segments) = log_segments(disk);
    let first = begins.map_or(0, |anchor| anchor.first.value());
    let mut found: Vec<DiskFrame> =
        segments.iter().filter_map(|segment| frames_of(disk, segment)).flatten().collect();
    for frame in &mut found {
        frame.kept &= frame.kind != FrameKind::Data || frame.first >= first;
    }
    found
}

/// The frames of one segment.
pub(crate) fn frames_of(disk: &SimDisk, segment: &LogSegment) -> Option<Vec<DiskFrame>> {
    let LogSegment { file, end } = segment;
    let (number, bytes) = (SegmentName::parse(file)?, disk.contents(file)?);
    let header = SegmentHeader::decode(&bytes).ok()?;
    let mut found = Vec::new();
    let mut start = usize::try_from(FIRST_FRAME_OFFSET).unwrap_or(0);
    Link::decode(&bytes[start.min(bytes.len())..], header.life).ok()?;
    let (mut previous, mut next) = (None, None);
    while let Ok(frame) = FrameHeader::decode(&bytes[start..], header.life, start as u64) {
        let follows = previous.is_none_or(|chain| chain == frame.previous)
            && next.is_none_or(|next| next == frame.first.value());
        let frame_end = start + usize::try_from(frame.layout(header.checksum).end).unwrap_or(usize::MAX);
        // Frames after the end that the next LINK states are void.
        let void = end.is_some_and(|(offset, _)| frame_end as u64 > offset);
        if !follows || void || frame_end > bytes.len() {
            break;
        }
        let entries = u64::from(frame.entries);
        let end_number = frame.first.value() + entries;
        found.push(DiskFrame {
            file: file.clone(),
            segment: number.value(),
            start,
            end: frame_end,
            kind: frame.kind,
            first: frame.first.value(),
            entries,
            durable: frame.durable_offset,
            kept: frame.kind != FrameKind::Data || end.is_none_or(|(_, next)| end_number <= next),
        });
        previous = bytes[start..].first_chunk().map(FrameHeader::chain_value);
        next = Some(end_number);
        start = frame_end;
    }
    Some(found)
}

/// A segment that holds a part of the log, and where the next one says that it ends: offset and next number.
pub(crate) struct LogSegment {
    pub(crate) file: String,
    pub(crate) end: Option<(u64, u64)>,
}

/// From the highest LINK back to the first segment that the anchor names, oldest first.
pub(crate) fn log_segments(disk: &SimDisk) -> (Option<Anchor>, Vec<LogSegment>) {
    let anchors = disk.contents(ANCHOR_FILE).unwrap_or_default();
    let anchors = anchors.chunks(SLOT_BYTES).filter_map(|slot| Anchor::decode(slot).ok());
    let newest = anchors.max_by_key(|anchor| anchor.generation);
    let first_segment = newest.map_or(0, |anchor| anchor.first_segment.value());
    let mut segments = Vec::new();
    let (mut number, mut end) = (highest_link(disk), None);
    while let Some(segment) = SegmentNumber::new(number).filter(|_| number >= first_segment) {
        let file = SegmentName::of(segment).as_str().to_owned();
        let Some(link) = disk.contents(&file).and_then(|bytes| link_of(&bytes)) else { break };
        segments.push(LogSegment { file, end });
        let Some(predecessor) = link.predecessor else { break };
        (number, end) = (predecessor.segment.value(), Some((predecessor.end_offset, link.next.value())));
    }
    segments.reverse();
    (newest, segments)
}

/// The highest segment with a LINK.
pub(crate) fn highest_link(disk: &SimDisk) -> u64 {
    let linked = |file: &String| {
        link_of(&disk.contents(file)?)?;
        SegmentName::parse(file)
    };
    disk.names().iter().filter_map(linked).map(SegmentNumber::value).max().unwrap_or(0)
}

fn link_of(bytes: &[u8]) -> Option<Link> {
    let header = SegmentHeader::decode(bytes).ok()?;
    let start = usize::try_from(FIRST_FRAME_OFFSET).ok()?;
    let frame = bytes.get(start..start + LINK_FRAME_BYTES)?;
    Link::decode(frame, header.life).ok().map(|(link, _)| link)
}

/// Whether something else on the disk says that the frame was durable.
pub(crate) fn attested(disk: &SimDisk, frames: &[DiskFrame], index: usize) -> bool {
    let frame = &frames[index];
    let by_later_frame = frames.iter().any(|other| {
        other.segment == frame.segment && other.start > frame.start && other.durable >= frame.end as u64
    });
    by_later_frame || attested_from_outside(disk, frames, frame)
}

/// Whether another file says so.
pub(crate) fn attested_from_outside(disk: &SimDisk, frames: &[DiskFrame], frame: &DiskFrame) -> bool {
    let by_link = frames.iter().any(|other| other.segment > frame.segment);
    let by_anchor = disk.contents(ANCHOR_FILE).is_some_and(|bytes| {
        bytes.chunks(SLOT_BYTES).filter_map(|slot| Anchor::decode(slot).ok()).any(|anchor| {
            let named = frame.kind == FrameKind::Link
                && anchor.active.is_some_and(|(active, _)| active.value() >= frame.segment);
            let durable = anchor.durable.is_some_and(|point| {
                (point.segment.value(), point.offset) >= (frame.segment, frame.end as u64)
            });
            named || durable
        })
    });
    by_link || by_anchor
}
