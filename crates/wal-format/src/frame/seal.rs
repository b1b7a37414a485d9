//! SEAL frames, the footer of a segment or of a log that was closed, with a sparse index of the frames before.

use crate::bytes::{is_blank, put, u32_at, u64_at};
use crate::{
    ChecksumKind, FIRST_FRAME_OFFSET, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind,
    FrameLayout, Life, OutOfRange, Sections, Sequence,
};

/// Bytes of a SEAL's body before the index.
pub const SEAL_FIXED_BYTES: usize = 24;
/// The index has a point for the first DATA frame that begins in each stretch of this many bytes.
pub const INDEX_SPACING_BYTES: u64 = 64 << 10;
/// Bytes of an index point.
pub const INDEX_POINT_BYTES: usize = 24;

/// Whether a SEAL ends a segment or a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealKind {
    /// The segment, at a rollover: no frame follows in it.
    Final,
    /// The log, which was closed: the next open may go on after the SEAL.
    Close,
}

impl SealKind {
    const fn code(self) -> u8 {
        match self {
            SealKind::Final => 1,
            SealKind::Close => 2,
        }
    }

    const fn from_code(code: u8) -> Option<SealKind> {
        match code {
            1 => Some(SealKind::Final),
            2 => Some(SealKind::Close),
            _ => None,
        }
    }
}

/// A frame of the segment, by which a reader finds the ones after it without walking from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexPoint {
    /// Where the frame begins.
    pub offset: u64,
    /// The number of its first entry.
    pub first: Sequence,
    /// The frame was written then or later, in nanoseconds since 1970; never less than the time of any LINK or point before
    /// it.
    pub unix_ns: u64,
}

/// Bytes of a SEAL frame with so many index points and no sections.
#[must_use]
pub const fn seal_frame_bytes(points: usize) -> u64 {
    let body = SEAL_FIXED_BYTES as u64 + points as u64 * INDEX_POINT_BYTES as u64;
    FrameLayout::of(ChecksumKind::Crc32, 0, body).end
}

/// What a writer puts into a SEAL.
#[derive(Clone, Copy, Debug)]
pub struct SealBody<'a> {
    /// What it ends.
    pub kind: SealKind,
    /// The last SEAL before it in this segment that has index points, if there is one.
    pub previous: Option<u64>,
    /// The points since that one.
    pub points: &'a [IndexPoint],
    /// Whole [sections](crate::encode_section), one after another.
    pub sections: &'a [u8],
}

/// Writes a SEAL over all of `out`; returns its chain value.
///
/// `header` is what the frame says of its place; kind, counts and table checksum are set here.
///
/// # Panics
/// When `out` is not [`seal_frame_bytes`] and the sections long.
pub fn encode_seal_frame(
    out: &mut [u8],
    mut header: FrameHeader,
    life: Life,
    offset: u64,
    body: &SealBody<'_>,
) -> u32 {
    let SealBody { kind, previous, points, sections } = *body;
    let frame_bytes = seal_frame_bytes(points.len()) + sections.len() as u64;
    assert_eq!(out.len() as u64, frame_bytes, "the frame fills its buffer");
    assert!((sections.len() as u64).is_multiple_of(FRAME_ALIGN), "sections are whole");
    let index_start = FRAME_HEADER_BYTES + SEAL_FIXED_BYTES;
    let index_end = index_start + points.len() * INDEX_POINT_BYTES;
    for (row, point) in out[index_start..index_end].chunks_exact_mut(INDEX_POINT_BYTES).zip(points) {
        put(row, 0, point.offset.to_le_bytes());
        put(row, 8, point.first.value().to_le_bytes());
        put(row, 16, point.unix_ns.to_le_bytes());
    }
    out[index_end..].copy_from_slice(sections);
    let index_crc = crc32fast::hash(&out[index_start..]);
    let count = |length| u32::try_from(length).expect("a segment has at most MAX_SEGMENT_BYTES");
    let fixed = &mut out[FRAME_HEADER_BYTES..index_start];
    fixed.fill(0);
    put(fixed, 0, count(points.len()).to_le_bytes());
    put(fixed, 4, index_crc.to_le_bytes());
    put(fixed, 8, previous.unwrap_or(0).to_le_bytes());
    fixed[16] = kind.code();
    put(fixed, 20, count(sections.len()).to_le_bytes());
    header.kind = FrameKind::Seal;
    header.entries = 0;
    header.payload_bytes = u32::try_from(out.len() - FRAME_HEADER_BYTES)
        .expect("an index point covers 64 KiB of at most 32 GiB");
    header.table_crc = crc32fast::hash(&out[FRAME_HEADER_BYTES..index_start]);
    let encoded = header.encode(life, offset);
    put(out, 0, encoded);
    FrameHeader::chain_value(&encoded)
}

