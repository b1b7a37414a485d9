//! The header of a frame, the record of one write in a segment.

use crate::bytes::{is_blank, put, u32_at, u64_at};
use crate::{ChecksumKind, FIRST_FRAME_OFFSET, FrameFault, Life, Sequence};

/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 32;
/// Frames begin and end at multiples of this; what is between the last payload and the end is zero.
pub const FRAME_ALIGN: u64 = 8;
/// The largest sum of payload lengths in one frame.
pub const MAX_FRAME_PAYLOAD_BYTES: u64 = u32::MAX as u64;

/// The most entries of a frame. A row of the entry table may stand for an empty entry and blank space, so without this
/// bound a file that takes no space could make a reader allocate gigabytes for a table.
pub const MAX_FRAME_ENTRIES: u32 = 1 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Entries.
    Data,
    /// Where the log before this segment ended.
    Link,
    /// The end of this segment, or of the log.
    Seal,
    /// Something of a later version, which a reader that does not know it passes over: a kind from
    /// [`FIRST_EXTENSION_KIND`] on. It holds no entries, and its table checksum covers all of its body.
    Extension(u8),
}

/// The first kind of a frame that may be passed over.
pub const FIRST_EXTENSION_KIND: u8 = 128;

impl FrameKind {
    const fn code(self) -> u8 {
        match self {
            FrameKind::Data => 1,
            FrameKind::Link => 2,
            FrameKind::Seal => 3,
            FrameKind::Extension(code) => code,
        }
    }

    #[inline]
    const fn from_code(code: u8) -> Option<FrameKind> {
        match code {
            1 => Some(FrameKind::Data),
            2 => Some(FrameKind::Link),
            3 => Some(FrameKind::Seal),
            FIRST_EXTENSION_KIND.. => Some(FrameKind::Extension(code)),
            _ => None,
        }
    }
}

/// A frame header.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ crc32 of bytes 4..32, masked        │ previous frame's bytes 0..4     │
///  8 │ first sequence (56 bits)                                     │ kind   │
/// 16 │ payload length                      │ entry count                     │
/// 24 │ durable distance, units of 8 bytes  │ crc32 of the entry table        │
/// ```
///
/// The first four bytes are the frame's *chain value*: they depend on everything in the header, and
/// through the table's checksum on every payload, so that a frame which repeats them follows exactly
/// this one. In a DATA frame the table comes next and then the payloads; any other frame has a body
/// instead, of `payload length` bytes. The table checksum covers all of it; of a SEAL, its fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// Chain value of the frame before this one. Of a LINK: of the last frame before the end that it states.
    pub previous: u32,
    /// The number of the first entry; of any other frame: of the next entry.
    pub first: Sequence,
    /// What the frame holds.
    pub kind: FrameKind,
    /// The sum of the payload lengths; of any other frame: of the body.
    pub payload_bytes: u32,
    /// How many entries; from one to [`MAX_FRAME_ENTRIES`] in a DATA frame, none in others.
    pub entries: u32,
    /// Up to where this segment was durable when the frame was encoded; never before its first frame,
    /// which stands for "everything before this segment".
    pub durable_offset: u64,
    /// What vouches for the table, or for the fixed part of the body.
    pub table_crc: u32,
}

const SEQUENCE_BITS: u32 = 56;

