//! What the bytes behind the end of a walk prove.
//!
//! Every frame states up to where its segment was durable when it was encoded. So a frame that lies
//! beyond the end of the walk, and is genuine, proves that what it states was on the device once, and
//! that its absence is damage and not an interrupted write.

use std::ops::ControlFlow;

use wal_format::{SegmentHeader, Sequence};

use crate::error::Error;
use crate::files::named::Named;
use crate::files::window::Window;
use crate::segment::genuine::{fits_after, for_each_piece, genuine};

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
    for_each_piece(&mut window, from_offset, |bytes, offset| {
        evidence.written |= !bytes.iter().all(|&byte| byte == 0);
        for frame in genuine(bytes, offset, header.life, header.checksum, |_| true) {
            evidence.genuine_end = evidence.genuine_end.max(Some(frame.end.min(limit)));
            let plausible = expected.is_none_or(|expected| fits_after(&frame, expected, from_offset));
            if frame.end <= limit && plausible {
                evidence.durable_offset = evidence.durable_offset.max(Some(frame.header.durable_offset));
                if frame.offset > from_offset {
                    evidence.resumes_at.get_or_insert(frame.header.first);
                }
            }
        }
        ControlFlow::<()>::Continue(())
    })?;
    Ok(evidence)
}
