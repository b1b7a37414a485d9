//! SEAL frames: nothing follows in this segment, and a sparse index of what came before.

use crate::bytes::{put, u32_at, u64_at};
use crate::{
    ChecksumKind, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, FrameLayout,
    Life, OutOfRange, Sequence,
};

/// Bytes of a SEAL's body in front of the index.
pub const SEAL_FIXED_BYTES: usize = 8;
/// The index has a point for the first DATA frame that begins in each stretch of this many bytes.
pub const INDEX_SPACING_BYTES: u64 = 64 << 10;

const POINT_BYTES: usize = 16;

/// A frame of the segment, by which a reader finds the ones after it without walking from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexPoint {
    /// Where the frame begins.
    pub offset: u64,
    /// The number of its first entry.
    pub first: Sequence,
}

/// Bytes of a SEAL frame with so many index points.
#[must_use]
pub const fn seal_frame_bytes(points: usize) -> u64 {
    let body = SEAL_FIXED_BYTES as u64 + points as u64 * POINT_BYTES as u64;
    FrameLayout::of(ChecksumKind::Crc32, 0, body).end
}

/// Writes a SEAL over all of `out`; returns its chain value.
///
/// `header` is what the frame says of its place; kind, counts and table checksum are set here.
///
/// # Panics
/// When `out` is not [`seal_frame_bytes`] long.
pub fn encode_seal_frame(
    out: &mut [u8],
    mut header: FrameHeader,
    life: Life,
    offset: u64,
    points: &[IndexPoint],
) -> u32 {
    assert_eq!(out.len() as u64, seal_frame_bytes(points.len()), "the frame fills its buffer");
    let index_start = FRAME_HEADER_BYTES + SEAL_FIXED_BYTES;
    for (row, point) in out[index_start..].chunks_exact_mut(POINT_BYTES).zip(points) {
        put(row, 0, point.offset.to_le_bytes());
        put(row, 8, point.first.value().to_le_bytes());
    }
    let index_crc = crc32fast::hash(&out[index_start..]);
    let count = u32::try_from(points.len()).expect("a segment has at most MAX_SEGMENT_BYTES");
    put(out, FRAME_HEADER_BYTES, count.to_le_bytes());
    put(out, FRAME_HEADER_BYTES + 4, index_crc.to_le_bytes());

    header.kind = FrameKind::Seal;
    header.entries = 0;
    header.payload_bytes = u32::try_from(out.len() - FRAME_HEADER_BYTES)
        .expect("an index point covers 64 KiB of at most 32 GiB");
    header.table_crc = crc32fast::hash(&out[FRAME_HEADER_BYTES..index_start]);
    let encoded = header.encode(life, offset);
    put(out, 0, encoded);
    FrameHeader::chain_value(&encoded)
}

/// The end of a segment.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ frame header: first sequence = the next entry's number                │
/// 32 │ index points, count                 │ crc32 of the index              │
/// 40 │ point: offset of a frame                                              │
/// 48 │        number of its first entry                                      │
///    │ …                                                                     │
/// ```
///
/// The index is derived data: a bad one is rebuilt by walking the frames, and is only a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seal {
    points: u32,
    index_crc: u32,
}

const _: () = assert!(seal_frame_bytes(0) == 40 && seal_frame_bytes(1) == 56);

impl Seal {
    /// Reads the fixed part of the SEAL of `header` from `bytes`, which begin where the header does.
    ///
    /// # Errors
    /// [`FrameFault::Order`] for a frame of another kind, [`FrameFault::Short`], [`FrameFault::Table`].
    pub fn decode(bytes: &[u8], header: &FrameHeader) -> Result<Seal, FrameFault> {
        if header.kind != FrameKind::Seal {
            return Err(FrameFault::Order);
        }
        let frame: &[u8; FRAME_HEADER_BYTES + SEAL_FIXED_BYTES] =
            bytes.first_chunk().ok_or(FrameFault::Short)?;
        let body = &frame[FRAME_HEADER_BYTES..];
        let points = u32_at(body, 0);
        let expected = SEAL_FIXED_BYTES as u64 + u64::from(points) * POINT_BYTES as u64;
        if crc32fast::hash(body) != header.table_crc || u64::from(header.payload_bytes) != expected {
            return Err(FrameFault::Table);
        }
        Ok(Seal { points, index_crc: u32_at(body, 4) })
    }

    /// How many index points follow.
    #[must_use]
    pub const fn points(&self) -> u32 {
        self.points
    }

    /// The CRC-32 of the index, for readers that check it piece by piece.
    #[must_use]
    pub const fn index_crc(&self) -> u32 {
        self.index_crc
    }

    /// The index, from the bytes of the whole frame.
    ///
    /// # Errors
    /// [`FrameFault::Short`], or [`FrameFault::Table`] when the index does not match its checksum.
    pub fn index<'a>(&self, frame: &'a [u8]) -> Result<SealIndex<'a>, FrameFault> {
        let start = FRAME_HEADER_BYTES + SEAL_FIXED_BYTES;
        let index_bytes = self.points as usize * POINT_BYTES;
        let bytes = frame.get(start..).and_then(|rest| rest.get(..index_bytes)).ok_or(FrameFault::Short)?;
        if crc32fast::hash(bytes) != self.index_crc {
            return Err(FrameFault::Table);
        }
        Ok(SealIndex(bytes))
    }
}

/// The index of a SEAL, its checksum checked; what it says must still be compared with the frames.
#[derive(Clone, Copy, Debug)]
pub struct SealIndex<'a>(&'a [u8]);

impl SealIndex<'_> {
    /// The points in order.
    ///
    /// # Errors
    /// An item is [`OutOfRange`] when it names a place or a number that no segment has.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Result<IndexPoint, OutOfRange>> + '_ {
        self.0.chunks_exact(POINT_BYTES).map(|row| {
            let point = IndexPoint { offset: u64_at(row, 0), first: Sequence::try_from(u64_at(row, 8))? };
            if point.offset < FIRST_FRAME_OFFSET { Err(OutOfRange) } else { Ok(point) }
        })
    }
}
