//! The entries of one DATA frame, from either end. Each payload is checked before its entry is returned.
//!
//! ```text
//!  header │ row row row row row │ payload payload payload payload payload │ padding
//!               ▲   ▲       ▲             ▲                       ▲
//!        next_row checked_row end_row   payloads_start      payloads_end
//! ```
//!
//! Forward, the payloads of a few short entries are checked ahead: a processor computes several checksums at a time when
//! nothing else is done between them.
//!
//! It holds indexes and no bytes, so that nothing is counted for a frame or an entry: the caller passes the bytes that the
//! frame was checked in.

use std::ops::Range;

use wal_format::{ChecksumKind, FRAME_HEADER_BYTES, FrameFault, FrameHeader, Sequence, TableEntry};

use crate::reader::entry::Place;

pub(crate) struct OpenFrame {
    checksum: ChecksumKind,
    first: Sequence,
    /// Indexes of the table, and of the payloads that were not returned yet.
    table_at: usize,
    payloads_start: usize,
    payloads_end: usize,
    next_row: u32,
    /// Payloads before this row were checked, and where they end.
    checked_row: u32,
    checked_end: usize,
    end_row: u32,
    /// The entry that the last step came to. No start beside an end: they would be written one by one and read as a pair, see
    /// [`OpenFrame::next_checked`].
    entry_row: u32,
    entry_bytes: u32,
    entry_start: usize,
    /// Of the frame in its file.
    pub(crate) offset: u64,
}

/// How far ahead of a single entry payloads are checked: not long, for the caller may not want them.
const AHEAD_BYTES: usize = 4 << 10;
/// A batch is not made longer than this, so that its bytes are still in the processor's cache when the caller comes to
/// them.
const BATCH_BYTES: usize = 64 << 10;

/// Entries in a row that were checked. Indexes of their rows and payloads.
pub(crate) struct Run {
    pub(crate) first: Sequence,
    pub(crate) checksum: ChecksumKind,
    pub(crate) rows: Range<usize>,
    pub(crate) payloads: Range<usize>,
}

/// What a step in a frame came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry: [`OpenFrame::place`].
    Entry,
    /// No entry is left.
    End,
    /// An entry whose payload is damaged: [`OpenFrame::fault`].
    Damaged,
}

impl OpenFrame {
    /// The frame that begins at index `at`. [`DataFrame::decode`](wal_format::DataFrame::decode) must have checked it, so
    /// that its lengths add up.
    #[inline]
    pub(crate) fn new(at: usize, header: &FrameHeader, checksum: ChecksumKind, offset: u64) -> OpenFrame {
        let table_at = at + FRAME_HEADER_BYTES;
        let payloads_start = table_at + header.entries as usize * TableEntry::bytes(checksum);
        OpenFrame {
            checksum,
            first: header.first,
            table_at,
            payloads_start,
            payloads_end: payloads_start + header.payload_bytes as usize,
            next_row: 0,
            checked_row: 0,
            checked_end: payloads_start,
            end_row: header.entries,
            entry_row: 0,
            entry_bytes: 0,
            entry_start: payloads_start,
            offset,
        }
    }

    /// Moves to the next entry, if its payload was checked and its number is below `before`; returns its number.
    ///
    /// The place of the entry stays in the frame. Returned through memory it would be written in words and read in pairs of
    /// them, and a processor that cannot forward such a store waits for everything before it.
    #[inline]
    pub(crate) fn next_checked(&mut self, bytes: &[u8], before: Sequence) -> Option<Sequence> {
        let sequence = self.number(self.next_row);
        if self.next_row >= self.checked_row || sequence >= before {
            return None;
        }
        self.pass(self.row(bytes, self.next_row));
        Some(sequence)
    }

