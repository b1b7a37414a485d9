//! Finds the frame that holds a number, without reading what comes before it.
//!
//! ```text
//! low, high ← the index points around the number                   binary search, cached with the segment
//! loop
//!     frame at low holds the number                                found
//!     it is near                                                   low ← the next frame
//!     guess ← between low and high, by the number's share
//!     scan from the guess for a frame header of this life
//!         its numbers begin at or before the wanted one            low ← it
//!         after it                                                 high ← it, and guess earlier
//! ```
//!
//! This is interpolation search (Perl, Itai, Avni: "Interpolation search, a log log n search", 1978) over
//! frames of any length. A frame with a [genuine](crate::segment::find_headers) header identifies itself and
//! states its numbers. Before a segment's end no place holds two genuine frames of one life (an open appends
//! only where it found none), so such a frame is part of the log. A payload may contain a valid header, by
//! chance or because an attacker tried often enough; so the frame after it must name it, too.
//!
//! Frames that the search skips are not checked: readers of those frames report damage in them. Where the
//! next frame is damaged, the search goes on at the first whole one after it.

use std::ops::Range;

use wal_format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, FrameKind, Sequence};

use crate::error::Error;
use crate::reader::frames::Frames;
use crate::reader::segments::source::SegmentSource;
use crate::segment::find_headers::genuine;
use crate::segment::frame::Frame;
use crate::segment::span::{Span, Tip};

pub(crate) const CHUNK_BYTES: usize = 8 << 10;
/// A target that is probably this many frames away or fewer is reached frame by frame: scanning for the next
/// header costs as much. With frames of 8 KiB and more that covers a whole stretch.
const NEAR_FRAMES: u64 = 8;
/// How far a scan looks for a frame: as far as two frames like the last one, and no less than the minimum.
const SCAN_FRAMES: u64 = 2;
const MIN_SCAN_BYTES: u64 = 4 << 10;
const MAX_SCAN_BYTES: u64 = 64 << 10;
const GUESSES: u32 = 16;

/// The tip before the frame that [`search`] finds.
pub(crate) fn place(
    segments: &dyn SegmentSource,
    span: Span,
    sequence: Sequence,
) -> Result<Option<Tip>, Error> {
    let mut frames = Frames::open(segments, span, || segments.chunk(), CHUNK_BYTES)?;
    let found = search(&mut frames, sequence);
    if let Some(chunk) = frames.source.into_chunk() {
        segments.put_back(chunk);
    }
    Ok(found?.map(|frame| frame.before()))
}

/// The frame that holds the number, or the last whole frame before it that the search reached.
pub(crate) fn search(frames: &mut Frames, sequence: Sequence) -> Result<Option<Frame>, Error> {
    let Span { start, end, .. } = frames.span;
    let points = &frames.reader.points;
    let higher = points.partition_point(|point| point.first <= sequence);
    let after = points.get(higher).map(|point| (point.offset, point.first));
    let mut high = after.unwrap_or((end.offset, end.next));
    let indexed = higher.checked_sub(1).map(|at| (points[at].offset, points[at].first));
    if let Some((offset, first)) = indexed {
        // Fetches the place of the first guess while the frame at the index point is read.
        let guess = share(offset..high.0, sequence.distance_from(first), high.1.distance_from(first));
        frames.source.touch(guess);
    }
    let mut low = match indexed {
        Some((offset, first)) => frame_at(frames, offset, first)?,
        None => None,
    };
    if low.is_none() {
        // After a wrong index point the next one is not trusted either.
        high = (end.offset, end.next);
        low = following(frames, start, high, sequence)?;
    }
    let Some(mut low) = low else { return Ok(None) };
    let mut guesses = 0;
    let mut slack = 0;
    let mut is_near = false;
    loop {
        let Some(tip) = low.after() else { return Ok(None) };
        let next = tip.next;
        if sequence < next || low.end >= high.0 || next >= high.1 {
            return Ok(Some(low));
        }
        let guess = share(low.end..high.0, sequence.distance_from(next), high.1.distance_from(next));
        let probe = guess.saturating_sub(slack) / FRAME_ALIGN * FRAME_ALIGN;
        let frame_bytes = low.end - low.offset;
        if probe <= low.end + NEAR_FRAMES * frame_bytes || guesses == GUESSES {
            if !is_near {
                is_near = true;
                touch_ahead(frames, &low, high, sequence);
            }
            let Some(further) = following(frames, tip, high, sequence)? else { return Ok(Some(low)) };
            low = further;
            continue;
        }
        guesses += 1;
        let scanned = (SCAN_FRAMES * frame_bytes).clamp(MIN_SCAN_BYTES, MAX_SCAN_BYTES);
        let limit = high.0.min(guess + scanned);
        match scan(frames, probe..limit, next..high.1)? {
            Some(found) if found.header.first <= sequence => {
                low = found;
                slack = 0;
            }
            passed => {
                if let Some(found) = passed {
                    high = (found.offset, found.header.first);
                }
                slack = (2 * slack).max(SCAN_FRAMES * frame_bytes);
            }
        }
    }
}

