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
//!     tip ← the frame's end; after a SEAL stop
//! ```

use wal_format::{ChecksumKind, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Life, Sequence};

use crate::error::Error;
use crate::frame_check::{Checked, FrameCheck};
use crate::named::Named;
use crate::span::Tip;
use crate::window::Window;

/// Where a walk ended, and what it saw on its way.
#[derive(Clone, Debug)]
pub(crate) struct Walked {
    /// The end of the last valid frame.
    pub(crate) tip: Tip,
    /// The first number of that frame; that of the start, when there was none.
    pub(crate) last_first: Sequence,
    /// Why the walk ended: a SEAL, or what stands at the tip.
    pub(crate) stop: Stop,
    /// The furthest durable point that any of the frames states.
    pub(crate) stated_durable: u64,
    /// How many DATA frames there were.
    pub(crate) frames: u64,
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The last frame was a SEAL, which stands here. Its index may be bad, which costs nothing but
    /// speed.
    Sealed {
        /// Where the SEAL begins.
        offset: u64,
        /// Whether its index can be used.
        index_is_good: bool,
    },
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
            last_first: start.next,
            stop: Stop::Fault(FrameFault::Blank),
            stated_durable: 0,
            frames: 0,
        },
    };
    loop {
        match walk.step()? {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                walk.walked.stop = sealed;
                return Ok(walk.walked);
            }
            Err(fault) => {
                walk.walked.stop = Stop::Fault(fault);
                return Ok(walk.walked);
            }
        }
    }
}

struct Walk {
    life: Life,
    check: FrameCheck,
    walked: Walked,
}

impl Walk {
    /// Checks the frame at the tip and moves the tip behind it; tells when it was a SEAL.
    fn step(&mut self) -> Checked<Option<Stop>> {
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
        let sealed = match frame.kind {
            FrameKind::Link => return Ok(Err(FrameFault::Order)),
            FrameKind::Seal => match self.check.check_seal(&frame, offset)? {
                Ok(index_is_good) => Some(Stop::Sealed { offset, index_is_good }),
                Err(fault) => return Ok(Err(fault)),
            },
            FrameKind::Data => {
                if let Err(fault) = self.check.check_data(&frame, offset)? {
                    return Ok(Err(fault));
                }
                self.walked.frames += 1;
                None
            }
        };
        self.walked.stated_durable = self.walked.stated_durable.max(frame.durable_offset);
        self.walked.last_first = frame.first;
        self.walked.tip = Tip { offset: end, chain: own_chain, next: after };
        Ok(Ok(sealed))
    }
}
