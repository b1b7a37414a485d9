//! A frame in memory: collects entries and is written as it is.
//!
//! ```text
//!                   after a LINK ┐
//! │ front            │ LINK │ header │ rows │ payloads …          │ padding │
//! 0                                         front_bytes
//!                    ◀── put before the payloads when the frame is complete
//! ```
//!
//! The length of the entry table is known only after the last entry. So payloads are copied to their final
//! place at once, table rows are collected in a second buffer, and the space before the payloads stays free
//! for them. Each payload is copied once, and the frame is one write.

use wal_format::{
    ChecksumKind, FRAME_HEADER_BYTES, FrameHeader, FrameLayout, LINK_FRAME_BYTES, Life, TableEntry,
    finish_data_frame,
};

/// Collects the entries of one frame. Its memory is reused for the next one.
#[derive(Debug)]
pub struct FrameBuilder {
    checksum: ChecksumKind,
    bytes: Vec<u8>,
    front_bytes: usize,
    rows: Vec<u8>,
    entries: u32,
    payload_end: usize,
    /// What is not freed by [`FrameBuilder::clear`]: the space before the payloads, and that for them.
    kept_front_bytes: usize,
    kept_payload_bytes: usize,
}

impl FrameBuilder {
    /// Creates a builder that holds `entries` entries with `payload_bytes` bytes in all without allocating.
    /// The extra memory of a larger frame is freed by [`FrameBuilder::clear`].
    #[must_use]
    pub fn new(checksum: ChecksumKind, entries: usize, payload_bytes: usize) -> FrameBuilder {
        let row_bytes = entries * TableEntry::bytes(checksum);
        let front_bytes = front_bytes(row_bytes);
        let mut bytes = Vec::with_capacity(front_bytes + payload_bytes + PADDING_BYTES);
        bytes.resize(front_bytes, 0);
        FrameBuilder {
            checksum,
            bytes,
            front_bytes,
            // A row is written with its padding before that is cut off.
            rows: Vec::with_capacity(row_bytes + TableEntry::MAX_BYTES),
            entries: 0,
            payload_end: front_bytes,
            kept_front_bytes: front_bytes,
            kept_payload_bytes: payload_bytes,
        }
    }

    /// Adds an entry with its digest.
    ///
    /// # Panics
    /// When the entries are more, or longer in all, than a frame can hold; the caller checks that.
    pub fn push(&mut self, payload: &[u8], digest: u64) {
        let length = u32::try_from(payload.len()).expect("a payload is at most MAX_FRAME_PAYLOAD_BYTES");
        let rows_end = self.rows.len() + TableEntry::bytes(self.checksum);
        self.rows.extend_from_slice(&TableEntry { length, digest }.encode());
        self.rows.truncate(rows_end);
        self.bytes.truncate(self.payload_end);
        self.bytes.extend_from_slice(payload);
        self.payload_end = self.bytes.len();
        self.entries = self.entries.checked_add(1).expect("a frame counts its entries in 32 bits");
    }

    /// Removes all entries, and frees the extra memory of a large frame.
    pub fn clear(&mut self) {
        let front_bytes = self.kept_front_bytes;
        self.entries = 0;
        self.rows.clear();
        self.front_bytes = front_bytes;
        self.payload_end = front_bytes;
        self.bytes.truncate(front_bytes);
        let most = front_bytes + self.kept_payload_bytes + PADDING_BYTES;
        if self.bytes.capacity() > 2 * most {
            // One huge entry must not hold its memory forever.
            self.bytes.shrink_to(most);
            self.rows.shrink_to(front_bytes);
        }
    }

