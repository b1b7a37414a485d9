//! One entry by its number, without reading what lies in front of it.
//!
//! ```text
//! span      ← the one that holds the number                        binary search over spans
//! low, high ← the index points around the number                   binary search, cached with the volume
//! loop
//!     frame at low holds the number                                found
//!     it is near                                                   low ← the next frame
//!     guess ← between low and high, by the number's share
//!     scan from the guess for a frame header of this life
//!         its numbers begin at or before the wanted one            low ← it
//!         behind it                                                high ← it, and guess earlier
//! table ← must match the frame's header
//! payload ← must match its row of the table
//! ```
//!
//! This is interpolation search (Perl, Itai, Avni: "Interpolation search, a log log n search", 1978) over
//! frames of any length. A frame that it jumps to speaks for itself: the checksum of its header is masked with
//! this life of the segment and this offset, so neither an older life nor a copy of a frame inside a payload
//! passes, and it states its numbers. Before a segment's end no place holds two genuine frames of one life (an open
//! goes on only where it found none), so such a frame is part of the log. Bytes of a payload may be such a header, by
//! chance or because somebody tried until they were; so the frame behind has to name it, too. The header vouches for
//! the table, the table for the payload.
//! The frames that were passed over are not looked at: damage there is reported to whoever reads them. Where the next
//! frame is damaged, the search goes on at the first whole one after it.
//!
//! Where the search does not arrive, the walk from the index point decides, so that damage is told in the same
//! words as to a reader who comes along in order.

use std::ops::Range;

use wal_format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Sequence, TableEntry};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::names::segment_path;
use crate::follow::tailer::explain;
use crate::reader::entry::Entry;
use crate::reader::forward::Reading;
use crate::reader::frames::{Found, Frames};
use crate::reader::shelf::{Shelf, Snapshot};
use crate::segment::span::{Span, Tip};

/// How much of an unmapped segment is read at a time.
const CHUNK_BYTES: usize = 8 << 10;
/// What is probably so near, as frames here are long, is reached from frame to frame: a scan for the next
/// header costs as much. With 8 KiB and more to a frame, that is all of a stretch.
const NEAR_FRAMES: u64 = 8;
/// How far a scan looks for a frame: as far as two like the last one, and not in vain among unlike ones.
const SCAN_FRAMES: u64 = 2;
const MIN_SCAN_BYTES: u64 = 4 << 10;
const MAX_SCAN_BYTES: u64 = 64 << 10;
/// How often a guess is made before the rest is walked.
const GUESSES: u32 = 16;
/// Frames begin at multiples of this.
const STEP: usize = 8;
const _: () = assert!(STEP as u64 == FRAME_ALIGN);

/// The entry with this number; `None` when the snapshot does not hold it.
///
/// # Errors
/// What an iterator that begins there would report first.
pub fn find(shelf: &dyn Shelf, snapshot: &Snapshot, sequence: Sequence) -> Result<Option<Entry>, Error> {
    match snapshot.damaged_from() {
        Some((from, damage)) if sequence >= from => return Err(Error::Damaged(damage.clone())),
        _ if !(snapshot.first()..snapshot.next()).contains(&sequence) => return Ok(None),
        _ => {}
    }
    let Some(span) = snapshot.span(snapshot.find(sequence)) else { return Ok(None) };
    let found = find_in(shelf, span, sequence);
    found.map(Some).map_err(|error| explain(shelf.directory(), snapshot, sequence, error))
}

fn find_in(shelf: &dyn Shelf, span: Span, sequence: Sequence) -> Result<Entry, Error> {
    let mut frames = Frames::open(shelf, span, shelf.chunk(), CHUNK_BYTES)?;
    let found = match search(&mut frames, sequence) {
        Ok(Some(found)) => entry(&mut frames, &found, sequence),
        other => other.map(|_| None),
    };
    shelf.put_back(frames.source.into_chunk());
    found?.map_or_else(|| walk(shelf, span, sequence), Ok)
}

/// Where the frame begins that holds the number, if the search gets there: nothing in front of it is read.
pub(crate) fn place(shelf: &dyn Shelf, span: Span, sequence: Sequence) -> Result<Option<Tip>, Error> {
    let mut frames = Frames::open(shelf, span, shelf.chunk(), CHUNK_BYTES)?;
    let found = search(&mut frames, sequence);
    shelf.put_back(frames.source.into_chunk());
    Ok(found?.map(|found| Tip { offset: found.offset, chain: 0, next: found.header.first }))
}