impl FrameHeader {
    /// The header as it stands on disk at `offset` of this life of a segment.
    ///
    /// # Panics
    /// When the caller breaks what a header is: `durable_offset` beyond `offset` or before the first
    /// frame, or either not a multiple of [`FRAME_ALIGN`]; an extension of a kind below
    /// [`FIRST_EXTENSION_KIND`].
    #[must_use]
    pub fn encode(&self, life: Life, offset: u64) -> [u8; FRAME_HEADER_BYTES] {
        assert!(self.durable_offset >= FIRST_FRAME_OFFSET, "a durable point lies after the headers");
        assert!(self.durable_offset <= offset, "a frame cannot be durable before it is written");
        assert!(offset.is_multiple_of(FRAME_ALIGN) && self.durable_offset.is_multiple_of(FRAME_ALIGN));
        if let FrameKind::Extension(code) = self.kind {
            assert!(code >= FIRST_EXTENSION_KIND, "readers do not pass over such a kind");
        }
        let distance = u32::try_from((offset - self.durable_offset) / FRAME_ALIGN)
            .expect("a segment is at most MAX_SEGMENT_BYTES long");
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, 4, self.previous.to_le_bytes());
        let word = self.first.value() | u64::from(self.kind.code()) << SEQUENCE_BITS;
        put(&mut bytes, 8, word.to_le_bytes());
        put(&mut bytes, 16, self.payload_bytes.to_le_bytes());
        put(&mut bytes, 20, self.entries.to_le_bytes());
        put(&mut bytes, 24, distance.to_le_bytes());
        put(&mut bytes, 28, self.table_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[4..]) ^ life.mask(offset);
        put(&mut bytes, 0, crc.to_le_bytes());
        bytes
    }

    /// Reads the header that stands at `offset` of this life, from the start of `bytes`.
    ///
    /// # Errors
    /// [`FrameFault::Short`], [`FrameFault::Blank`], or [`FrameFault::Header`] when the checksum does
    /// not match, the kind is unknown, a count contradicts the kind or is above [`MAX_FRAME_ENTRIES`], the body of an
    /// extension is no multiple of [`FRAME_ALIGN`], or the durable point lies before the first frame.
    #[inline]
    pub fn decode(bytes: &[u8], life: Life, offset: u64) -> Result<FrameHeader, FrameFault> {
        FrameHeader::genuine(bytes, life, offset).ok_or_else(|| match bytes.first_chunk() {
            None => FrameFault::Short,
            Some(header) if is_blank(header as &[u8; FRAME_HEADER_BYTES]) => FrameFault::Blank,
            Some(_) => FrameFault::Header,
        })
    }

    /// The same for a caller who does not ask what is wrong.
    // In line, and no Result: its fault shares the words of the header's fields, which are then written in halves and read
    // whole. A processor that cannot forward such stores waits for them.
    #[inline(always)]
    #[must_use]
    pub fn genuine(bytes: &[u8], life: Life, offset: u64) -> Option<FrameHeader> {
        let bytes: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk()?;
        // The kind is never zero in a frame, so most of blank space is dismissed by one byte.
        let kind = FrameKind::from_code(bytes[15])?;
        if crc32fast::hash(&bytes[4..]) ^ life.mask(offset) != FrameHeader::chain_value(bytes) {
            return None;
        }
        let entries = u32_at(bytes, 20);
        if (kind == FrameKind::Data) != (entries > 0) || entries > MAX_FRAME_ENTRIES {
            return None;
        }
        let payload_bytes = u32_at(bytes, 16);
        let ends_aligned = u64::from(payload_bytes).is_multiple_of(FRAME_ALIGN);
        if matches!(kind, FrameKind::Extension(_)) && !ends_aligned {
            return None;
        }
        let distance = u64::from(u32_at(bytes, 24)) * FRAME_ALIGN;
        let durable_offset = offset.checked_sub(distance)?;
        if durable_offset < FIRST_FRAME_OFFSET {
            return None;
        }
        Some(FrameHeader {
            previous: u32_at(bytes, 4),
            first: Sequence::from_low_bits(u64_at(bytes, 8)),
            kind,
            payload_bytes,
            entries,
            durable_offset,
            table_crc: u32_at(bytes, 28),
        })
    }

    /// The first number of a DATA frame whose header stands here, if one does: what it says, unchecked.
    /// Dismisses nearly every place that is no header, for the price of a comparison.
    #[must_use]
    #[inline]
    pub fn claimed_first(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Sequence> {
        (bytes[15] == FrameKind::Data.code()).then(|| Sequence::from_low_bits(u64_at(bytes, 8)))
    }

    /// Whether `table`, the entry table of this frame, is the one that was written.
    #[must_use]
    #[inline]
    pub fn vouches_for(&self, table: &[u8]) -> bool {
        crc32fast::hash(table) == self.table_crc
    }

    /// Whether the body of this frame, which is no DATA frame and no SEAL, is the one that was written. `frame` begins where
    /// the header does.
    #[must_use]
    pub fn vouches_for_body(&self, frame: &[u8]) -> bool {
        let body = frame.get(FRAME_HEADER_BYTES..).and_then(|rest| rest.get(..self.payload_bytes as usize));
        body.is_some_and(|body| crc32fast::hash(body) == self.table_crc)
    }

    /// What the next frame names as its `previous`.
    #[must_use]
    #[inline]
    pub fn chain_value(header: &[u8; FRAME_HEADER_BYTES]) -> u32 {
        u32_at(header, 0)
    }

    /// Where the parts of the frame stand, relative to its start.
    #[must_use]
    #[inline]
    pub fn layout(&self, checksum: ChecksumKind) -> FrameLayout {
        FrameLayout::of(checksum, u64::from(self.entries), u64::from(self.payload_bytes))
    }

    /// The number of the entry after this frame; `None` past the last number there is.
    #[must_use]
    #[inline]
    pub fn next_sequence(&self) -> Option<Sequence> {
        self.first.advance(u64::from(self.entries))
    }
}

/// Where the parts of a frame stand, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameLayout {
    /// Where the payloads (or the body) begin: after header and table.
    pub payload_start: u64,
    /// Where they end and the padding begins.
    pub payload_end: u64,
    /// Where the frame ends, a multiple of [`FRAME_ALIGN`].
    pub end: u64,
}

impl FrameLayout {
    /// The layout of a frame with so many entries and payload bytes. Cannot overflow for counts that
    /// fit a header.
    #[must_use]
    #[inline]
    pub const fn of(checksum: ChecksumKind, entries: u64, payload_bytes: u64) -> FrameLayout {
        let table_bytes = entries * (4 + checksum.width() as u64);
        let payload_start = FRAME_HEADER_BYTES as u64 + table_bytes;
        let payload_end = payload_start + payload_bytes;
        FrameLayout { payload_start, payload_end, end: payload_end.next_multiple_of(FRAME_ALIGN) }
    }
}
