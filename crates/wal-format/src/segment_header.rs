//! The header of a segment file, written twice.

use core::fmt;

use crate::bytes::{array_at, is_blank, put, u16_at, u32_at, u64_at};
use crate::{ChecksumKind, HeaderFault, Life, SegmentNumber};

/// The version of the format that this crate writes.
pub const FORMAT_VERSION: u16 = 1;
/// The feature bits that a reader must understand. It may pass over the others, which may ask something of those who
/// append: a writer of this version begins another segment instead.
pub const REQUIRED_FEATURES: u16 = 0x00ff;
/// Bytes of a header that carry something; each copy has 4096 to itself.
pub const SEGMENT_HEADER_BYTES: usize = 80;
/// Where header B stands: in a sector, and a page, of its own.
pub const HEADER_COPY_OFFSET: u64 = 4096;
/// Where the LINK stands, and the smallest durable point of a segment.
pub const FIRST_FRAME_OFFSET: u64 = 8192;
/// The largest segment: a durable distance counts units of 8 bytes in 32 bits.
pub const MAX_SEGMENT_BYTES: u64 = 32 << 30;
/// The smallest segment: headers, LINK, and a page for frames.
pub const MIN_SEGMENT_BYTES: u64 = 12 << 10;

const LENGTH: u32 = 80;
/// A later version may use more of the bytes that each copy has to itself.
const MAX_LENGTH: u32 = 4096;
const MAGIC: [u8; 8] = *b"WALSEG\r\n";

/// The identity of a log: random, drawn once, in every file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The header of a segment file; header A at 0 and header B at 4096 are equal.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ magic "WALSEG\r\n"                                                    │
///  8 │ version          │ features         │ header length (80 or more)      │
/// 16 │ log id                                                                │
/// 24 │                                                                       │
/// 32 │ segment number                                                        │
/// 40 │ salt                                                                  │
/// 48 │ nominal bytes of the segment                                          │
/// 56 │ checksum │ fresh │ zero                                               │
/// 64 │ created, nanoseconds since 1970                                       │
/// 72 │ zero                                │ crc32 of bytes 0..76            │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentHeader {
    /// The log that the segment belongs to.
    pub log: LogId,
    /// Number and salt: which life of which segment.
    pub life: Life,
    /// How long the file was meant to be. Information: bounds come from the file's own length.
    pub nominal_bytes: u64,
    /// How payloads in this segment are checked.
    pub checksum: ChecksumKind,
    /// Whether the file was new in this life, so that every byte after the last frame that is not zero was
    /// written in it. Not so for a file that was used before under another salt.
    pub fresh: bool,
    /// Feature bits that a reader may pass over. This version sets none, and does not append to a segment that has any.
    pub features: u16,
    /// When the header was written, in nanoseconds since 1970. Durability never depends on it.
    pub created_unix_ns: u64,
}

const _: () = assert!(LENGTH as usize == SEGMENT_HEADER_BYTES);
const _: () = assert!(SEGMENT_HEADER_BYTES as u64 <= HEADER_COPY_OFFSET);
const _: () = assert!(HEADER_COPY_OFFSET * 2 == FIRST_FRAME_OFFSET);
const _: () = assert!(MAX_SEGMENT_BYTES / 8 - 1 == u32::MAX as u64);

impl SegmentHeader {
    /// The header as it stands on disk, in both places.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 10, self.features.to_le_bytes());
        put(&mut bytes, 12, LENGTH.to_le_bytes());
        put(&mut bytes, 16, self.log.0);
        put(&mut bytes, 32, self.life.segment.value().to_le_bytes());
        put(&mut bytes, 40, self.life.salt.to_le_bytes());
        put(&mut bytes, 48, self.nominal_bytes.to_le_bytes());
        bytes[56] = self.checksum.code();
        bytes[57] = u8::from(self.fresh);
        put(&mut bytes, 64, self.created_unix_ns.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..76]);
        put(&mut bytes, 76, crc.to_le_bytes());
        bytes
    }

    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// Why it is none. Version and features are judged before the checksum kind, so that a log of a
    /// later version is told apart from a damaged one.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        let bytes: &[u8; SEGMENT_HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderFault::Short)?;
        if is_blank(bytes) {
            return Err(HeaderFault::Blank);
        }
        if bytes[..8] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        if crc32fast::hash(&bytes[..76]) != u32_at(bytes, 76) {
            return Err(HeaderFault::Checksum);
        }
        match (u16_at(bytes, 8), u16_at(bytes, 10)) {
            (FORMAT_VERSION, features) if features & REQUIRED_FEATURES == 0 => {}
            (FORMAT_VERSION, features) => return Err(HeaderFault::Features(features)),
            (version, _) => return Err(HeaderFault::Version(version)),
        }
        if !(LENGTH..=MAX_LENGTH).contains(&u32_at(bytes, 12)) {
            return Err(HeaderFault::Field("header length"));
        }
        let segment = SegmentNumber::new(u64_at(bytes, 32)).ok_or(HeaderFault::Field("segment number"))?;
        let checksum = ChecksumKind::from_code(bytes[56]).ok_or(HeaderFault::ChecksumKind(bytes[56]))?;
        if bytes[57] > 1 {
            return Err(HeaderFault::Field("fresh"));
        }
        Ok(SegmentHeader {
            log: LogId(array_at(bytes, 16)),
            life: Life { segment, salt: u64_at(bytes, 40) },
            nominal_bytes: u64_at(bytes, 48),
            checksum,
            features: u16_at(bytes, 10),
            fresh: bytes[57] == 1,
            created_unix_ns: u64_at(bytes, 64),
        })
    }
}