    /// Moves to the first entry that was not returned yet and whose number is at least `from`. Checks it, and those after it
    /// with numbers below `before` as far as they are near.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8], from: Sequence, before: Sequence) -> Step {
        while self.next_row < self.end_row {
            let row = self.row(bytes, self.next_row);
            self.pass(row);
            if self.number(self.entry_row) < from {
                continue;
            }
            if self.next_row > self.checked_row {
                if !self.is_whole(bytes, row) {
                    return Step::Damaged;
                }
                (self.checked_row, self.checked_end) = (self.next_row, self.payloads_start);
                if self.next_row < self.end_row {
                    self.check_ahead(bytes, before, AHEAD_BYTES);
                }
            }
            return Step::Entry;
        }
        Step::End
    }

    #[inline]
    fn is_whole(&self, bytes: &[u8], row: TableEntry) -> bool {
        let end = self.entry_start + self.entry_bytes as usize;
        row.vouches_for(&bytes[self.entry_start..end], self.checksum)
    }

    #[inline]
    fn pass(&mut self, row: TableEntry) {
        self.entry_row = self.next_row;
        (self.entry_start, self.entry_bytes) = (self.payloads_start, row.length);
        self.payloads_start += row.length as usize;
        self.next_row += 1;
    }

    /// Checks the payloads after this entry, as far as they are whole, their numbers are below `before`, and they lie within
    /// `most_bytes` with this one.
    fn check_ahead(&mut self, bytes: &[u8], before: Sequence, most_bytes: usize) {
        let checksum = self.checksum;
        let wanted = before.distance_from(self.first).min(u64::from(self.end_row));
        let wanted = u32::try_from(wanted).unwrap_or(self.end_row);
        let (mut index, mut start) = (self.checked_row, self.checked_end);
        while index < wanted {
            let row = self.row(bytes, index);
            let end = start + row.length as usize;
            if end - self.entry_start > most_bytes || !row.vouches_for(&bytes[start..end], checksum) {
                break;
            }
            index += 1;
            start = end;
        }
        (self.checked_row, self.checked_end) = (index, start);
    }

    /// This entry and the ones after it, no more than a batch of them, as far as they are whole and their numbers are below
    /// `before`. A damaged entry is the next one then.
    pub(crate) fn run(&mut self, bytes: &[u8], before: Sequence) -> Run {
        let row_bytes = TableEntry::bytes(self.checksum);
        let rows_start = self.table_at + self.entry_row as usize * row_bytes;
        self.check_ahead(bytes, before, BATCH_BYTES);
        (self.next_row, self.payloads_start) = (self.checked_row, self.checked_end);
        let rows = rows_start..self.table_at + self.next_row as usize * row_bytes;
        let payloads = self.entry_start..self.payloads_start;
        Run { first: self.sequence(), checksum: self.checksum, rows, payloads }
    }

    /// Moves to the last entry that was not returned yet and whose number is below `before`.
    pub(crate) fn next_back(&mut self, bytes: &[u8], before: Sequence) -> Step {
        while self.next_row < self.end_row {
            self.end_row -= 1;
            self.entry_row = self.end_row;
            let row = self.row(bytes, self.entry_row);
            self.payloads_end -= row.length as usize;
            (self.entry_start, self.entry_bytes) = (self.payloads_end, row.length);
            if self.number(self.entry_row) < before {
                return if self.is_whole(bytes, row) { Step::Entry } else { Step::Damaged };
            }
        }
        Step::End
    }

    /// The place of the entry that the last step came to.
    #[inline]
    pub(crate) fn place(&self) -> Place {
        let end = self.entry_start + self.entry_bytes as usize;
        Place { sequence: self.sequence(), start: self.entry_start, end }
    }

    /// The number of that entry.
    #[inline]
    pub(crate) fn sequence(&self) -> Sequence {
        self.number(self.entry_row)
    }

    /// What is wrong with that entry.
    pub(crate) fn fault(&self) -> FrameFault {
        FrameFault::Payload { entry: self.entry_row }
    }

    #[inline]
    fn row(&self, bytes: &[u8], index: u32) -> TableEntry {
        let at = self.table_at + index as usize * TableEntry::bytes(self.checksum);
        TableEntry::decode(&bytes[at..], self.checksum)
    }

    #[inline]
    fn number(&self, index: u32) -> Sequence {
        self.first.advance(u64::from(index)).unwrap_or(Sequence::MAX)
    }
}
