//! Checks the end that a LINK states against the frame that ends there, without walking the segment.
//!
//! ```text
//!            looked at: at most 1 MiB
//!          ├────────────────────────────┤
//!  … DATA  │  DATA  │  the last frame   │  LINK: "it ends here, with this chain value; the next entry is n"
//!                   └ its header is genuine, ends here, and has that chain value: then n must be its number
//! ```
//!
//! Invariant: only a genuine header is evidence, whose frame ends where the LINK says with the chain value
//! that the LINK repeats. Without one (damaged, unreadable or too far away) this module reports nothing:
//! readers find the damage.

use wal_format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, FrameKind, Link};

use crate::error::Damage;
use crate::files::named::Named;
use crate::segment::find_headers::genuine;
use crate::segment::frame::Frame;
use crate::segment::head::Linked;
use crate::segment::span::{Span, Tip, may_cut_inside};

/// A LINK that states another end than the segment before it has.
#[derive(Debug)]
pub(crate) struct Contradicted {
    pub(crate) damage: Damage,
    pub(crate) end: Tip,
}

pub(crate) fn stated_span(link: &Link, unended: Span) -> Span {
    let (end_offset, seal_offset) = link.predecessor.map_or((unended.start.offset, None), |predecessor| {
        (predecessor.end_offset, predecessor.seal_offset)
    });
    let end = Tip { offset: end_offset, chain: link.chain, next: link.next };
    Span { end, seal_offset, cut_inside: may_cut_inside(link), ..unended }
}

/// Checks the end of `span` by the header of the last frame in its segment. Usually one small read.
pub(crate) fn contradicted(before: &Linked, span: &Span) -> Option<Contradicted> {
    let stated = span.end;
    let (first, next) = if stated.offset == span.start.offset {
        (stated.chain == span.start.chain).then_some((span.start.next, span.start.next))?
    } else {
        let frame = last_frame(&before.file, span)?;
        (frame.header.first, frame.after()?.next)
    };
    let (lost, kind) = span.contradiction(first, next)?;
    let damage = before.file.damage(stated.offset, Some(lost), kind);
    Some(Contradicted { damage, end: Tip { next, ..stated } })
}

/// How far before the end the header of the last frame is searched. The first piece usually has it.
const SEARCHED_BYTES: u64 = 1 << 20;
const FIRST_PIECE_BYTES: u64 = 4 << 10;
const PIECE_GROWTH: u64 = 4;
const _: () = assert!(FIRST_PIECE_BYTES.is_multiple_of(FRAME_ALIGN));

/// The frame that ends with the span, if its header is genuine and near enough.
pub(crate) fn last_frame(file: &Named, span: &Span) -> Option<Frame> {
    let end_offset = span.end.offset;
    if !end_offset.is_multiple_of(FRAME_ALIGN) {
        return None;
    }
    let ends_there = |frame: &Frame| {
        frame.end == end_offset && frame.chain == span.end.chain && frame.header.kind != FrameKind::Link
    };
    if let Some(offset) = span.seal_offset
        && (span.start.offset..end_offset).contains(&offset)
        && let Ok(Ok(seal)) = Frame::read(file, span.life, span.checksum, offset)
        && ends_there(&seal)
    {
        return Some(seal);
    }
    let lowest = span.start.offset.max(end_offset.saturating_sub(SEARCHED_BYTES));
    let (mut until, mut piece_bytes) = (end_offset, FIRST_PIECE_BYTES);
    let mut bytes = Vec::new();
    while until > lowest {
        let from = until.saturating_sub(piece_bytes).max(lowest);
        // A header may begin in this piece and end in the one that was searched before.
        let to = end_offset.min(until + FRAME_HEADER_BYTES as u64 - FRAME_ALIGN);
        bytes.clear();
        bytes.resize(usize::try_from(to - from).ok()?, 0);
        let read = file.read_at(&mut bytes, from).ok()?;
        // The chain value rules out nearly every place without a checksum.
        let names_end =
            |header: &[u8; FRAME_HEADER_BYTES]| FrameHeader::chain_value(header) == span.end.chain;
        let mut frames = genuine(&bytes[..read], from, span.life, span.checksum, names_end).rev();
        if let Some(frame) = frames.find(ends_there) {
            return Some(frame);
        }
        (until, piece_bytes) = (from, PIECE_GROWTH * piece_bytes);
    }
    None
}
