//! Finds where a frame ends, by the headers in front of it.

use wal_format::{FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::names::segment_path;
use crate::files::window::Window;
use crate::io::Directory;
use crate::segment::file::open_span;
use crate::segment::span::{Span, Tip};

/// The end of the frame that holds entry `last`, with `last` as the last entry. Reads the headers in front of
/// it, which takes no longer than to read the segment.
pub(crate) fn end_behind(directory: &dyn Directory, span: &Span, last: Sequence) -> Result<Tip, Error> {
    let next = last.advance(1).ok_or(Error::OutOfNumbers)?;
    if next == span.end.next {
        return Ok(span.end);
    }
    let file = open_span(directory, span)?;
    let mut window = Window::new(&file, span.end.offset);
    let mut tip = span.start;
    while tip.next <= last {
        let bytes = window.bytes_at(tip.offset, FRAME_HEADER_BYTES)?;
        let decoded = FrameHeader::decode(bytes, span.life, tip.offset);
        let chain = bytes.first_chunk().map(FrameHeader::chain_value);
        tip = match (decoded, chain) {
            (Ok(frame), Some(chain)) if follows(&frame, tip) => Tip {
                offset: tip.offset + frame.layout(span.checksum).end,
                chain,
                next: frame.next_sequence().ok_or(Error::OutOfNumbers)?,
            },
            (decoded, _) => {
                let fault = decoded.err().unwrap_or(FrameFault::Order);
                return Err(Error::Damaged(Damage {
                    file: segment_path(directory, span.life.segment),
                    offset: tip.offset,
                    sequences: Some(Lost::between(tip.next, span.end.next)),
                    kind: DamageKind::Frame(fault),
                }));
            }
        };
    }
    Ok(Tip { next, ..tip })
}

fn follows(frame: &FrameHeader, tip: Tip) -> bool {
    frame.kind != FrameKind::Link && frame.previous == tip.chain && frame.first == tip.next
}
