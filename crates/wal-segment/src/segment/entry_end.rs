//! Finds where the frame of an entry ends, by the headers before it.

use wal_format::{FRAME_HEADER_BYTES, Sequence};

use crate::error::{DamageKind, Error, Lost};
use crate::files::window::Window;
use crate::io::Directory;
use crate::segment::file::open_span;
use crate::segment::frame::Frame;
use crate::segment::span::{Span, Tip};

/// The tip after entry `last`: the end of its frame, with the entry after `last` as the next one. Reads the
/// headers before it, which takes at most the time to read the segment.
pub(crate) fn end_after(directory: &dyn Directory, span: &Span, last: Sequence) -> Result<Tip, Error> {
    let next = last.advance(1).ok_or(Error::OutOfNumbers)?;
    if next == span.end.next {
        return Ok(span.end);
    }
    let file = open_span(directory, span)?;
    let mut window = Window::new(&file, span.end.offset);
    let mut tip = span.start;
    while tip.next <= last {
        let bytes = window.bytes_at(tip.offset, FRAME_HEADER_BYTES)?;
        let decoded = Frame::decode(bytes, span.life, span.checksum, tip.offset);
        tip = decoded.and_then(|frame| tip.advance(&frame)).map_err(|fault| {
            let lost = Lost::between(tip.next, span.end.next);
            Error::Damaged(file.damage(tip.offset, Some(lost), DamageKind::Frame(fault)))
        })?;
    }
    Ok(Tip { next, ..tip })
}
