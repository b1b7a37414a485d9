//! One segment file, for whatever verifies in it.
//!
//! ```text
//!  │ DATA 10..12 │ DATA 13..15 │ ~~ damaged ~~ │ DATA 20..22 │ blank …
//!        ▲ walk ───────────────▶ ▲ search ─────▶ ▲ walk
//! ```
//!
//! Where the next frame is not what stands there, each place behind it is looked at until a header is genuine: its
//! checksum is masked with this life, this segment and this offset, so neither an earlier life of the file nor a
//! payload that holds the bytes of a frame passes for one.

use wal_format::{
    ChecksumKind, Digest, FIRST_FRAME_OFFSET, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameFault, FrameHeader,
    FrameKind, Life, Sequence, TableEntry,
};

use crate::error::{DamageKind, Error};
use crate::files::named::Named;
use crate::files::window::Window;
use crate::segment::check::FrameCheck;

/// An entry that verifies.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) sequence: Sequence,
    pub(super) payload: Vec<u8>,
    /// So does all of its frame.
    pub(super) whole: bool,
}

/// The first thing that was wrong since the last entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: u64,
    pub(super) kind: DamageKind,
}

/// A segment file that is being scanned.
pub(super) struct Scan {
    life: Life,
    check: FrameCheck,
    limit: u64,
    /// Behind the last frame that was looked at.
    tip: u64,
    /// The number that the next frame bears if nothing is lost, and from where on it counts.
    expected: Option<(Sequence, u64)>,
    frame: Option<Open>,
    fault: Option<Fault>,
    /// Behind the last entry that a genuine header has named, whether or not it can be read.
    reaches: Option<Sequence>,
}

/// A frame whose table is good.
#[derive(Clone, Copy, Debug)]
struct Open {
    header: FrameHeader,
    offset: u64,
    row: u32,
    payload_at: u64,
    whole: bool,
}

impl Scan {
    /// Begins at the first frame of a segment, whose first entry has this number, if that is known. Nothing at or
    /// behind `limit` counts.
    pub(super) fn new(
        file: &Named,
        life: Life,
        checksum: ChecksumKind,
        first: Option<Sequence>,
        limit: u64,
    ) -> Scan {
        let window = || Window::tolerant(file, limit);
        Scan {
            life,
            check: FrameCheck::new(checksum, window(), window()),
            limit,
            tip: FIRST_FRAME_OFFSET,
            expected: first.map(|first| (first, FIRST_FRAME_OFFSET)),
            frame: None,
            fault: None,
            reaches: None,
        }
    }

    /// The next entry at or beyond `from` that verifies; `None` at the end.
    pub(super) fn next(&mut self, from: Sequence) -> Result<Option<Verified>, Error> {
        loop {
            if self.frame.is_none() && !self.open_frame()? {
                return Ok(None);
            }
            while let Some(frame) = self.frame {
                if frame.row == frame.header.entries {
                    self.frame = None;
                } else if let Some(found) = self.take_row(frame, from)? {
                    return Ok(Some(found));
                }
            }
        }
    }