    /// How many entries it holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        u64::from(self.entries)
    }

    /// The size of the frame on disk, in bytes.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        FrameLayout::of(self.checksum, self.entries(), self.payload_bytes() as u64).end
    }

    /// The frame for `offset`, and its chain value. `link`, a LINK or nothing, stands before it in the same
    /// range of bytes.
    pub(crate) fn encode(
        &mut self,
        link: &[u8],
        header: FrameHeader,
        life: Life,
        offset: u64,
    ) -> (&[u8], u32) {
        self.make_front();
        let rows = self.front_bytes - self.rows.len();
        let start = rows - FRAME_HEADER_BYTES;
        let frame_bytes = usize::try_from(self.frame_bytes()).expect("a frame in memory fits a usize");
        self.bytes.resize(start + frame_bytes, 0);
        self.bytes[rows..self.front_bytes].copy_from_slice(&self.rows);
        self.bytes[start - link.len()..start].copy_from_slice(link);
        let payload_bytes =
            u32::try_from(self.payload_bytes()).expect("a frame is at most MAX_FRAME_PAYLOAD_BYTES");
        let header = FrameHeader { entries: self.entries, payload_bytes, ..header };
        let chain = finish_data_frame(&mut self.bytes[start..], header, life, offset, self.checksum);
        (&self.bytes[start - link.len()..], chain)
    }

    /// The sum of the payloads, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload_end - self.front_bytes
    }

    /// Makes room before the payloads for the table of a large batch, by moving them once.
    fn make_front(&mut self) {
        let needed = front_bytes(self.rows.len());
        if needed > self.front_bytes {
            let more = needed - self.front_bytes;
            self.bytes.truncate(self.payload_end);
            self.bytes.resize(self.payload_end + more, 0);
            self.bytes.copy_within(self.front_bytes..self.payload_end, needed);
            self.front_bytes = needed;
            self.payload_end += more;
        }
    }
}

fn front_bytes(row_bytes: usize) -> usize {
    LINK_FRAME_BYTES + FRAME_HEADER_BYTES + row_bytes
}

const PADDING_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{DataFrame, FIRST_FRAME_OFFSET, FrameKind, SegmentNumber, Sequence};

    const LIFE: Life = Life { segment: SegmentNumber::FIRST, salt: 7 };

    fn header() -> FrameHeader {
        FrameHeader {
            previous: 3,
            first: Sequence::ZERO,
            kind: FrameKind::Data,
            payload_bytes: 0,
            entries: 0,
            durable_offset: FIRST_FRAME_OFFSET,
            table_crc: 0,
        }
    }

    fn payloads(bytes: &[u8], checksum: ChecksumKind) -> Vec<Vec<u8>> {
        let header = FrameHeader::decode(bytes, LIFE, FIRST_FRAME_OFFSET).expect("a frame");
        let frame = DataFrame::decode(bytes, &header, checksum).expect("a whole frame");
        frame.entries().map(|entry| entry.expect("a good entry").payload.to_vec()).collect()
    }

    #[test]
    fn what_was_pushed_is_in_the_frame_whatever_was_planned_for() {
        for checksum in [ChecksumKind::Crc32, ChecksumKind::default()] {
            for planned in [0, 1, 3, 100] {
                let mut buffer = FrameBuilder::new(checksum, planned, planned);
                for round in 0..3_u8 {
                    let pushed: Vec<Vec<u8>> =
                        (0..7).map(|number| vec![round ^ number; usize::from(number) * 5]).collect();
                    for payload in &pushed {
                        buffer.push(payload, checksum.digest(payload));
                    }
                    let frame_bytes = buffer.frame_bytes();
                    let link = [9; LINK_FRAME_BYTES];
                    let (after_link, chain) = buffer.encode(&link, header(), LIFE, FIRST_FRAME_OFFSET);
                    assert_eq!(&after_link[..LINK_FRAME_BYTES], &link);
                    assert_eq!(payloads(&after_link[LINK_FRAME_BYTES..], checksum), pushed);
                    // The same frame again, as after a failed write.
                    let (alone, again) = buffer.encode(&[], header(), LIFE, FIRST_FRAME_OFFSET);
                    assert_eq!((alone.len() as u64, again), (frame_bytes, chain));
                    assert_eq!(payloads(alone, checksum), pushed);
                    buffer.clear();
                    assert_eq!(buffer.entries(), 0);
                }
            }
        }
    }

    #[test]
    fn a_huge_entry_does_not_hold_memory_for_ever() {
        let mut buffer = FrameBuilder::new(ChecksumKind::Crc32, 10, 1000);
        buffer.push(&[1; 1 << 20], 0);
        buffer.clear();
        assert!(buffer.bytes.capacity() < 1 << 14, "{}", buffer.bytes.capacity());
    }
}
