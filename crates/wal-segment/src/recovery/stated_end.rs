//! Holds the end that a LINK states against the frame that ends there, without walking the segment.
//!
//! ```text
//!            looked at: at most 1 MiB
//!          ├────────────────────────────┤
//!  … DATA  │  DATA  │  the last frame   │  LINK: "it ends here, with this chain value; the next entry is n"
//!                   └ its header is genuine, ends here, and has that chain value: then n must be its number
//! ```
//!
//! Invariant: only a genuine header is evidence. Its checksum matches this life at its offset, its frame ends where the
//! LINK says, and its chain value is the one that the LINK repeats. Where there is none, be it damaged, unreadable or
//! too far away, nothing is said: readers report it.

use wal_format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, FrameKind, Link};

use crate::error::Damage;
use crate::files::named::Named;
use crate::segment::head::Linked;
use crate::segment::span::{Span, Tip, may_cut_inside};

/// A LINK that states another end than its predecessor has.
#[derive(Debug)]
pub(crate) struct Contradicted {
    pub(crate) damage: Damage,
    /// Where the frames of the predecessor end.
    pub(crate) end: Tip,
}

/// The span of the segment `before`, as the LINK of the next one states its end.
pub(crate) fn stated_span(before: &Linked, link: &Link, unended: Span) -> Span {
    let (end_offset, seal_offset) = link
        .predecessor
        .map_or((before.start.offset, None), |predecessor| (predecessor.end_offset, predecessor.seal_offset));
    let end = Tip { offset: end_offset, chain: link.chain, next: link.next };
    Span { end, seal_offset, cut_inside: may_cut_inside(link), ..unended }
}

/// What is wrong with the end of `span`, by the header of the last frame of its segment. Mostly this is one small read.
pub(crate) fn contradicted(before: &Linked, span: &Span) -> Option<Contradicted> {
    let stated = span.end;
    let (first, next) = if stated.offset == span.start.offset {
        (stated.chain == span.start.chain).then_some((span.start.next, span.start.next))?
    } else {
        let (_, frame) = last_frame(&before.file, span)?;
        (frame.first, frame.next_sequence()?)
    };
    let (lost, kind) = span.contradiction(first, next)?;
    let file = before.file.path.to_path_buf();
    let damage = Damage { file, offset: stated.offset, sequences: Some(lost), kind };
    Some(Contradicted { damage, end: Tip { next, ..stated } })
}

/// How far from the end the header of the last frame is looked for. Mostly the first piece has it.
const SEARCHED_BYTES: u64 = 1 << 20;
const FIRST_PIECE_BYTES: u64 = 4 << 10;
const PIECE_GROWTH: u64 = 4;
const STEP: usize = 8;
const _: () = assert!(STEP as u64 == FRAME_ALIGN && FIRST_PIECE_BYTES.is_multiple_of(FRAME_ALIGN));

/// Where the frame begins that ends with the span, and its header, if that is genuine and near.
pub(crate) fn last_frame(file: &Named, span: &Span) -> Option<(u64, FrameHeader)> {
    let end_offset = span.end.offset;
    if !end_offset.is_multiple_of(FRAME_ALIGN) {
        return None;
    }
    let mut header = [0; FRAME_HEADER_BYTES];
    if let Some(offset) = span.seal_offset
        && (span.start.offset..end_offset).contains(&offset)
        && let Ok(FRAME_HEADER_BYTES) = file.read_at(&mut header, offset)
        && let Some(seal) = ends_there(&header, span, offset)
    {
        return Some((offset, seal));
    }
    let lowest = span.start.offset.max(end_offset.saturating_sub(SEARCHED_BYTES));
    let (mut until, mut piece_bytes) = (end_offset, FIRST_PIECE_BYTES);
    let mut bytes = Vec::new();
    while until > lowest {
        let from = until.saturating_sub(piece_bytes).max(lowest);
        // A header may begin in this piece and end in the one that was looked at before.
        let to = end_offset.min(until + FRAME_HEADER_BYTES as u64 - FRAME_ALIGN);
        bytes.clear();
        bytes.resize(usize::try_from(to - from).ok()?, 0);
        let read = file.read_at(&mut bytes, from).ok()?;
        let places = usize::try_from(until - from).ok()?.min(read);
        for at in (0..places).step_by(STEP).rev() {
            let Some(header) = bytes[at..read].first_chunk() else { continue };
            let offset = from + at as u64;
            if let Some(frame) = ends_there(header, span, offset) {
                return Some((offset, frame));
            }
        }
        (until, piece_bytes) = (from, PIECE_GROWTH * piece_bytes);
    }
    None
}

/// The header at `offset`, if it is genuine, has the chain value that the LINK names, and its frame ends with the span.
fn ends_there(header: &[u8; FRAME_HEADER_BYTES], span: &Span, offset: u64) -> Option<FrameHeader> {
    // Nearly every place is dismissed by this, without a checksum.
    if FrameHeader::chain_value(header) != span.end.chain {
        return None;
    }
    let frame = FrameHeader::decode(header, span.life, offset).ok()?;
    let ends = offset + frame.layout(span.checksum).end == span.end.offset;
    (ends && frame.kind != FrameKind::Link).then_some(frame)
}