    /// What was wrong since this was asked last.
    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        let hole = self.check.frames_window.take_hole();
        let hole = [hole, self.check.payload_window.take_hole()].into_iter().flatten().min();
        let fault = self.fault.take()?;
        // What could not be read is wrong because of that.
        Some(hole.map_or(fault, |offset| Fault { offset, kind: DamageKind::Unreadable }))
    }

    /// Behind the last entry that a genuine header has named so far.
    pub(super) fn reaches(&self) -> Option<Sequence> {
        self.reaches
    }

    /// The number that the first genuine frame bears, wherever it stands.
    pub(super) fn first_number(&mut self) -> Result<Option<Sequence>, Error> {
        let at = self.search(self.tip)?;
        Ok(self.header_at(at)?.ok().map(|header| header.first))
    }

    /// Whether a genuine frame stands at or behind `offset`.
    pub(super) fn has_frame_from(&mut self, offset: u64) -> Result<bool, Error> {
        let Some(place) = offset.checked_next_multiple_of(FRAME_ALIGN) else { return Ok(false) };
        Ok(self.search(place)? < self.limit)
    }

    /// Goes on to the next DATA frame whose table is good; tells whether there is one.
    fn open_frame(&mut self) -> Result<bool, Error> {
        while self.tip < self.limit {
            let offset = self.tip;
            let header = match self.header_at(offset)? {
                Ok(header) => header,
                Err(fault) => {
                    self.note(offset, fault);
                    self.tip = self.search(offset + FRAME_ALIGN)?;
                    continue;
                }
            };
            let end = offset + header.layout(self.check.checksum).end;
            let next = header.next_sequence().unwrap_or(Sequence::MAX);
            self.reaches = self.reaches.max(Some(next));
            if end > self.limit {
                self.note(offset, FrameFault::Short);
                self.tip = self.search(offset + FRAME_ALIGN)?;
                continue;
            }
            self.tip = end;
            self.expected = Some((next, end));
            if header.kind != FrameKind::Data {
                continue;
            }
            let checked = self.check.check_data(&header, offset)?;
            // The table vouches for each payload by itself, whatever is wrong with another one.
            if checked.is_err() && self.check.check_table(&header, offset)?.is_err() {
                self.note(offset, FrameFault::Table);
                continue;
            }
            if let Err(fault) = checked {
                self.note(offset, fault);
            }
            let payload_at = offset + header.layout(self.check.checksum).payload_start;
            self.frame = Some(Open { header, offset, row: 0, payload_at, whole: checked.is_ok() });
            return Ok(true);
        }
        Ok(false)
    }

    /// The next row of the open frame: its entry, if it is asked for and verifies.
    fn take_row(&mut self, frame: Open, from: Sequence) -> Result<Option<Verified>, Error> {
        let row_bytes = TableEntry::bytes(self.check.checksum);
        let row_at = frame.offset + (FRAME_HEADER_BYTES + frame.row as usize * row_bytes) as u64;
        let row = self.check.frames_window.bytes_at(row_at, row_bytes)?;
        if row.len() < row_bytes {
            // The file has become shorter.
            self.frame = None;
            return Ok(None);
        }
        let row = TableEntry::decode(row, self.check.checksum);
        let payload_at = frame.payload_at;
        let after = Open { row: frame.row + 1, payload_at: payload_at + u64::from(row.length), ..frame };
        self.frame = Some(after);
        let sequence = frame.header.first.advance(u64::from(frame.row));
        let Some(sequence) = sequence.filter(|&sequence| sequence >= from && sequence < Sequence::MAX) else {
            return Ok(None);
        };
        let payload = self.payload(payload_at, row)?;
        if payload.is_none() {
            self.note(frame.offset, FrameFault::Payload { entry: frame.row });
        }
        Ok(payload.map(|payload| Verified { sequence, payload, whole: frame.whole }))
    }

    /// The payload of a row, if it matches.
    fn payload(&mut self, offset: u64, row: TableEntry) -> Result<Option<Vec<u8>>, Error> {
        let mut payload = Vec::new();
        let mut digest = Digest::new(self.check.checksum);
        while payload.len() < row.length as usize {
            let left = row.length as usize - payload.len();
            let piece = self.check.payload_window.bytes_at(offset + payload.len() as u64, left)?;
            if piece.is_empty() {
                return Ok(None);
            }
            digest.update(piece);
            payload.extend_from_slice(piece);
        }
        Ok((digest.finish() == row.digest).then_some(payload))
    }

    /// The header at `offset`, if it is genuine and its number is possible there.
    fn header_at(&mut self, offset: u64) -> Result<Result<FrameHeader, FrameFault>, Error> {
        let bytes = self.check.frames_window.bytes_at(offset, FRAME_HEADER_BYTES)?;
        let decoded = FrameHeader::decode(bytes, self.life, offset);
        let expected = self.expected;
        Ok(decoded.and_then(|header| {
            let possible = is_possible(&header, offset, expected);
            if possible { Ok(header) } else { Err(FrameFault::Order) }
        }))
    }

    /// The next place at or behind `from` where a frame begins; the limit when there is none.
    fn search(&mut self, from: u64) -> Result<u64, Error> {
        let mut offset = from;
        while offset < self.limit {
            let (life, expected) = (self.life, self.expected);
            let bytes = self.check.frames_window.bytes_at(offset, PIECE_BYTES)?;
            let places = (bytes.len() + 1).saturating_sub(FRAME_HEADER_BYTES);
            for at in (0..places).step_by(STEP) {
                // The byte of the kind is zero in blank space, and the checksum need not be computed.
                if bytes[at + KIND_BYTE] == 0 {
                    continue;
                }
                let place = offset + at as u64;
                let decoded = FrameHeader::decode(&bytes[at..], life, place);
                if decoded.is_ok_and(|header| is_possible(&header, place, expected)) {
                    return Ok(place);
                }
            }
            if bytes.len() < PIECE_BYTES {
                break;
            }
            // The last places of a piece had no room for a header: the next piece begins with them.
            offset += (PIECE_BYTES - FRAME_HEADER_BYTES) as u64 + FRAME_ALIGN;
        }
        Ok(self.limit)
    }

    /// Blank space is no fault by itself: it may be the end.
    fn note(&mut self, offset: u64, fault: FrameFault) {
        self.fault.get_or_insert(Fault { offset, kind: DamageKind::Frame(fault) });
    }
}

/// Whether so many entries fit in front of it: each takes at least 8 bytes.
fn is_possible(header: &FrameHeader, offset: u64, expected: Option<(Sequence, u64)>) -> bool {
    expected.is_none_or(|(expected, since)| {
        let fits_between = offset.saturating_sub(since) / FRAME_ALIGN;
        header.first >= expected && header.first.distance_from(expected) <= fits_between
    })
}

/// Where the kind stands in a frame header.
const KIND_BYTE: usize = 15;
const PIECE_BYTES: usize = 64 << 10;
const STEP: usize = 8;
const _: () = assert!(STEP as u64 == FRAME_ALIGN && (PIECE_BYTES - FRAME_HEADER_BYTES).is_multiple_of(STEP));
