//! What the bytes behind the end of a walk prove.
//!
//! Every frame states up to where its segment was durable when it was encoded. So a frame that lies
//! beyond the end of the walk, and is genuine, proves that what it states was on the device once, and
//! that its absence is damage and not an interrupted write.

use wal_format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, SegmentHeader, Sequence};

use crate::error::Error;
use crate::files::named::Named;
use crate::files::window::Window;

/// What was found at and behind the end of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The furthest durable point that a genuine frame states.
    pub(crate) durable_offset: Option<u64>,
    /// Behind the last genuine frame, or the end of the file if that comes first.
    pub(crate) genuine_end: Option<u64>,
    /// The number of the first entry of the first believed frame behind the start.
    pub(crate) resumes_at: Option<Sequence>,
    /// Whether any byte is not zero.
    pub(crate) written: bool,
}

/// Looks at every place at or behind `from_offset` where a frame could begin, up to `limit`.
///
/// A frame is believed when its header's checksum matches this life of the segment and this offset, its durable point
/// is inside the segment, and its number lies between the `expected` one and what fits in between (an
/// entry takes at least 8 bytes), if a number is expected. A frame that does not end in front of
/// `limit` shows that something was written here, but its statement does not count.
pub(crate) fn search(
    file: &Named,
    header: &SegmentHeader,
    from_offset: u64,
    expected: Option<Sequence>,
    limit: u64,
) -> Result<Evidence, Error> {
    let mut window = Window::new(file, limit);
    let mut evidence = Evidence::default();
    let mut offset = from_offset;
    while offset < limit {
        let bytes = window.bytes_at(offset, PIECE_BYTES)?;
        if bytes.is_empty() {
            break;
        }
        evidence.written |= !bytes.iter().all(|&byte| byte == 0);
        let places = (bytes.len() + 1).saturating_sub(FRAME_HEADER_BYTES);
        for at in (0..places).step_by(STEP) {
            // The byte of the kind is zero in blank space, and the checksum need not be computed.
            if bytes[at + KIND_BYTE] == 0 {
                continue;
            }
            let place = offset + at as u64;
            let Ok(frame) = FrameHeader::decode(&bytes[at..], header.life, place) else { continue };
            let end = place + frame.layout(header.checksum).end;
            evidence.genuine_end = evidence.genuine_end.max(Some(end.min(limit)));
            let fits_between = (place - from_offset) / FRAME_ALIGN;
            let plausible = expected.is_none_or(|expected| {
                frame.first >= expected && frame.first.distance_from(expected) <= fits_between
            });
            if end <= limit && plausible {
                evidence.durable_offset = evidence.durable_offset.max(Some(frame.durable_offset));
                if place > from_offset {
                    evidence.resumes_at.get_or_insert(frame.first);
                }
            }
        }
        if (bytes.len() as u64) < PIECE_BYTES as u64 {
            break;
        }
        // The last places of a piece had no room for a header: the next piece begins with them.
        offset += (PIECE_BYTES - FRAME_HEADER_BYTES) as u64 + FRAME_ALIGN;
    }
    Ok(evidence)
}

/// Where the kind stands in a frame header.
const KIND_BYTE: usize = 15;
const PIECE_BYTES: usize = 64 << 10;
const STEP: usize = 8;
const _: () = assert!(STEP as u64 == FRAME_ALIGN && (PIECE_BYTES - FRAME_HEADER_BYTES).is_multiple_of(STEP));
