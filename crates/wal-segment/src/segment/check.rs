//! Checks what follows a frame's header, in bounded memory: a large frame piece by piece. For a walk and for salvage;
//! readers check what they hand out (`reader/frames`, `reader/get`).

use wal_format::{
    ChecksumKind, DataFrame, Digest, FRAME_HEADER_BYTES, FrameFault, INDEX_POINT_BYTES, SEAL_FIXED_BYTES,
    Seal, SealIndex, SealKind, TableEntry,
};

use crate::error::Error;
use crate::files::window::Window;
use crate::segment::frame::{Checked, Frame};
use crate::segment::index::SealSeen;

pub(crate) struct FrameCheck {
    pub(crate) checksum: ChecksumKind,
    pub(crate) frames_window: Window,
    /// A second window, for the payloads of a frame that does not fit the first.
    pub(crate) payload_window: Window,
}

impl FrameCheck {
    /// Both windows must be on the same file.
    pub(crate) fn new(checksum: ChecksumKind, frames_window: Window, payload_window: Window) -> FrameCheck {
        FrameCheck { checksum, frames_window, payload_window }
    }

    /// Checks table, payloads and padding. Most frames fit the window and are checked in place; a larger one
    /// piece by piece.
    pub(crate) fn check_data(&mut self, frame: &Frame) -> Checked<()> {
        let frame_bytes = usize::try_from(frame.end - frame.offset).unwrap_or(usize::MAX);
        let bytes = self.frames_window.bytes_at(frame.offset, frame_bytes)?;
        if bytes.len() == frame_bytes {
            let decoded = DataFrame::decode(bytes, &frame.header, self.checksum);
            return Ok(decoded.and_then(|data| data.entries().try_for_each(|entry| entry.map(|_| ()))));
        }
        match self.check_table(frame)? {
            Ok(()) => self.check_payloads(frame),
            Err(fault) => Ok(Err(fault)),
        }
    }

    pub(crate) fn check_table(&mut self, frame: &Frame) -> Checked<()> {
        let row_bytes = TableEntry::bytes(self.checksum);
        let mut at = frame.offset + FRAME_HEADER_BYTES as u64;
        let mut left = frame.header.entries as usize * row_bytes;
        let mut crc = Digest::new(ChecksumKind::Crc32);
        let mut sum = 0_u64;
        while left > 0 {
            // Whole rows only, so that none is split between two pieces.
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
        let matches =
            crc.finish() == u64::from(frame.header.table_crc) && sum == u64::from(frame.header.payload_bytes);
        Ok(if matches { Ok(()) } else { Err(FrameFault::Table) })
    }

    fn check_payloads(&mut self, frame: &Frame) -> Checked<()> {
        let layout = frame.header.layout(self.checksum);
        let row_bytes = TableEntry::bytes(self.checksum);
        let mut row_at = frame.offset + FRAME_HEADER_BYTES as u64;
        let mut at = frame.offset + layout.payload_start;
        for entry in 0..frame.header.entries {
            let row = self.frames_window.bytes_at(row_at, row_bytes)?;
            if row.len() < row_bytes {
                return Ok(Err(FrameFault::Short));
            }
            let row = TableEntry::decode(row, self.checksum);
            let left = row.length as usize;
            match digest_of(&mut self.payload_window, at, left, self.checksum, |_| {})? {
                None => return Ok(Err(FrameFault::Short)),
                Some(digest) if digest != row.digest => return Ok(Err(FrameFault::Payload { entry })),
                Some(_) => at += u64::from(row.length),
            }
            row_at += row_bytes as u64;
        }
        let padding = usize::try_from(layout.end - layout.payload_end).expect("less than FRAME_ALIGN");
        let padding = self.payload_window.bytes_at(at, padding)?;
        Ok(if padding.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(FrameFault::Padding) })
    }

    /// Checks the fixed part of a SEAL and returns what is in it. An invalid index or section is no fault.
    pub(crate) fn check_seal(&mut self, frame: &Frame) -> Checked<SealSeen> {
        let fixed = FRAME_HEADER_BYTES + SEAL_FIXED_BYTES;
        let seal = match Seal::decode(self.frames_window.bytes_at(frame.offset, fixed)?, &frame.header) {
            Ok(seal) => seal,
            Err(fault) => return Ok(Err(fault)),
        };
        let index_offset = frame.offset + fixed as u64;
        let index_crc = self.crc(index_offset, seal.index_bytes())?;
        let last = index_offset + seal.points_bytes() as u64;
        let last_point = match seal.points() {
            0 => None,
            _ => SealIndex::point(
                self.payload_window.bytes_at(last - INDEX_POINT_BYTES as u64, INDEX_POINT_BYTES)?,
            ),
        };
        let is_good = index_crc == Some(seal.index_crc()) && last_point.is_some() == (seal.points() > 0);
        Ok(Ok(SealSeen {
            offset: frame.offset,
            end: frame.end,
            is_final: seal.kind == SealKind::Final,
            index_is_good: is_good,
            previous: seal.previous,
            last_point: last_point.filter(|_| is_good),
        }))
    }

    pub(crate) fn check_body(&mut self, frame: &Frame) -> Checked<()> {
        let body_offset = frame.offset + FRAME_HEADER_BYTES as u64;
        let crc = self.crc(body_offset, frame.header.payload_bytes as usize)?;
        Ok(if crc == Some(frame.header.table_crc) { Ok(()) } else { Err(FrameFault::Table) })
    }

    /// The payload of a row at `offset`; none where it does not match, or the file ends in it.
    pub(crate) fn payload(&mut self, offset: u64, row: TableEntry) -> Result<Option<Vec<u8>>, Error> {
        let mut payload = Vec::new();
        let (left, window) = (row.length as usize, &mut self.payload_window);
        let digest =
            digest_of(window, offset, left, self.checksum, |piece| payload.extend_from_slice(piece))?;
        Ok((digest == Some(row.digest)).then_some(payload))
    }

    fn crc(&mut self, offset: u64, left: usize) -> Result<Option<u32>, Error> {
        let digest = digest_of(&mut self.payload_window, offset, left, ChecksumKind::Crc32, |_| {})?;
        Ok(digest.and_then(|crc| u32::try_from(crc).ok()))
    }
}

/// The digest of `left` bytes from `offset` on, each piece shown to `take`; none where the file ends among them.
fn digest_of(
    window: &mut Window,
    mut offset: u64,
    mut left: usize,
    kind: ChecksumKind,
    mut take: impl FnMut(&[u8]),
) -> Result<Option<u64>, Error> {
    let mut digest = Digest::new(kind);
    while left > 0 {
        let piece = window.bytes_at(offset, left)?;
        if piece.is_empty() {
            return Ok(None);
        }
        digest.update(piece);
        take(piece);
        offset += piece.len() as u64;
        left -= piece.len();
    }
    Ok(Some(digest.finish()))
}

const TABLE_PIECE_ROWS: usize = 4096;
