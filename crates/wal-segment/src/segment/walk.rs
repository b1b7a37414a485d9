//! Walks the frames of one segment and checks every byte of them, in bounded memory.
//!
//! ```text
//! tip ← behind the LINK
//! loop
//!     header ← frame header at the tip          must be of this life, at this place
//!     header names the chain value of the tip   else: order
//!     header bears the number of the tip        else: order
//!     the frame ends in front of the limit      else: short
//!     table matches the header, lengths add up  else: table
//!     every payload matches the table           else: payload
//!     padding is zero                           else: padding
//!     tip ← the frame's end; after a final SEAL stop
//! ```

use wal_format::{ChecksumKind, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Life, Sequence};

use crate::error::Error;
use crate::files::named::Named;
use crate::files::window::Window;
use crate::segment::check::{Checked, FrameCheck};
use crate::segment::index::{Index, SealSeen};
use crate::segment::span::Tip;

/// Where a walk ended, and what it saw on its way.
#[derive(Clone, Debug)]
pub(crate) struct Walked {
    /// The end of the last valid frame.
    pub(crate) tip: Tip,
    /// Where that frame begins, and its first number; those of the start, when there was none.
    pub(crate) last_offset: u64,
    pub(crate) last_first: Sequence,
    /// Why the walk ended: a final SEAL, or what stands at the tip.
    pub(crate) stop: Stop,
    /// The last SEAL that was passed, or the final one.
    pub(crate) seal: Option<SealSeen>,
    /// How many SEALs have a bad index.
    pub(crate) bad_indexes: u64,
    /// The index behind the last good SEAL.
    pub(crate) index: Index,
    /// The furthest durable point that any of the frames states.
    pub(crate) stated_durable: u64,
    /// How many DATA frames there were.
    pub(crate) frames: u64,
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The last frame was a final SEAL.
    Sealed,
    /// What stands at the tip is no frame that follows.
    Fault(FrameFault),
}

/// Walks from `start` to the first thing that is not the next frame, or to `limit`.
///
/// # Errors
/// [`Error::Io`] when bytes cannot be read: that is never the end of the log.
pub(crate) fn walk(
    file: &Named,
    life: Life,
    checksum: ChecksumKind,
    start: Tip,
    limit: u64,
) -> Result<Walked, Error> {
    let mut walk = Walk {
        life,
        check: FrameCheck::new(checksum, Window::new(file, limit), Window::new(file, limit)),
        walked: Walked {
            tip: start,
            last_offset: start.offset,
            last_first: start.next,
            stop: Stop::Fault(FrameFault::Blank),
            seal: None,
            bad_indexes: 0,
            index: Index::default(),
            stated_durable: 0,
            frames: 0,
        },
    };
    walk.walked.stop = loop {
        match walk.step()? {
            Ok(()) if walk.walked.ends_with_seal(|seal| seal.is_final) => break Stop::Sealed,
            Ok(()) => {}
            Err(fault) => break Stop::Fault(fault),
        }
    };
    Ok(walk.walked)
}

impl Walked {
    fn note(&mut self, frame: &FrameHeader, offset: u64) {
        self.frames += 1;
        if self.index.wants(offset) {
            self.index.note(offset, frame.first, 0);
        }
    }

    fn pass(&mut self, seal: SealSeen) {
        self.bad_indexes += u64::from(!seal.index_is_good);
        self.index.sealed(&seal);
        self.seal = Some(seal);
    }

    /// Whether the last frame was such a SEAL.
    pub(crate) fn ends_with_seal(&self, is_such: impl Fn(&SealSeen) -> bool) -> bool {
        self.seal.as_ref().is_some_and(|seal| seal.end == self.tip.offset && is_such(seal))
    }
}

struct Walk {
    life: Life,
    check: FrameCheck,
    walked: Walked,
}

impl Walk {
    /// Checks the frame at the tip and moves the tip behind it.
    fn step(&mut self) -> Checked<()> {
        let Tip { offset, chain, next } = self.walked.tip;
        let bytes = self.check.frames_window.bytes_at(offset, FRAME_HEADER_BYTES)?;
        let frame = match FrameHeader::decode(bytes, self.life, offset) {
            Ok(frame) => frame,
            Err(fault) => return Ok(Err(fault)),
        };
        let own_chain = bytes.first_chunk().map(FrameHeader::chain_value).expect("a header was just decoded");
        let (true, true, Some(after)) = (frame.previous == chain, frame.first == next, frame.next_sequence())
        else {
            return Ok(Err(FrameFault::Order));
        };
        let end = offset + frame.layout(self.check.checksum).end;
        if end > self.check.frames_window.limit() {
            return Ok(Err(FrameFault::Short));
        }
        let checked = match frame.kind {
            FrameKind::Link => Err(FrameFault::Order),
            FrameKind::Seal => self.check.check_seal(&frame, offset)?.map(|seal| self.walked.pass(seal)),
            FrameKind::Extension(_) => self.check.check_body(&frame, offset)?,
            FrameKind::Data => {
                self.check.check_data(&frame, offset)?.map(|()| self.walked.note(&frame, offset))
            }
        };
        if checked.is_err() {
            return Ok(checked);
        }
        self.walked.stated_durable = self.walked.stated_durable.max(frame.durable_offset);
        (self.walked.last_offset, self.walked.last_first) = (offset, frame.first);
        self.walked.tip = Tip { offset: end, chain: own_chain, next: after };
        Ok(Ok(()))
    }
}
