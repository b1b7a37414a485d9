//! The entries of one DATA frame, from either end. Each payload is checked when its entry is returned.
//!
//! ```text
//!  header │ row row row row │ payload payload payload payload │ padding
//!               ▲       ▲             ▲               ▲
//!           next_row  end_row   payloads_start  payloads_end
//! ```
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
    end_row: u32,
    /// Of the frame in its file.
    pub(crate) offset: u64,
}

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

/// The next entry, or the one whose payload is damaged.
type Handed = Result<Option<Place>, (Sequence, FrameFault)>;

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
            end_row: header.entries,
            offset,
        }
    }

    /// The first entry that was not returned yet and whose number is at least `from`.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8], from: Sequence) -> Handed {
        while self.next_row < self.end_row {
            let (index, row) = (self.next_row, self.row(bytes, self.next_row));
            let start = self.payloads_start;
            self.next_row += 1;
            self.payloads_start += row.length as usize;
            if self.number(index) >= from {
                return self.entry(bytes, index, row, start).map(Some);
            }
        }
        Ok(None)
    }

    /// The entry at `first`, which [`OpenFrame::next`] has just returned, and the ones after it: as far as their payloads are
    /// whole, their numbers are below `before`, and they are no more than a batch. A damaged entry is the next one then.
    pub(crate) fn run(&mut self, bytes: &[u8], first: Place, before: Sequence) -> Run {
        let row_bytes = TableEntry::bytes(self.checksum);
        let rows_start = self.table_at + (self.next_row as usize - 1) * row_bytes;
        while self.next_row < self.end_row && self.number(self.next_row) < before {
            let row = self.row(bytes, self.next_row);
            let end = self.payloads_start + row.length as usize;
            let is_short = end - first.start <= BATCH_BYTES;
            if !is_short || !row.vouches_for(&bytes[self.payloads_start..end], self.checksum) {
                break;
            }
            self.next_row += 1;
            self.payloads_start = end;
        }
        let rows = rows_start..self.table_at + self.next_row as usize * row_bytes;
        let payloads = first.start..self.payloads_start;
        Run { first: first.sequence, checksum: self.checksum, rows, payloads }
    }

    /// The last entry that was not returned yet and whose number is below `before`.
    pub(crate) fn next_back(&mut self, bytes: &[u8], before: Sequence) -> Handed {
        while self.next_row < self.end_row {
            self.end_row -= 1;
            let (index, row) = (self.end_row, self.row(bytes, self.end_row));
            self.payloads_end -= row.length as usize;
            if self.number(index) < before {
                return self.entry(bytes, index, row, self.payloads_end).map(Some);
            }
        }
        Ok(None)
    }

    #[inline]
    fn entry(
        &self,
        bytes: &[u8],
        index: u32,
        row: TableEntry,
        start: usize,
    ) -> Result<Place, (Sequence, FrameFault)> {
        let sequence = self.number(index);
        let end = start + row.length as usize;
        if !row.vouches_for(&bytes[start..end], self.checksum) {
            return Err((sequence, FrameFault::Payload { entry: index }));
        }
        Ok(Place { sequence, start, end })
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
