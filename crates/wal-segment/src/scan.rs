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

use wal_format::{
    ChecksumKind, DataFrame, Digest, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Life,
    SEAL_FIXED_BYTES, Seal, TableEntry,
};

use crate::error::Error;
use crate::named::Named;
use crate::span::Tip;
use crate::window::Window;

/// Where a walk ended, and what it saw on its way.
#[derive(Clone, Debug)]
pub(crate) struct Walked {
    /// The end of the last valid frame.
    pub(crate) tip: Tip,
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
        checksum,
        frames_window: Window::new(file, limit),
        payload_window: Window::new(file, limit),
        walked: Walked { tip: start, stop: Stop::Fault(FrameFault::Blank), stated_durable: 0, frames: 0 },
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

struct Walk<'a> {
    life: Life,
    checksum: ChecksumKind,
    frames_window: Window<'a>,
    payload_window: Window<'a>,
    walked: Walked,
}

type Checked<T> = Result<Result<T, FrameFault>, Error>;

impl Walk<'_> {
    /// Checks the frame at the tip and moves the tip behind it; tells when it was a SEAL.
    fn step(&mut self) -> Checked<Option<Stop>> {
        let Tip { offset, chain, next } = self.walked.tip;
        let bytes = self.frames_window.bytes_at(offset, FRAME_HEADER_BYTES)?;
        let frame = match FrameHeader::decode(bytes, self.life, offset) {
            Ok(frame) => frame,
            Err(fault) => return Ok(Err(fault)),
        };
        let own_chain = bytes.first_chunk().map(FrameHeader::chain_value).expect("a header was just decoded");
        let (true, true, Some(after)) = (frame.previous == chain, frame.first == next, frame.next_sequence())
        else {
            return Ok(Err(FrameFault::Order));
        };
        let end = offset + frame.layout(self.checksum).end;
        if end > self.frames_window.limit() {
            return Ok(Err(FrameFault::Short));
        }
        let sealed = match frame.kind {
            FrameKind::Link => return Ok(Err(FrameFault::Order)),
            FrameKind::Seal => match self.check_seal(&frame, offset)? {
                Ok(stop) => Some(stop),
                Err(fault) => return Ok(Err(fault)),
            },
            FrameKind::Data => {
                if let Err(fault) = self.check_data(&frame, offset)? {
                    return Ok(Err(fault));
                }
                self.walked.frames += 1;
                None
            }
        };
        self.walked.stated_durable = self.walked.stated_durable.max(frame.durable_offset);
        self.walked.tip = Tip { offset: end, chain: own_chain, next: after };
        Ok(Ok(sealed))
    }

    /// Most frames fit the window and are checked where they lie; a larger one goes piece by piece.
    fn check_data(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let frame_bytes = usize::try_from(frame.layout(self.checksum).end).unwrap_or(usize::MAX);
        let bytes = self.frames_window.bytes_at(offset, frame_bytes)?;
        if bytes.len() == frame_bytes {
            let decoded = DataFrame::decode(bytes, frame, self.checksum);
            return Ok(decoded.and_then(|data| data.entries().try_for_each(|entry| entry.map(|_| ()))));
        }
        match self.check_table(frame, offset)? {
            Ok(()) => self.check_payloads(frame, offset),
            Err(fault) => Ok(Err(fault)),
        }
    }

    fn check_table(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let row_bytes = TableEntry::bytes(self.checksum);
        let mut at = offset + FRAME_HEADER_BYTES as u64;
        let mut left = frame.entries as usize * row_bytes;
        let mut crc = Digest::new(ChecksumKind::Crc32);
        let mut sum = 0_u64;
        while left > 0 {
            // Whole rows, so that none is split between two pieces.
            let piece = self.frames_window.bytes_at(at, left.min(TABLE_PIECE_ROWS * row_bytes))?;
            let piece = &piece[..piece.len() - piece.len() % row_bytes];
            if piece.is_empty() {
                return Ok(Err(FrameFault::Short));
            }
            crc.update(piece);
            let rows = piece.chunks_exact(row_bytes);
            sum += rows.map(|row| u64::from(TableEntry::decode(row, self.checksum).length)).sum::<u64>();
            at += piece.len() as u64;
            left -= piece.len();
        }
        let matches = crc.finish() == u64::from(frame.table_crc) && sum == u64::from(frame.payload_bytes);
        Ok(if matches { Ok(()) } else { Err(FrameFault::Table) })
    }

    fn check_payloads(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let layout = frame.layout(self.checksum);
        let row_bytes = TableEntry::bytes(self.checksum);
        let mut row_at = offset + FRAME_HEADER_BYTES as u64;
        let mut at = offset + layout.payload_start;
        for entry in 0..frame.entries {
            let row = self.frames_window.bytes_at(row_at, row_bytes)?;
            if row.len() < row_bytes {
                return Ok(Err(FrameFault::Short));
            }
            let row = TableEntry::decode(row, self.checksum);
            let mut left = row.length as usize;
            let mut digest = Digest::new(self.checksum);
            while left > 0 {
                let piece = self.payload_window.bytes_at(at, left)?;
                if piece.is_empty() {
                    return Ok(Err(FrameFault::Short));
                }
                digest.update(piece);
                at += piece.len() as u64;
                left -= piece.len();
            }
            if digest.finish() != row.digest {
                return Ok(Err(FrameFault::Payload { entry }));
            }
            row_at += row_bytes as u64;
        }
        let padding = usize::try_from(layout.end - layout.payload_end).expect("less than FRAME_ALIGN");
        let padding = self.payload_window.bytes_at(at, padding)?;
        Ok(if padding.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(FrameFault::Padding) })
    }

    fn check_seal(&mut self, frame: &FrameHeader, offset: u64) -> Checked<Stop> {
        let fixed = FRAME_HEADER_BYTES + SEAL_FIXED_BYTES;
        let seal = match Seal::decode(self.frames_window.bytes_at(offset, fixed)?, frame) {
            Ok(seal) => seal,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut at = offset + fixed as u64;
        let mut left = frame.payload_bytes as usize - SEAL_FIXED_BYTES;
        let mut crc = Digest::new(ChecksumKind::Crc32);
        while left > 0 {
            let piece = self.payload_window.bytes_at(at, left)?;
            if piece.is_empty() {
                return Ok(Err(FrameFault::Short));
            }
            crc.update(piece);
            at += piece.len() as u64;
            left -= piece.len();
        }
        let index_is_good = crc.finish() == u64::from(seal.index_crc());
        Ok(Ok(Stop::Sealed { offset, index_is_good }))
    }
}

/// How many rows of an entry table are checked at a time.
const TABLE_PIECE_ROWS: usize = 4096;