/// The end of a segment, or of a log that was closed.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ frame header: first sequence = the next entry's number                │
/// 32 │ index points, count                 │ crc32 of points and sections    │
/// 40 │ last SEAL with points before this one in the segment, 0 none          │
/// 48 │ ends   │ zero                       │ bytes of the sections           │
/// 56 │ point: offset of a frame                                              │
/// 64 │        number of its first entry                                      │
/// 72 │        written then or later, nanoseconds since 1970                  │
///    │ …                                                                     │
///    │ sections                                                              │
/// ```
///
/// The index, which is points and sections, is derived data: a bad one is rebuilt by walking the frames, and costs speed
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seal {
    /// What it ends.
    pub kind: SealKind,
    /// The last SEAL before it in this segment that has index points: its own points stand after that one.
    pub previous: Option<u64>,
    points: u32,
    index_crc: u32,
    sections_bytes: u32,
}

const _: () = assert!(seal_frame_bytes(0) == 56 && seal_frame_bytes(1) == 80);

impl Seal {
    /// Reads the fixed part of the SEAL of `header` from `bytes`, which begin where the header does.
    ///
    /// # Errors
    /// [`FrameFault::Order`] for a frame of another kind, [`FrameFault::Short`], [`FrameFault::Table`],
    /// [`FrameFault::Padding`].
    pub fn decode(bytes: &[u8], header: &FrameHeader) -> Result<Seal, FrameFault> {
        if header.kind != FrameKind::Seal {
            return Err(FrameFault::Order);
        }
        let frame: &[u8; FRAME_HEADER_BYTES + SEAL_FIXED_BYTES] =
            bytes.first_chunk().ok_or(FrameFault::Short)?;
        let body = &frame[FRAME_HEADER_BYTES..];
        let points = u32_at(body, 0);
        let sections_bytes = u32_at(body, 20);
        let index_bytes = u64::from(points) * INDEX_POINT_BYTES as u64;
        let expected = SEAL_FIXED_BYTES as u64 + index_bytes + u64::from(sections_bytes);
        if crc32fast::hash(body) != header.table_crc || u64::from(header.payload_bytes) != expected {
            return Err(FrameFault::Table);
        }
        if !u64::from(sections_bytes).is_multiple_of(FRAME_ALIGN) {
            return Err(FrameFault::Table);
        }
        let kind = SealKind::from_code(body[16]).ok_or(FrameFault::Table)?;
        if !is_blank(&body[17..20]) {
            return Err(FrameFault::Padding);
        }
        let previous = Some(u64_at(body, 8)).filter(|&offset| offset != 0);
        Ok(Seal { kind, previous, points, index_crc: u32_at(body, 4), sections_bytes })
    }

    /// How many index points follow.
    #[must_use]
    pub const fn points(&self) -> u32 {
        self.points
    }

    /// The CRC-32 of the points and the sections, for readers that check them piece by piece.
    #[must_use]
    pub const fn index_crc(&self) -> u32 {
        self.index_crc
    }

    /// Bytes of the points.
    #[must_use]
    pub const fn points_bytes(&self) -> usize {
        self.points as usize * INDEX_POINT_BYTES
    }

    /// Bytes of the points and the sections.
    #[must_use]
    pub const fn index_bytes(&self) -> usize {
        self.points_bytes() + self.sections_bytes as usize
    }

    /// The points and the sections, from the bytes of the whole frame.
    ///
    /// # Errors
    /// [`FrameFault::Short`], or [`FrameFault::Table`] when they do not match their checksum.
    pub fn index<'a>(&self, frame: &'a [u8]) -> Result<SealIndex<'a>, FrameFault> {
        let start = FRAME_HEADER_BYTES + SEAL_FIXED_BYTES;
        let bytes = frame.get(start..).and_then(|rest| rest.get(..self.index_bytes()));
        let bytes = bytes.ok_or(FrameFault::Short)?;
        if crc32fast::hash(bytes) != self.index_crc {
            return Err(FrameFault::Table);
        }
        let (points, sections) = bytes.split_at(self.points_bytes());
        Ok(SealIndex { points, sections })
    }
}

/// What a SEAL holds, its checksum checked; what the points say must still be compared with the frames.
#[derive(Clone, Copy, Debug)]
pub struct SealIndex<'a> {
    points: &'a [u8],
    sections: &'a [u8],
}

impl<'a> SealIndex<'a> {
    /// Reads a point from the start of `bytes`; none when there are too few, or when it names a place or a number that no
    /// segment has.
    #[must_use]
    pub fn point(bytes: &[u8]) -> Option<IndexPoint> {
        let row: &[u8; INDEX_POINT_BYTES] = bytes.first_chunk()?;
        let first = Sequence::try_from(u64_at(row, 8)).ok()?;
        let point = IndexPoint { offset: u64_at(row, 0), first, unix_ns: u64_at(row, 16) };
        (point.offset >= FIRST_FRAME_OFFSET).then_some(point)
    }

    /// The points in order.
    ///
    /// # Errors
    /// An item is [`OutOfRange`] when it names a place or a number that no segment has.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Result<IndexPoint, OutOfRange>> + 'a {
        self.points.chunks_exact(INDEX_POINT_BYTES).map(|row| SealIndex::point(row).ok_or(OutOfRange))
    }

    /// The sections after them.
    #[must_use]
    pub fn sections(&self) -> Sections<'a> {
        Sections::new(self.sections)
    }
}
