//! The anchor: what the log knew last, in two slots that are written in turn.

use crate::bytes::{array_at, is_blank, put, u16_at, u32_at, u64_at};
use crate::{ChecksumKind, FORMAT_VERSION, HeaderFault, LogId, SegmentNumber, Sequence};

/// The file that holds both slots.
pub const ANCHOR_FILE: &str = "ANCHOR";
/// Bytes of a slot that carry something.
pub const ANCHOR_BYTES: usize = 128;
/// Bytes that each slot has to itself.
pub const SLOT_BYTES: usize = 4096;
/// How many slots there are.
pub const SLOTS: usize = 2;

const LENGTH: u32 = 128;
const MAGIC: [u8; 8] = *b"WALANC\r\n";

/// A place up to which the log was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DurablePoint {
    /// The segment.
    pub segment: SegmentNumber,
    /// Everything in front of this offset of it was synced.
    pub offset: u64,
    /// The number of the first entry that is not covered.
    pub next: Sequence,
}

/// One slot of the anchor file.
///
/// ```text
///       0        1        2        3        4        5        6        7
///   0 │ magic "WALANC\r\n"                                                    │
///   8 │ version          │ features         │ slot length (128)               │
///  16 │ log id                                                                │
///  24 │                                                                       │
///  32 │ generation                                                            │
///  40 │ first sequence                                                        │
///  48 │ first segment                                                         │
///  56 │ active segment, 0 none                                                │
///  64 │ active segment's salt                                                 │
///  72 │ durable point: segment, 0 none                                        │
///  80 │ durable point: offset                                                 │
///  88 │ durable point: next sequence                                          │
///  96 │ SEAL offset in the active segment, 0 open                             │
/// 104 │ bytes of the next segment                                             │
/// 112 │ checksum │ zero                                                       │
/// 120 │ zero                                │ crc32 of bytes 0..124           │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Anchor {
    /// The log that this is the anchor of.
    pub log: LogId,
    /// One more each time: of two valid slots the larger one is newer.
    pub generation: u64,
    /// The first entry that is kept.
    pub first: Sequence,
    /// The segment that holds it, or will.
    pub first_segment: SegmentNumber,
    /// The segment that was appended to, and its salt, once its LINK was durable.
    pub active: Option<(SegmentNumber, u64)>,
    /// How far the log was durable; none before the first segment.
    pub durable: Option<DurablePoint>,
    /// Where the active segment was sealed by a close.
    pub seal_offset: Option<u64>,
    /// How long the next segment is to be.
    pub next_segment_bytes: u64,
    /// How payloads of the next segment are to be checked.
    pub next_checksum: ChecksumKind,
}

const _: () = assert!(LENGTH as usize == ANCHOR_BYTES);
const _: () = assert!(ANCHOR_BYTES <= SLOT_BYTES);

impl Anchor {
    /// The bytes of one slot; the rest of its 4096 is zero.
    #[must_use]
    pub fn encode(&self) -> [u8; ANCHOR_BYTES] {
        let (active, salt) = self.active.unzip();
        let mut bytes = [0; ANCHOR_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 12, LENGTH.to_le_bytes());
        put(&mut bytes, 16, self.log.0);
        put(&mut bytes, 32, self.generation.to_le_bytes());
        put(&mut bytes, 40, self.first.value().to_le_bytes());
        put(&mut bytes, 48, self.first_segment.value().to_le_bytes());
        put(&mut bytes, 56, SegmentNumber::encode(active).to_le_bytes());
        put(&mut bytes, 64, salt.unwrap_or(0).to_le_bytes());
        if let Some(durable) = self.durable {
            put(&mut bytes, 72, durable.segment.value().to_le_bytes());
            put(&mut bytes, 80, durable.offset.to_le_bytes());
            put(&mut bytes, 88, durable.next.value().to_le_bytes());
        }
        put(&mut bytes, 96, self.seal_offset.unwrap_or(0).to_le_bytes());
        put(&mut bytes, 104, self.next_segment_bytes.to_le_bytes());
        bytes[112] = self.next_checksum.code();
        let crc = crc32fast::hash(&bytes[..124]);
        put(&mut bytes, 124, crc.to_le_bytes());
        bytes
    }

    /// Reads a slot from the start of `bytes`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(bytes: &[u8]) -> Result<Anchor, HeaderFault> {
        let bytes: &[u8; ANCHOR_BYTES] = bytes.first_chunk().ok_or(HeaderFault::Short)?;
        if is_blank(bytes) {
            return Err(HeaderFault::Blank);
        }
        if bytes[..8] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        if crc32fast::hash(&bytes[..124]) != u32_at(bytes, 124) {
            return Err(HeaderFault::Checksum);
        }
        match (u16_at(bytes, 8), u16_at(bytes, 10)) {
            (FORMAT_VERSION, 0) => {}
            (FORMAT_VERSION, features) => return Err(HeaderFault::Features(features)),
            (version, _) => return Err(HeaderFault::Version(version)),
        }
        if u32_at(bytes, 12) != LENGTH {
            return Err(HeaderFault::Field("slot length"));
        }
        let sequence =
            |at, field| Sequence::try_from(u64_at(bytes, at)).map_err(|_| HeaderFault::Field(field));
        let durable = match SegmentNumber::new(u64_at(bytes, 72)) {
            None => None,
            Some(segment) => Some(DurablePoint {
                segment,
                offset: u64_at(bytes, 80),
                next: sequence(88, "durable sequence")?,
            }),
        };
        Ok(Anchor {
            log: LogId(array_at(bytes, 16)),
            generation: u64_at(bytes, 32),
            first: sequence(40, "first sequence")?,
            first_segment: SegmentNumber::new(u64_at(bytes, 48))
                .ok_or(HeaderFault::Field("first segment"))?,
            active: SegmentNumber::new(u64_at(bytes, 56)).map(|segment| (segment, u64_at(bytes, 64))),
            durable,
            seal_offset: Some(u64_at(bytes, 96)).filter(|&offset| offset != 0),
            next_segment_bytes: u64_at(bytes, 104),
            next_checksum: ChecksumKind::from_code(bytes[112])
                .ok_or(HeaderFault::ChecksumKind(bytes[112]))?,
        })
    }
}
