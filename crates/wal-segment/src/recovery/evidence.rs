//! What the bytes after the end of a walk prove.
//!
//! Every frame states up to which offset its segment was durable when the frame was encoded. So a genuine
//! frame beyond the end of the walk proves that the bytes it names were once on the device: if they are gone,
//! that is damage and no torn write.

use std::ops::ControlFlow;

use wal_format::{SegmentHeader, Sequence};

use crate::error::Error;
use crate::files::named::Named;
use crate::files::window::Window;
use crate::segment::find_headers::{fits_after, for_each_piece, genuine};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) durable_offset: Option<u64>,
    /// The end of the last genuine frame, or of the file if that comes first.
    pub(crate) genuine_end: Option<u64>,
    /// The first number after the start, in a credible frame.
    pub(crate) resumes_at: Option<Sequence>,
    /// Whether any byte is not zero.
    pub(crate) written: bool,
}

/// Tries every place from `from_offset` to `limit` where a frame could begin.
///
/// A frame is credible when its header is genuine, its durable point is inside the segment, and its number,
/// if one is expected, lies between `expected` and what fits in between (an entry takes at least 8 bytes). A
/// frame that does not end before `limit` shows that something was written here, but its statement does not
/// count.
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