/// Fetches the places where the frames after `low` probably begin, all at once: a walk waits for one after the other.
fn touch_ahead(frames: &Frames, low: &Frame, high: (u64, Sequence), sequence: Sequence) {
    let entries = u64::from(low.header.entries);
    let Some(next) = low.header.next_sequence() else { return };
    let frame_bytes = share(low.end..high.0, entries, high.1.distance_from(next)) - low.end;
    let wanted = sequence.distance_from(next) / entries.max(1);
    for frame in 1..=wanted.min(NEAR_FRAMES) {
        frames.source.touch(low.end + frame * frame_bytes);
    }
}

/// The offset that is as far into `offsets` as `part` is into `whole`.
fn share(offsets: Range<u64>, part: u64, whole: u64) -> u64 {
    let (bytes, whole) = (offsets.end - offsets.start, whole.max(1));
    let share = match bytes.checked_mul(part) {
        Some(product) => product / whole,
        None => u64::try_from(u128::from(bytes) * u128::from(part) / u128::from(whole)).unwrap_or(0),
    };
    offsets.start + share
}

fn frame_at(frames: &mut Frames, offset: u64, first: Sequence) -> Result<Option<Frame>, Error> {
    let found = frames.find(offset)?.ok();
    Ok(found.filter(|found| found.header.kind == FrameKind::Data && found.header.first == first))
}

/// The next DATA frame after `tip`, or, if that is damaged, the first whole one before `high`. `None` if it
/// begins after the number.
fn following(
    frames: &mut Frames,
    tip: Tip,
    high: (u64, Sequence),
    sequence: Sequence,
) -> Result<Option<Frame>, Error> {
    let found = match next_data_frame(frames, tip)? {
        None => beyond(frames, tip.offset..high.0, tip.next..high.1)?,
        found => found,
    };
    Ok(found.filter(|found| found.header.first <= sequence))
}

/// The next DATA frame in the chain, after SEALs of a close and extension frames.
fn next_data_frame(frames: &mut Frames, mut tip: Tip) -> Result<Option<Frame>, Error> {
    if let Some(frame) = frames.next_data(&tip) {
        return Ok(Some(frame));
    }
    while let Ok(frame) = frames.find(tip.offset)?
        && let Ok(after) = tip.advance(&frame)
    {
        if frame.header.kind == FrameKind::Data {
            return Ok(Some(frame));
        }
        tip = after;
    }
    Ok(None)
}

/// The first DATA frame that begins in `offsets`, has its first number in `numbers`, and is followed by the
/// frame after it.
fn scan(
    frames: &mut Frames,
    mut offsets: Range<u64>,
    numbers: Range<Sequence>,
) -> Result<Option<Frame>, Error> {
    while let Some(found) = header_in(frames, &offsets, &numbers)? {
        if is_followed(frames, &found)? {
            return Ok(Some(found));
        }
        offsets.start = found.offset + FRAME_ALIGN;
    }
    Ok(None)
}

/// The first whole frame in `offsets`, after damage. If the frame after it is damaged too, its table must
/// verify instead. Reads everything up to that frame.
pub(crate) fn beyond(
    frames: &mut Frames,
    mut offsets: Range<u64>,
    numbers: Range<Sequence>,
) -> Result<Option<Frame>, Error> {
    while offsets.start < offsets.end {
        let limit = offsets.end.min(offsets.start + MAX_SCAN_BYTES);
        if let Some(found) = header_in(frames, &(offsets.start..limit), &numbers)? {
            if is_followed(frames, &found)? || frames.check(&found)?.is_ok() {
                return Ok(Some(found));
            }
            offsets.start = found.offset + FRAME_ALIGN;
            continue;
        }
        // A header may begin in the last bytes of a piece and end in the next one.
        let short = FRAME_HEADER_BYTES as u64 - FRAME_ALIGN;
        offsets.start = if limit == offsets.end { limit } else { limit - short };
    }
    Ok(None)
}

/// Whether the next frame, or the end of the log, confirms this frame.
fn is_followed(frames: &mut Frames, found: &Frame) -> Result<bool, Error> {
    let end = frames.span.end;
    if found.end == end.offset {
        return Ok(found.chain == end.chain);
    }
    let Some(tip) = found.after() else { return Ok(false) };
    let next = frames.find(found.end)?;
    Ok(next.is_ok_and(|next| tip.advance(&next).is_ok()))
}

fn header_in(
    frames: &mut Frames,
    offsets: &Range<u64>,
    numbers: &Range<Sequence>,
) -> Result<Option<Frame>, Error> {
    let span = frames.span;
    let wanted = offsets.end.saturating_sub(offsets.start);
    let bytes = frames.source.at(offsets.start, wanted)?;
    let bytes = &bytes[..bytes.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))];
    // The number rules out nearly every place without a checksum.
    let may_be = |header: &[u8; FRAME_HEADER_BYTES]| {
        FrameHeader::claimed_first(header).is_some_and(|first| numbers.contains(&first))
    };
    let mut found = genuine(bytes, offsets.start, span.life, span.checksum, may_be);
    Ok(found.find(|frame| frame.end <= span.end.offset))
}
