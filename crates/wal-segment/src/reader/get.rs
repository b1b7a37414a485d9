//! Reads one entry by its number, without reading what comes before it.
//!
//! ```text
//! span    ← the one that holds the number                          binary search over spans
//! frame   ← the one that holds it                                  see `find_frame`
//! table   ← must match the frame's header
//! payload ← must match its row of the table
//! ```
//!
//! Where the search fails, a walk from the index point decides, so that damage is reported as it is to a
//! reader in order.

use wal_format::{FRAME_HEADER_BYTES, FrameFault, Sequence, TableEntry};

use crate::error::{DamageKind, Error, Lost};
use crate::follow::tailer::explain;
use crate::reader::entry::{Entry, Place};
use crate::reader::find_frame::{CHUNK_BYTES, search};
use crate::reader::forward::Forward;
use crate::reader::frames::Frames;
use crate::reader::lent::EntryRef;
use crate::reader::segments::source::SegmentSource;
use crate::segment::frame::Frame;
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;

/// Returns the entry with this number; `None` when the snapshot does not hold it.
///
/// # Errors
/// The first error of an iterator that begins there.
pub fn find(
    segments: &dyn SegmentSource,
    snapshot: &Snapshot,
    sequence: Sequence,
) -> Result<Option<Entry>, Error> {
    match snapshot.damaged_from() {
        Some((from, damage)) if sequence >= from => return Err(Error::Damaged(damage.clone())),
        _ if !(snapshot.first()..snapshot.next()).contains(&sequence) => return Ok(None),
        _ => {}
    }
    let Some(span) = snapshot.span(snapshot.find(sequence)) else { return Ok(None) };
    let found = find_in(segments, span, sequence);
    found.map(Some).map_err(|error| explain(segments.directory(), snapshot, sequence, error))
}

fn find_in(segments: &dyn SegmentSource, span: Span, sequence: Sequence) -> Result<Entry, Error> {
    let mut frames = Frames::open(segments, span, || segments.chunk(), CHUNK_BYTES)?;
    let found = match search(&mut frames, sequence) {
        Ok(Some(found)) if found.header.next_sequence().is_some_and(|next| sequence < next) => {
            entry(&mut frames, &found, sequence)
        }
        other => other.map(|_| None),
    };
    if let Some(chunk) = frames.source.into_chunk() {
        segments.put_back(chunk);
    }
    found?.map_or_else(|| walk(segments, span, sequence), Ok)
}

fn entry(frames: &mut Frames, found: &Frame, sequence: Sequence) -> Result<Option<Entry>, Error> {
    let (offset, header) = (found.offset, &found.header);
    let checksum = frames.span.checksum;
    let row_bytes = TableEntry::bytes(checksum);
    let layout = header.layout(checksum);
    // Fetches where the payload probably is while the table is checked.
    let index = sequence.distance_from(header.first);
    let before = u64::from(header.payload_bytes) * index / u64::from(header.entries.max(1));
    frames.source.touch(offset + layout.payload_start + before);
    let bytes = frames.source.at(offset, layout.payload_start)?;
    let in_memory = |bytes: u64| usize::try_from(bytes).map_err(|_| Error::OutOfNumbers);
    let Some(table) = bytes.get(FRAME_HEADER_BYTES..in_memory(layout.payload_start)?) else {
        return Ok(None);
    };
    if !header.vouches_for(table) {
        return Ok(None);
    }
    let index = in_memory(index)?;
    let mut rows = table.chunks_exact(row_bytes).map(|row| TableEntry::decode(row, checksum));
    let bytes_before: u64 = rows.by_ref().take(index).map(|row| u64::from(row.length)).sum();
    let Some(row) = rows.next() else { return Ok(None) };
    let payload_offset = offset + layout.payload_start + bytes_before;
    let payload_bytes = u64::from(row.length);
    if bytes_before + payload_bytes > u64::from(header.payload_bytes) {
        return Ok(None);
    }
    let payload = frames.source.at(payload_offset, payload_bytes)?;
    let Some(payload) = payload.get(..in_memory(payload_bytes)?) else { return Ok(None) };
    if !row.vouches_for(payload, checksum) {
        return Ok(None);
    }
    let start = frames.source.index(payload_offset);
    let place = Place { sequence, start, end: start + in_memory(payload_bytes)? };
    Ok(Some(frames.own(place)))
}

fn walk(segments: &dyn SegmentSource, span: Span, sequence: Sequence) -> Result<Entry, Error> {
    let mut reading = Forward::begin(segments, span, sequence)?;
    let found = if reading.next(sequence, sequence)? { reading.lend().map(EntryRef::to_owned) } else { None };
    let found = found.filter(|entry| entry.sequence() == sequence);
    let kind = DamageKind::Frame(FrameFault::Order);
    found.ok_or_else(|| reading.frames.damaged(span.end.offset, Lost::one(sequence), kind))
}
