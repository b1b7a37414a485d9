//! The anchor, as the control file of PostgreSQL: first entry, durable point and clean shutdown of the log, in two slots that
//! are written in turn.

use crate::bytes::{array_at, is_blank, put, u16_at, u32_at, u64_at};
use crate::{
    ChecksumKind, FORMAT_VERSION, FRAME_ALIGN, HeaderFault, LogId, REQUIRED_FEATURES, SegmentNumber, Sequence,
};

/// The file that holds both slots.
pub const ANCHOR_FILE: &str = "ANCHOR";
/// Bytes of a slot's fields. Sections may follow.
pub const ANCHOR_BYTES: usize = 128;
/// Bytes that each slot has to itself.
pub const SLOT_BYTES: usize = 4096;
/// How many slots there are.
pub const SLOTS: usize = 2;

const LENGTH: u32 = 128;
const MAX_LENGTH: u32 = 4096;
const MAGIC: [u8; 8] = *b"WALANC\r\n";

/// A durable position: the log before it was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DurablePoint {
    /// The segment.
    pub segment: SegmentNumber,
    /// Everything before this offset of it was synced.
    pub offset: u64,
    /// The number of the first entry after it.
    pub next: Sequence,
}

/// One slot of the anchor file. Its checksum covers the sections as well, so that a torn write of a slot leaves none
/// there, and the other slot with its own sections.
///
/// ```text
///       0        1        2        3        4        5        6        7
///   0 │ magic "WALANC\r\n"                                                    │
///   8 │ version          │ features         │ slot length (128 and sections)  │
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
///  96 │ SEAL of the close in the active segment, 0 open                       │
/// 104 │ bytes of the next segment                                             │
/// 112 │ checksum │ zero                                                       │
/// 120 │ zero                                │ crc32 of 0..124 and sections    │
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
    /// The SEAL with which the log was closed, in the active segment; none while it is open. It is believed only while the
    /// other slot is valid, too.
    pub seal_offset: Option<u64>,
    /// How long the next segment is to be.
    pub next_segment_bytes: u64,
    /// How payloads of the next segment are to be checked.
    pub next_checksum: ChecksumKind,
}

const _: () = assert!(LENGTH as usize == ANCHOR_BYTES);
const _: () = assert!(ANCHOR_BYTES <= SLOT_BYTES && MAX_LENGTH as usize == SLOT_BYTES);

impl Anchor {
    /// The bytes of one slot. `sections` are whole [sections](crate::encode_section), one after another: a writer repeats
    /// those that it does not know, as they were in the newest slot.
    ///
    /// # Panics
    /// When the sections do not fit a slot, or their length is no multiple of 8.
    #[must_use]
    pub fn encode(&self, sections: &[u8]) -> [u8; SLOT_BYTES] {
        let (active, salt) = self.active.unzip();
        assert!((sections.len() as u64).is_multiple_of(FRAME_ALIGN), "sections are whole");
        let mut bytes = [0; SLOT_BYTES];
        bytes[ANCHOR_BYTES..][..sections.len()].copy_from_slice(sections);
        let sections_bytes = u32::try_from(sections.len()).expect("sections fit a slot");
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 12, (LENGTH + sections_bytes).to_le_bytes());
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
        let crc = checksum(&bytes[..124], sections);
        put(&mut bytes, 124, crc.to_le_bytes());
        bytes
    }

    /// The sections after the fields of a slot that [was decoded](Anchor::decode).
    #[must_use]
    pub fn sections(slot: &[u8]) -> &[u8] {
        slot.first_chunk().and_then(|fields| sections(slot, fields)).unwrap_or_default()
    }

    /// Reads the slot that begins where `slot` does.
    ///
    /// # Errors
    /// Why it is none; [`HeaderFault::Short`] also when `slot` ends before the sections do.
    pub fn decode(slot: &[u8]) -> Result<Anchor, HeaderFault> {
        let bytes: &[u8; ANCHOR_BYTES] = slot.first_chunk().ok_or(HeaderFault::Short)?;
        if is_blank(bytes) {
            return Err(HeaderFault::Blank);
        }
        if bytes[..8] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let sections = sections(slot, bytes).ok_or(HeaderFault::Short)?;
        if checksum(&bytes[..124], sections) != u32_at(bytes, 124) {
            return Err(HeaderFault::Checksum);
        }
        match (u16_at(bytes, 8), u16_at(bytes, 10)) {
            (FORMAT_VERSION, features) if features & REQUIRED_FEATURES == 0 => {}
            (FORMAT_VERSION, features) => return Err(HeaderFault::Features(features)),
            (version, _) => return Err(HeaderFault::Version(version)),
        }
        if !(LENGTH..=MAX_LENGTH).contains(&u32_at(bytes, 12)) {
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

/// The sections, as long as the fields say; none when the slot ends among them. A length that no slot has counts as none.
fn sections<'a>(slot: &'a [u8], fields: &[u8; ANCHOR_BYTES]) -> Option<&'a [u8]> {
    match u32_at(fields, 12) {
        length @ LENGTH..=MAX_LENGTH => slot.get(ANCHOR_BYTES..length as usize),
        _ => Some(&[]),
    }
}

fn checksum(fields: &[u8], sections: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fields);
    crc.update(sections);
    crc.finalize()
}
