//! Scans one segment file for whatever verifies in it.
//!
//! ```text
//!  │ DATA 10..12 │ DATA 13..15 │ ~~ damaged ~~ │ DATA 20..22 │ blank …
//!        ▲ walk ───────────────▶ ▲ search ─────▶ ▲ walk
//! ```
//!
//! After a damaged frame, each place is tried until a header is genuine (see `segment/find_headers.rs`).

use std::ops::ControlFlow;

use wal_format::{
    ChecksumKind, FIRST_FRAME_OFFSET, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind,
    Life, Sequence, TableEntry,
};

use crate::error::{DamageKind, Error};
use crate::files::named::Named;
use crate::files::window::Window;
use crate::segment::check::FrameCheck;
use crate::segment::find_headers::{fits_after, for_each_piece, genuine};
use crate::segment::frame::{Checked, Frame};

#[derive(Debug)]
pub(super) struct Verified {
    pub(super) sequence: Sequence,
    pub(super) payload: Vec<u8>,
    pub(super) whole: bool,
}

/// The first fault since the last entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: u64,
    pub(super) kind: DamageKind,
}

pub(super) struct Scan {
    life: Life,
    check: FrameCheck,
    limit: u64,
    tip: u64,
    /// The number of the next frame if nothing is lost, and the offset that it counts from.
    expected: Option<(Sequence, u64)>,
    frame: Option<Open>,
    fault: Option<Fault>,
    /// The highest number after a frame, whole or not.
    pub(super) reaches: Option<Sequence>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    header: FrameHeader,
    offset: u64,
    row: u32,
    payload_at: u64,
    whole: bool,
}

impl Scan {
    /// Begins at the first frame of a segment, whose first entry is `first`, if known. Ignores everything
    /// from `limit` on.
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

    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        let hole = self.check.frames_window.hole.take();
        let hole = [hole, self.check.payload_window.hole.take()].into_iter().flatten().min();
        let fault = self.fault.take()?;
        // An unreadable place is the cause of the fault.
        Some(hole.map_or(fault, |offset| Fault { offset, kind: DamageKind::Unreadable }))
    }

    pub(super) fn first_number(&mut self) -> Result<Option<Sequence>, Error> {
        let at = self.search(self.tip)?;
        Ok(self.frame_at(at)?.ok().map(|frame| frame.header.first))
    }

    pub(super) fn has_frame_from(&mut self, offset: u64) -> Result<bool, Error> {
        let Some(place) = offset.checked_next_multiple_of(FRAME_ALIGN) else { return Ok(false) };
        Ok(self.search(place)? < self.limit)
    }

    fn open_frame(&mut self) -> Result<bool, Error> {
        while self.tip < self.limit {
            let offset = self.tip;
            let frame = match self.frame_at(offset)? {
                Ok(frame) => frame,
                Err(fault) => {
                    self.note(offset, fault);
                    self.tip = self.search(offset + FRAME_ALIGN)?;
                    continue;
                }
            };
            let (header, end) = (frame.header, frame.end);
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
            let checked = self.check.check_data(&frame)?;
            // The table vouches for each payload by itself, even if another one is damaged.
            if checked.is_err() && self.check.check_table(&frame)?.is_err() {
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

    fn take_row(&mut self, frame: Open, from: Sequence) -> Result<Option<Verified>, Error> {
        let row_bytes = TableEntry::bytes(self.check.checksum);
        let row_at = frame.offset + (FRAME_HEADER_BYTES + frame.row as usize * row_bytes) as u64;
        let row = self.check.frames_window.bytes_at(row_at, row_bytes)?;
        if row.len() < row_bytes {
            // The file has been shortened.
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
        let payload = self.check.payload(payload_at, row)?;
        if payload.is_none() {
            self.note(frame.offset, FrameFault::Payload { entry: frame.row });
        }
        Ok(payload.map(|payload| Verified { sequence, payload, whole: frame.whole }))
    }

    fn frame_at(&mut self, offset: u64) -> Checked<Frame> {
        let bytes = self.check.frames_window.bytes_at(offset, FRAME_HEADER_BYTES)?;
        let decoded = Frame::decode(bytes, self.life, self.check.checksum, offset);
        let expected = self.expected;
        Ok(decoded.and_then(|frame| is_possible(&frame, expected).then_some(frame).ok_or(FrameFault::Order)))
    }

    fn search(&mut self, from: u64) -> Result<u64, Error> {
        let (life, checksum, expected) = (self.life, self.check.checksum, self.expected);
        let found = for_each_piece(&mut self.check.frames_window, from, |bytes, offset| {
            let mut frames = genuine(bytes, offset, life, checksum, |_| true);
            match frames.find(|frame| is_possible(frame, expected)) {
                Some(frame) => ControlFlow::Break(frame.offset),
                None => ControlFlow::Continue(()),
            }
        })?;
        Ok(found.unwrap_or(self.limit))
    }

    /// Notes the first fault. Blank space alone may also be the end.
    fn note(&mut self, offset: u64, fault: FrameFault) {
        self.fault.get_or_insert(Fault { offset, kind: DamageKind::Frame(fault) });
    }
}

fn is_possible(frame: &Frame, expected: Option<(Sequence, u64)>) -> bool {
    expected.is_none_or(|(expected, since)| fits_after(frame, expected, since))
}
