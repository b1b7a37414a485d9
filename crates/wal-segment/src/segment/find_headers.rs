//! Finds frames without a chain: tries each place that could hold a header. Whether one is genuine, `segment/frame` says.
//!
//! The checksum of a header is masked with the life of the segment and its offset. So neither a frame of an
//! earlier life nor a copy of a frame inside a payload is taken for genuine.

use std::ops::ControlFlow;

use wal_format::{ChecksumKind, FRAME_ALIGN, FRAME_HEADER_BYTES, Life, Sequence};

use crate::error::Error;
use crate::files::window::Window;
use crate::segment::frame::Frame;

/// The frames whose headers stand in `bytes`, in order. `offset` is where `bytes` begin in their file.
/// `may_be` is a cheap filter that saves the checksum at nearly every place.
pub(crate) fn genuine<'a>(
    bytes: &'a [u8],
    offset: u64,
    life: Life,
    checksum: ChecksumKind,
    may_be: impl Fn(&[u8; FRAME_HEADER_BYTES]) -> bool + 'a,
) -> impl DoubleEndedIterator<Item = Frame> + 'a {
    let places = (bytes.len() + 1).saturating_sub(FRAME_HEADER_BYTES);
    (0..places).step_by(STEP).filter_map(move |at| {
        let header = bytes[at..].first_chunk()?;
        // In blank space the byte of the kind is zero.
        if header[KIND_BYTE] == 0 || !may_be(header) {
            return None;
        }
        Frame::decode(header, life, checksum, offset + at as u64).ok()
    })
}

/// Calls `look` with the bytes from `from` to the window's limit, 64 KiB at a time with their offset, until
/// it breaks. Pieces overlap, so that each header lies whole in one of them.
pub(crate) fn for_each_piece<B>(
    window: &mut Window,
    from: u64,
    mut look: impl FnMut(&[u8], u64) -> ControlFlow<B>,
) -> Result<Option<B>, Error> {
    let mut offset = from;
    while offset < window.limit {
        let bytes = window.bytes_at(offset, PIECE_BYTES)?;
        let is_last = bytes.len() < PIECE_BYTES;
        if let ControlFlow::Break(found) = look(bytes, offset) {
            return Ok(Some(found));
        }
        if is_last {
            break;
        }
        offset += (PIECE_BYTES - FRAME_HEADER_BYTES) as u64 + FRAME_ALIGN;
    }
    Ok(None)
}

/// Whether a frame can have its first number at its offset when entry `expected` would begin at `from`: the
/// number is no lower, and the entries in between fit, at 8 bytes or more each.
pub(crate) fn fits_after(frame: &Frame, expected: Sequence, from: u64) -> bool {
    let most = frame.offset.saturating_sub(from) / FRAME_ALIGN;
    frame.header.first >= expected && frame.header.first.distance_from(expected) <= most
}

const KIND_BYTE: usize = 15;
const PIECE_BYTES: usize = 64 << 10;
/// Frames begin at multiples of this many bytes.
const STEP: usize = 8;
const _: () = assert!(STEP as u64 == FRAME_ALIGN && (PIECE_BYTES - FRAME_HEADER_BYTES).is_multiple_of(STEP));
