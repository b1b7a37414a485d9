//! Walks the frames of one segment and checks every byte of them, in bounded memory.
//!
//! ```text
//! tip ← end of the LINK
//! loop
//!     header ← frame header at the tip          must be of this life, at this place
//!     header names the chain value of the tip   else: order
//!     header bears the number of the tip        else: order
//!     the frame ends before the limit           else: short
//!     table matches the header, lengths add up  else: table
//!     every payload matches the table           else: payload
//!     padding is zero                           else: padding
//!     tip ← the frame's end; after a final SEAL stop
//! ```

use wal_format::{ChecksumKind, FRAME_HEADER_BYTES, FrameFault, FrameKind, Life, Sequence};

use crate::error::Error;
use crate::files::named::Named;
use crate::files::window::Window;
use crate::segment::check::FrameCheck;
use crate::segment::frame::{Checked, Frame};
use crate::segment::index::{Index, SealSeen};
use crate::segment::span::Tip;

#[derive(Clone, Debug)]
pub(crate) struct Walked {
    pub(crate) tip: Tip,
    /// Offset and first number of that frame; those of the start when there was none.
    pub(crate) last_offset: u64,
    pub(crate) last_first: Sequence,
    /// Why the walk ended: after a final SEAL, or because of what stands at the tip.
    pub(crate) stop: Stop,
    pub(crate) seal: Option<SealSeen>,
    pub(crate) bad_indexes: u64,
    /// The index points since the last valid SEAL.
    pub(crate) index: Index,
    pub(crate) stated_durable: u64,
    pub(crate) frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Sealed,
    Fault(FrameFault),
}

/// Walks from `start` to the first bytes that are not the next frame, or to `limit`.
///
/// # Errors
/// [`Error::Io`] when bytes cannot be read: an I/O error is never the end of the log.
pub(crate) fn walk(
    file: &Named,
    life: Life,
    checksum: ChecksumKind,
    start: Tip,
    limit: u64,
) -> Result<Walked, Error> {
    let mut check = FrameCheck::new(checksum, Window::new(file, limit), Window::new(file, limit));
    let mut walked = Walked {
        tip: start,
        last_offset: start.offset,
        last_first: start.next,
        stop: Stop::Fault(FrameFault::Blank),
        seal: None,
        bad_indexes: 0,
        index: Index::default(),
        stated_durable: 0,
        frames: 0,
    };
    walked.stop = loop {
        match walked.step(life, &mut check)? {
            Ok(()) if walked.ends_with_seal(|seal| seal.is_final) => break Stop::Sealed,
            Ok(()) => {}
            Err(fault) => break Stop::Fault(fault),
        }
    };
    Ok(walked)
}

impl Walked {
    fn step(&mut self, life: Life, check: &mut FrameCheck) -> Checked<()> {
        let offset = self.tip.offset;
        let bytes = check.frames_window.bytes_at(offset, FRAME_HEADER_BYTES)?;
        let decoded = Frame::decode(bytes, life, check.checksum, offset);
        let next = decoded.and_then(|frame| Ok((frame, self.tip.advance(&frame)?)));
        let (frame, after) = match next {
            Ok((frame, _)) if frame.end > check.frames_window.limit => return Ok(Err(FrameFault::Short)),
            Ok(next) => next,
            Err(fault) => return Ok(Err(fault)),
        };
        let checked = match frame.header.kind {
            FrameKind::Seal => check.check_seal(&frame)?.map(|seal| self.pass(seal)),
            FrameKind::Extension(_) => check.check_body(&frame)?,
            _ => check.check_data(&frame)?.map(|()| self.note(&frame)),
        };
        if checked.is_ok() {
            self.stated_durable = self.stated_durable.max(frame.header.durable_offset);
            (self.last_offset, self.last_first) = (offset, frame.header.first);
            self.tip = after;
        }
        Ok(checked)
    }

    fn note(&mut self, frame: &Frame) {
        self.frames += 1;
        if self.index.wants(frame.offset) {
            self.index.note(frame.offset, frame.header.first, 0);
        }
    }

    fn pass(&mut self, seal: SealSeen) {
        self.bad_indexes += u64::from(!seal.index_is_good);
        self.index.sealed(&seal);
        self.seal = Some(seal);
    }

    /// Whether the last frame was a SEAL for which `is_such` holds.
    pub(crate) fn ends_with_seal(&self, is_such: impl Fn(&SealSeen) -> bool) -> bool {
        self.seal.as_ref().is_some_and(|seal| seal.end == self.tip.offset && is_such(seal))
    }
}