/// The frame that holds the number, if the search gets there.
fn search(frames: &mut Frames, sequence: Sequence) -> Result<Option<Found>, Error> {
    let Span { start, end, .. } = frames.span;
    let points = &frames.source.volume().points;
    let behind = points.partition_point(|point| point.first <= sequence);
    let after = points.get(behind).map(|point| (point.offset, point.first));
    let mut high = after.unwrap_or((end.offset, end.next));
    let indexed = behind.checked_sub(1).map(|at| (points[at].offset, points[at].first));
    if let Some((offset, first)) = indexed {
        // The search goes there next: so the two places come from memory at the same time.
        let guess = share(offset..high.0, sequence.distance_from(first), high.1.distance_from(first));
        frames.source.touch(guess);
    }
    let mut low = match indexed {
        Some((offset, first)) => frame_at(frames, offset, first)?,
        None => None,
    };
    if low.is_none() {
        // A point that leads nowhere says nothing about the place behind it either.
        high = (end.offset, end.next);
        low = following(frames, start, high, sequence)?;
    }
    let Some(mut low) = low else { return Ok(None) };
    let mut guesses = 0;
    let mut slack = 0;
    loop {
        let Some(next) = low.header.next_sequence() else { return Ok(None) };
        if sequence < next {
            return Ok(Some(low));
        }
        if low.end >= high.0 || next >= high.1 {
            return Ok(None);
        }
        let guess = share(low.end..high.0, sequence.distance_from(next), high.1.distance_from(next));
        let probe = guess.saturating_sub(slack) / FRAME_ALIGN * FRAME_ALIGN;
        let frame_bytes = low.end - low.offset;
        if probe <= low.end + NEAR_FRAMES * frame_bytes || guesses == GUESSES {
            let tip = Tip { offset: low.end, chain: low.chain, next };
            let Some(further) = following(frames, tip, high, sequence)? else { return Ok(None) };
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

/// The place in `offsets` that is as far on as `part` is in `whole`.
fn share(offsets: Range<u64>, part: u64, whole: u64) -> u64 {
    let bytes = u128::from(offsets.end - offsets.start) * u128::from(part) / u128::from(whole.max(1));
    offsets.start + u64::try_from(bytes).unwrap_or(0)
}

/// The DATA frame at `offset`, if its first entry has this number.
fn frame_at(frames: &mut Frames, offset: u64, first: Sequence) -> Result<Option<Found>, Error> {
    let found = frames.find(offset)?.ok();
    Ok(found.filter(|found| found.header.kind == FrameKind::Data && found.header.first == first))
}

/// The next DATA frame after `tip`: the one that follows, or where that is damaged the first whole one before `high`. None
/// where that begins after the number.
fn following(
    frames: &mut Frames,
    tip: Tip,
    high: (u64, Sequence),
    sequence: Sequence,
) -> Result<Option<Found>, Error> {
    let found = match next_data_frame(frames, tip)? {
        None => beyond(frames, tip.offset..high.0, tip.next..high.1)?,
        found => found,
    };
    Ok(found.filter(|found| found.header.first <= sequence))
}

/// The next DATA frame after `tip`, if it follows: SEALs of a close, and extension frames, may stand before it.
fn next_data_frame(frames: &mut Frames, mut tip: Tip) -> Result<Option<Found>, Error> {
    while let Ok(found) = frames.find(tip.offset)? {
        if found.header.previous != tip.chain || found.header.first != tip.next {
            break;
        }
        if found.header.kind == FrameKind::Data {
            return Ok(Some(found));
        }
        (tip.offset, tip.chain) = (found.end, found.chain);
    }
    Ok(None)
}

/// The first DATA frame that begins in `offsets`, whose first number is one of `numbers`, and which the frame
/// behind it follows.
fn scan(
    frames: &mut Frames,
    mut offsets: Range<u64>,
    numbers: Range<Sequence>,
) -> Result<Option<Found>, Error> {
    while let Some(found) = header_in(frames, &offsets, &numbers)? {
        if is_followed(frames, &found)? {
            return Ok(Some(found));
        }
        offsets.start = found.offset + FRAME_ALIGN;
    }
    Ok(None)
}

/// The first whole DATA frame in `offsets` behind damage, as [`scan`] finds it. Reads all that is in between.
pub(crate) fn beyond(
    frames: &mut Frames,
    mut offsets: Range<u64>,
    numbers: Range<Sequence>,
) -> Result<Option<Found>, Error> {
    while offsets.start < offsets.end {
        let limit = offsets.end.min(offsets.start + MAX_SCAN_BYTES);
        if let Some(found) = scan(frames, offsets.start..limit, numbers.clone())? {
            return Ok(Some(found));
        }
        // A header may begin in the last bytes of a piece and end in the next one.
        let short = FRAME_HEADER_BYTES as u64 - FRAME_ALIGN;
        offsets.start = if limit == offsets.end { limit } else { limit - short };
    }
    Ok(None)
}

/// Whether the log goes on, or ends, behind this frame as it says.
fn is_followed(frames: &mut Frames, found: &Found) -> Result<bool, Error> {
    let end = frames.span.end;
    if found.end == end.offset {
        return Ok(found.chain == end.chain);
    }
    let behind = frames.find(found.end)?;
    Ok(behind.is_ok_and(|behind| {
        behind.header.previous == found.chain && Some(behind.header.first) == found.header.next_sequence()
    }))
}

/// The first place in `offsets` that holds what looks like the header of such a frame.
fn header_in(
    frames: &mut Frames,
    offsets: &Range<u64>,
    numbers: &Range<Sequence>,
) -> Result<Option<Found>, Error> {
    let span = frames.span;
    let wanted = offsets.end.saturating_sub(offsets.start);
    let bytes = frames.source.at(offsets.start, wanted)?;
    let bytes = &bytes[..bytes.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))];
    for (place, header) in (offsets.start..).step_by(STEP).zip(places(bytes)) {
        // Nearly every place is dismissed by its number, without a checksum.
        if !FrameHeader::claimed_first(header).is_some_and(|first| numbers.contains(&first)) {
            continue;
        }
        let chain = FrameHeader::chain_value(header);
        let Ok(header) = FrameHeader::decode(header, span.life, place) else { continue };
        let end = place + header.layout(span.checksum).end;
        if end <= span.end.offset {
            return Ok(Some(Found { header, chain, offset: place, end }));
        }
    }
    Ok(None)
}

/// Every place in `bytes` where a frame could begin, as far as its header fits.
fn places(bytes: &[u8]) -> impl Iterator<Item = &[u8; FRAME_HEADER_BYTES]> {
    (0..bytes.len()).step_by(STEP).map_while(|at| bytes[at..].first_chunk())
}

/// The entry of a frame; `None` when the table or the payload is damaged.
fn entry(frames: &mut Frames, found: &Found, sequence: Sequence) -> Result<Option<Entry>, Error> {
    let (offset, header) = (found.offset, &found.header);
    let checksum = frames.span.checksum;
    let row_bytes = TableEntry::bytes(checksum);
    let layout = header.layout(checksum);
    let bytes = frames.source.at(offset, layout.payload_start)?;
    let in_memory = |bytes: u64| usize::try_from(bytes).map_err(|_| Error::OutOfNumbers);
    let Some(table) = bytes.get(FRAME_HEADER_BYTES..in_memory(layout.payload_start)?) else {
        return Ok(None);
    };
    if !header.vouches_for(table) {
        return Ok(None);
    }
    let index = in_memory(sequence.distance_from(header.first))?;
    let mut rows = table.chunks_exact(row_bytes).map(|row| TableEntry::decode(row, checksum));
    let in_front: u64 = rows.by_ref().take(index).map(|row| u64::from(row.length)).sum();
    let Some(row) = rows.next() else { return Ok(None) };
    let payload_offset = offset + layout.payload_start + in_front;
    let payload_bytes = u64::from(row.length);
    if in_front + payload_bytes > u64::from(header.payload_bytes) {
        return Ok(None);
    }
    let payload = frames.source.at(payload_offset, payload_bytes)?;
    let Some(payload) = payload.get(..in_memory(payload_bytes)?) else { return Ok(None) };
    if checksum.digest(payload) != row.digest {
        return Ok(None);
    }
    let (bytes, start) = frames.source.hold(payload_offset);
    Ok(Some(Entry { sequence, bytes, start, end: start + in_memory(payload_bytes)? }))
}

/// The entry as an iterator that begins there would find it, or what that would report.
fn walk(shelf: &dyn Shelf, span: Span, sequence: Sequence) -> Result<Entry, Error> {
    let found = Reading::begin(shelf, span, sequence)?.next(shelf, sequence)?;
    found.filter(|entry| entry.sequence == sequence).ok_or_else(|| {
        let file = segment_path(shelf.directory(), span.life.segment);
        let kind = DamageKind::Frame(FrameFault::Order);
        let sequences = Some(Lost::one(sequence));
        Error::Damaged(Damage { file, offset: span.end.offset, sequences, kind })
    })
}
