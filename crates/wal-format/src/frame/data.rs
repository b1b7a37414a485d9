//! DATA frames: the entry table, and the payloads after it.

use crate::bytes::{is_blank, put, u32_at, u64_at};
use crate::{ChecksumKind, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Life, Sequence};

/// One row of the entry table.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ payload length                      │ checksum, 4 bytes (crc32) or 8 (crc64)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableEntry {
    /// Length of the payload in bytes. Zero is an entry like any other.
    pub length: u32,
    /// Its checksum, of the kind that the segment names.
    pub digest: u64,
}

impl TableEntry {
    /// Bytes of the longest row.
    pub const MAX_BYTES: usize = 12;

    /// Bytes of one row.
    #[must_use]
    #[inline]
    pub const fn bytes(checksum: ChecksumKind) -> usize {
        4 + checksum.width()
    }

    /// The row, padded with zeros: its first [`TableEntry::bytes`] bytes go into the table.
    #[must_use]
    #[inline]
    pub fn encode(self) -> [u8; TableEntry::MAX_BYTES] {
        let mut row = [0; TableEntry::MAX_BYTES];
        put(&mut row, 0, self.length.to_le_bytes());
        put(&mut row, 4, self.digest.to_le_bytes());
        row
    }

    /// Reads a row from the start of `row`.
    ///
    /// # Panics
    /// When `row` is shorter than [`TableEntry::bytes`].
    #[must_use]
    #[inline]
    pub fn decode(row: &[u8], checksum: ChecksumKind) -> TableEntry {
        let digest = if checksum.width() == 4 { u64::from(u32_at(row, 4)) } else { u64_at(row, 4) };
        TableEntry { length: u32_at(row, 0), digest }
    }

    /// Whether `payload` is the one that was written.
    #[must_use]
    #[inline]
    pub fn vouches_for(&self, payload: &[u8], checksum: ChecksumKind) -> bool {
        payload.len() == self.length as usize && checksum.digest(payload) == self.digest
    }
}

/// Completes a frame whose table ([`TableEntry::encode`]) and payloads stand in `out` already: writes header and padding,
/// and returns the frame's chain value.
///
/// `header` says the frame's place and its counts; its kind and table checksum are set here.
///
/// # Panics
/// When `out` is not exactly as long as [`FrameLayout::of`](crate::FrameLayout::of) says for these counts, or there is no entry.
pub fn finish_data_frame(
    out: &mut [u8],
    mut header: FrameHeader,
    life: Life,
    offset: u64,
    checksum: ChecksumKind,
) -> u32 {
    let layout = header.layout(checksum);
    assert!(header.entries > 0, "a DATA frame holds at least one entry");
    assert_eq!(out.len() as u64, layout.end, "the frame fills its buffer");
    // A frame that is in memory has lengths that fit a usize.
    let payload_start = FRAME_HEADER_BYTES + header.entries as usize * TableEntry::bytes(checksum);
    out[payload_start + header.payload_bytes as usize..].fill(0);
    header.kind = FrameKind::Data;
    header.table_crc = crc32fast::hash(&out[FRAME_HEADER_BYTES..payload_start]);
    let encoded = header.encode(life, offset);
    put(out, 0, encoded);
    FrameHeader::chain_value(&encoded)
}

/// A DATA frame whose header, table and padding were checked; payloads are checked as they are read.
#[derive(Clone, Copy, Debug)]
pub struct DataFrame<'a> {
    first: Sequence,
    checksum: ChecksumKind,
    table: &'a [u8],
    payloads: &'a [u8],
}

impl<'a> DataFrame<'a> {
    /// Reads the frame of `header` from `bytes`, which begin where the header does.
    ///
    /// # Errors
    /// [`FrameFault::Short`] when the frame does not end inside `bytes`, [`FrameFault::Table`] when the
    /// table does not match its checksum or its lengths do not add up, [`FrameFault::Padding`].
    #[inline]
    pub fn decode(
        bytes: &'a [u8],
        header: &FrameHeader,
        checksum: ChecksumKind,
    ) -> Result<DataFrame<'a>, FrameFault> {
        let layout = header.layout(checksum);
        let end = usize::try_from(layout.end).map_err(|_| FrameFault::Short)?;
        let frame = bytes.get(..end).ok_or(FrameFault::Short)?;
        // Neither overflows, because `end` did not.
        let payload_start = FRAME_HEADER_BYTES + header.entries as usize * TableEntry::bytes(checksum);
        let payload_end = payload_start + header.payload_bytes as usize;
        let table = &frame[FRAME_HEADER_BYTES..payload_start];
        if !header.vouches_for(table) {
            return Err(FrameFault::Table);
        }
        let rows = table.chunks_exact(TableEntry::bytes(checksum));
        let sum: u64 = rows.map(|row| u64::from(TableEntry::decode(row, checksum).length)).sum();
        if sum != u64::from(header.payload_bytes) {
            return Err(FrameFault::Table);
        }
        if !is_blank(&frame[payload_end..]) {
            return Err(FrameFault::Padding);
        }
        Ok(DataFrame { first: header.first, checksum, table, payloads: &frame[payload_start..payload_end] })
    }

    /// The entries in order, each checked against its checksum.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries { frame: *self, index: 0 }
    }
}

/// The entries of a frame; ends after the first one that is damaged.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    frame: DataFrame<'a>,
    index: u32,
}

/// One entry of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number.
    pub sequence: Sequence,
    /// Its bytes.
    pub payload: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, FrameFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let row_bytes = TableEntry::bytes(self.frame.checksum);
        let (row, rest) = self.frame.table.split_at_checked(row_bytes)?;
        let row = TableEntry::decode(row, self.frame.checksum);
        // The lengths were checked to add up to all payloads when the frame was decoded.
        let (payload, later) = self.frame.payloads.split_at(row.length as usize);
        if !row.vouches_for(payload, self.frame.checksum) {
            let entry = self.index;
            self.frame.table = &[];
            return Some(Err(FrameFault::Payload { entry }));
        }
        // A header whose numbers pass the end of the sequence space is no header that a writer made.
        let Some(sequence) = self.frame.first.advance(u64::from(self.index)) else {
            self.frame.table = &[];
            return Some(Err(FrameFault::Table));
        };
        self.index += 1;
        self.frame.table = rest;
        self.frame.payloads = later;
        Some(Ok(Entry { sequence, payload }))
    }
}
