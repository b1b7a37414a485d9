//! A second implementation of the format, from `docs/format.md` alone, that shares no code with the
//! crate: checksums bit by bit, the mask, and one reader and one writer of frames, sections and slots of the anchor.
//!
//! Two readers that agree on whole and on damaged frames are less likely to share a mistake, and this
//! one is short enough to be translated into another language.

use crate::frame::encode_data_frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wal_format::{
    Anchor, ChecksumKind, DataFrame, DurablePoint, FIRST_FRAME_OFFSET, FrameFault, FrameHeader, FrameKind,
    IndexPoint, Life, Link, LinkReason, LogId, Predecessor, Seal, SealBody, SealKind, Sections,
    SegmentNumber, Sequence, encode_seal_frame, encode_section, seal_frame_bytes, section_bytes,
};

/// What a DATA frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    chain: u32,
    previous: u32,
    first: u64,
    durable_offset: u64,
    payloads: Vec<Vec<u8>>,
}

/// What a SEAL says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SaidSeal {
    previous_chain: u32,
    next: u64,
    durable_offset: u64,
    ends: u8,
    /// 0 is none.
    previous_seal: u64,
    /// Offset, first sequence, nanoseconds since 1970.
    points: Vec<[u64; 3]>,
    sections: Vec<SaidSection>,
}

/// Type and body.
type SaidSection = (u32, Vec<u8>);

/// What a LINK says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SaidLink {
    chain: u32,
    next: u64,
    /// Previous segment, end of the log in it, and SEAL before that; 0 is none.
    before: [u64; 3],
    begun_unix_ns: u64,
    reason: u8,
}

/// What a slot of the anchor says; 0 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SaidSlot {
    log: [u8; 16],
    /// From the generation to the bytes of the next segment, in the order of the file.
    fields: [u64; 10],
    checksum: u8,
    sections: Vec<SaidSection>,
}

/// What an extension frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SaidExtension {
    kind: u8,
    previous: u32,
    next: u64,
    durable_offset: u64,
    body: Vec<u8>,
}

/// Where a frame stands, and how its payloads are checked.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    salt: u64,
    offset: u64,
    crc64: bool,
}

mod second {
    use super::{Place, Said, SaidExtension, SaidLink, SaidSeal, SaidSection, SaidSlot};

    /// Whether a header stands here, of a frame of this kind whose checksum matches the `vouched` bytes.
    fn is_frame(bytes: &[u8], place: Place, kind: u8, vouched: &[u8]) -> Option<bool> {
        let computed = crc32(bytes.get(4..32)?) ^ mask(place.salt, place.segment, place.offset);
        let count = number(&bytes[20..24]);
        let entries = if kind == 1 { 1..=1 << 20 } else { 0..=0 };
        let distance = 8 * number(&bytes[24..28]);
        let holds = number(&bytes[0..4]) == u64::from(computed)
            && bytes[15] == kind
            && entries.contains(&count)
            && place.offset.checked_sub(distance)? >= 8192
            && number(&bytes[28..32]) == u64::from(crc32(vouched));
        Some(holds)
    }

    pub(crate) fn read(bytes: &[u8], place: Place) -> Option<Said> {
        let count = number(bytes.get(20..24)?) as usize;
        let row_bytes = if place.crc64 { 12 } else { 8 };
        let table = bytes.get(32..)?.get(..count * row_bytes)?;
        if !is_frame(bytes, place, 1, table)? {
            return None;
        }
        let stated = number(&bytes[0..4]);
        let payload_bytes = number(&bytes[16..20]) as usize;
        let durable_offset = place.offset - 8 * number(&bytes[24..28]);
        let mut rest = bytes.get(32 + table.len()..)?;
        let mut payloads = Vec::new();
        let mut sum = 0;
        for row in table.chunks(row_bytes) {
            let length = number(&row[..4]) as usize;
            let payload = rest.get(..length)?;
            let digest = if place.crc64 { crc64(payload) } else { u64::from(crc32(payload)) };
            if digest != number(&row[4..]) {
                return None;
            }
            payloads.push(payload.to_vec());
            rest = &rest[length..];
            sum += length;
        }
        let padding = (8 - (32 + table.len() + sum) % 8) % 8;
        let padded = rest.get(..padding)?.iter().all(|&byte| byte == 0);
        let first = number(&bytes[8..15]);
        let last = first + count as u64 - 1;
        if sum != payload_bytes || !padded || last >= 1 << 56 {
            return None;
        }
        let previous = number(&bytes[4..8]) as u32;
        Some(Said { chain: stated as u32, previous, first, durable_offset, payloads })
    }

    /// A SEAL whose index and sections are whole, too.
    pub(crate) fn read_seal(bytes: &[u8], place: Place) -> Option<SaidSeal> {
        let fixed = bytes.get(32..56)?;
        if !is_frame(bytes, place, 3, fixed)? {
            return None;
        }
        let points_bytes = number(&fixed[..4]) as usize * 24;
        let section_bytes = number(&fixed[20..]) as usize;
        let index = bytes.get(56..)?.get(..points_bytes + section_bytes)?;
        let (rows, section_area) = index.split_at(points_bytes);
        let whole = number(&bytes[16..20]) == (24 + index.len()) as u64
            && section_bytes.is_multiple_of(8)
            && matches!(fixed[16..20], [1 | 2, 0, 0, 0])
            && number(&fixed[4..8]) == u64::from(crc32(index));
        let points: Vec<_> =
            rows.chunks(24).map(|row| [number(&row[..8]), number(&row[8..16]), number(&row[16..])]).collect();
        let sound = points.iter().all(|point| point[0] >= 8192 && point[1] < 1 << 56);
        let (sections, rest) = read_sections(section_area);
        (whole && sound && rest.is_empty()).then(|| SaidSeal {
            previous_chain: number(&bytes[4..8]) as u32,
            next: number(&bytes[8..15]),
            durable_offset: place.offset - 8 * number(&bytes[24..28]),
            ends: fixed[16],
            previous_seal: number(&fixed[8..16]),
            points,
            sections,
        })
    }

    pub(crate) fn write_seal(said: &SaidSeal, place: Place) -> Vec<u8> {
        let mut index: Vec<u8> = said.points.iter().flatten().flat_map(|field| field.to_le_bytes()).collect();
        let sections = write_sections(&said.sections);
        index.extend(&sections);
        let mut body = Vec::new();
        body.extend((said.points.len() as u32).to_le_bytes());
        body.extend(crc32(&index).to_le_bytes());
        body.extend(said.previous_seal.to_le_bytes());
        body.extend([said.ends, 0, 0, 0]);
        body.extend((sections.len() as u32).to_le_bytes());
        let vouched = crc32(&body);
        body.extend(index);
        frame(place, said.previous_chain, said.next, said.durable_offset, (3, 0, body.len(), vouched), &body)
    }

    /// A LINK, which stands at 8192.
    pub(crate) fn read_link(bytes: &[u8], place: Place) -> Option<SaidLink> {
        let body = bytes.get(32..72)?;
        if !is_frame(bytes, place, 2, body)? || number(&bytes[16..20]) != 40 {
            return None;
        }
        let begins = matches!(body[32], 1 | 6);
        let reason_fits = (1..=6).contains(&body[32]) && begins == (number(&body[..8]) == 0);
        (reason_fits && body[33..].iter().all(|&byte| byte == 0)).then(|| SaidLink {
            chain: number(&bytes[4..8]) as u32,
            next: number(&bytes[8..15]),
            before: if begins { [0; 3] } else { [0, 8, 16].map(|at| number(&body[at..at + 8])) },
            begun_unix_ns: number(&body[24..32]),
            reason: body[32],
        })
    }

    pub(crate) fn write_link(said: &SaidLink, place: Place) -> Vec<u8> {
        let mut body: Vec<u8> = said.before.iter().flat_map(|field| field.to_le_bytes()).collect();
        body.extend(said.begun_unix_ns.to_le_bytes());
        body.extend([said.reason, 0, 0, 0, 0, 0, 0, 0]);
        frame(place, said.chain, said.next, place.offset, (2, 0, 40, crc32(&body)), &body)
    }

    /// An extension frame of any kind.
    pub(crate) fn read_extension(bytes: &[u8], place: Place) -> Option<SaidExtension> {
        let body_bytes = number(bytes.get(16..20)?) as usize;
        let body = bytes.get(32..)?.get(..body_bytes)?;
        let kind = bytes[15];
        let whole = kind >= 128 && body_bytes.is_multiple_of(8) && is_frame(bytes, place, kind, body)?;
        whole.then(|| SaidExtension {
            kind,
            previous: number(&bytes[4..8]) as u32,
            next: number(&bytes[8..15]),
            durable_offset: place.offset - 8 * number(&bytes[24..28]),
            body: body.to_vec(),
        })
    }

    pub(crate) fn write_extension(said: &SaidExtension, place: Place) -> Vec<u8> {
        let counts = (said.kind, 0, said.body.len(), crc32(&said.body));
        frame(place, said.previous, said.next, said.durable_offset, counts, &said.body)
    }

    /// A slot of the anchor whose sections are whole, too. The features that may be passed over are not said.
    pub(crate) fn read_slot(bytes: &[u8]) -> Option<SaidSlot> {
        let length = number(bytes.get(12..16)?) as usize;
        let section_area = bytes.get(128..length)?;
        let crc = crc32(&[&bytes[..124], section_area].concat());
        let field = |index: usize| number(&bytes[32 + 8 * index..40 + 8 * index]);
        let fields = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(field);
        let whole = &bytes[..8] == b"WALANC\r\n"
            && number(&bytes[124..128]) == u64::from(crc)
            && bytes[8..11] == [1, 0, 0]
            && length <= 4096
            && matches!(bytes[112], 1 | 2)
            && fields[1] < 1 << 56
            && fields[2] != 0
            && (fields[5] == 0 || fields[7] < 1 << 56);
        let (sections, rest) = read_sections(section_area);
        (whole && rest.is_empty()).then(|| {
            let [generation, first, first_segment, active, salt, durable, offset, next, seal, segment_bytes] =
                fields;
            let salt = if active == 0 { 0 } else { salt };
            let [offset, next] = if durable == 0 { [0, 0] } else { [offset, next] };
            let fields =
                [generation, first, first_segment, active, salt, durable, offset, next, seal, segment_bytes];
            let log = bytes[16..32].try_into().expect("16 bytes");
            SaidSlot { log, fields, checksum: bytes[112], sections }
        })
    }

    pub(crate) fn write_slot(said: &SaidSlot) -> Vec<u8> {
        let sections = write_sections(&said.sections);
        let mut slot = b"WALANC\r\n".to_vec();
        slot.extend([1, 0, 0, 0]);
        slot.extend((128 + sections.len() as u32).to_le_bytes());
        slot.extend(said.log);
        slot.extend(said.fields.iter().flat_map(|field| field.to_le_bytes()));
        slot.push(said.checksum);
        slot.resize(124, 0);
        slot.extend(crc32(&[&slot[..], &sections].concat()).to_le_bytes());
        slot.extend(sections);
        slot.resize(4096, 0);
        slot
    }

    /// The sections that are whole, and what is left after them.
    pub(crate) fn read_sections(mut bytes: &[u8]) -> (Vec<SaidSection>, &[u8]) {
        let mut sections = Vec::new();
        while let Some((section, rest)) = read_section(bytes) {
            sections.push(section);
            bytes = rest;
        }
        (sections, bytes)
    }

    fn read_section(bytes: &[u8]) -> Option<(SaidSection, &[u8])> {
        let length = number(bytes.get(4..8)?) as usize;
        let body = bytes.get(8..)?.get(..length)?;
        let padding = (8 - length % 8) % 8;
        let zeros = bytes[8 + length..].get(..padding)?;
        if zeros.iter().any(|&byte| byte != 0) {
            return None;
        }
        Some(((number(&bytes[..4]) as u32, body.to_vec()), &bytes[8 + length + padding..]))
    }

    pub(crate) fn write_sections(sections: &[SaidSection]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, body) in sections {
            bytes.extend(kind.to_le_bytes());
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend(body);
            while bytes.len() % 8 != 0 {
                bytes.push(0);
            }
        }
        bytes
    }

    pub(crate) fn write(said: &Said, place: Place) -> Vec<u8> {
        let mut table = Vec::new();
        for payload in &said.payloads {
            table.extend((payload.len() as u32).to_le_bytes());
            if place.crc64 {
                table.extend(crc64(payload).to_le_bytes());
            } else {
                table.extend(crc32(payload).to_le_bytes());
            }
        }
        let payloads = said.payloads.concat();
        let counts = (1, said.payloads.len(), payloads.len(), crc32(&table));
        let rest = [table, payloads].concat();
        frame(place, said.previous, said.first, said.durable_offset, counts, &rest)
    }

    /// Kind, count of entries, payload length and table checksum are `counts`.
    fn frame(
        place: Place,
        previous: u32,
        first: u64,
        durable_offset: u64,
        counts: (u8, usize, usize, u32),
        rest: &[u8],
    ) -> Vec<u8> {
        let (kind, entries, payload_bytes, table_crc) = counts;
        let mut header = Vec::new();
        header.extend(previous.to_le_bytes());
        header.extend(&first.to_le_bytes()[..7]);
        header.push(kind);
        header.extend((payload_bytes as u32).to_le_bytes());
        header.extend((entries as u32).to_le_bytes());
        header.extend((((place.offset - durable_offset) / 8) as u32).to_le_bytes());
        header.extend(table_crc.to_le_bytes());
        let crc = crc32(&header) ^ mask(place.salt, place.segment, place.offset);
        let mut frame = [&crc.to_le_bytes()[..], &header, rest].concat();
        while frame.len() % 8 != 0 {
            frame.push(0);
        }
        frame
    }

    /// A little-endian number of at most eight bytes.
    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    pub(crate) fn mask(salt: u64, segment: u64, offset: u64) -> u32 {
        splitmix64(splitmix64(salt ^ splitmix64(segment)) ^ offset) as u32
    }

    fn splitmix64(state: u64) -> u64 {
        let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }

    pub(crate) fn crc64(bytes: &[u8]) -> u64 {
        let mut crc = u64::MAX;
        for byte in bytes {
            crc ^= u64::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 };
            }
        }
        !crc
    }

    /// The first number of the published SplitMix64 sequence for seed 0, and the catalogued check
    /// values of both checksums.
    #[test]
    fn the_second_implementation_knows_the_published_values() {
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_implementations_write_the_same_bytes(place in any_place(), said in any_said()) {
        let said = at(&said, place);
        prop_assert_eq!(second::write(&said, place), write(&said, place));
    }

    #[test]
    fn both_implementations_read_the_same_values(place in any_place(), said in any_said()) {
        let said = at(&said, place);
        let bytes = second::write(&said, place);
        let chain = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let expected = Said { chain, ..said };
        prop_assert_eq!(read(&bytes, place), Some(expected.clone()));
        prop_assert_eq!(second::read(&bytes, place), Some(expected));
    }

    /// Damaged anywhere, with the checksums before the damage repaired or not, both refuse or both
    /// read the same.
    #[test]
    fn both_implementations_judge_damage_alike(
        place in any_place(), said in any_said(), hits in vec((any::<Index>(), any::<u8>()), 0..3),
        table_repaired: bool, header_repaired: bool, cut in prop_oneof![3 => Just(0), 1 => 1..40_usize],
    ) {
        let said = at(&said, place);
        let mut bytes = second::write(&said, place);
        for (index, value) in hits {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        let row_bytes = if place.crc64 { 12 } else { 8 };
        if table_repaired {
            let crc = second::crc32(&bytes[32..32 + said.payloads.len() * row_bytes]);
            bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        }
        if header_repaired {
            let crc = second::crc32(&bytes[4..32]) ^ second::mask(place.salt, place.segment, place.offset);
            bytes[..4].copy_from_slice(&crc.to_le_bytes());
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        prop_assert_eq!(read(&bytes, place), second::read(&bytes, place));
    }

    #[test]
    fn both_implementations_write_and_read_the_same_seals(place in any_place(), said in any_seal()) {
        let said = SaidSeal { durable_offset: durable_at(said.durable_offset, place), ..said };
        let bytes = second::write_seal(&said, place);
        prop_assert_eq!(&bytes, &write_seal(&said, place));
        prop_assert_eq!(read_seal(&bytes, place), Some(said.clone()));
        prop_assert_eq!(second::read_seal(&bytes, place), Some(said));
    }

    #[test]
    fn both_implementations_write_and_read_the_same_links(place in any_place(), said in any_link()) {
        let place = Place { offset: FIRST_FRAME_OFFSET, ..place };
        let bytes = second::write_link(&said, place);
        prop_assert_eq!(&bytes, &write_link(&said, place));
        prop_assert_eq!(read_link(&bytes, place), Some(said.clone()));
        prop_assert_eq!(second::read_link(&bytes, place), Some(said));
    }

    #[test]
    fn both_implementations_judge_damage_to_other_frames_alike(
        place in any_place(), seal in any_seal(), link in any_link(), extension in any_extension(),
        hits in vec((any::<Index>(), prop_oneof![any::<u8>(), 0..8_u8]), 0..3),
        index_repaired: bool, body_repaired: bool, header_repaired: bool,
    ) {
        let first_place = Place { offset: FIRST_FRAME_OFFSET, ..place };
        let seal = SaidSeal { durable_offset: durable_at(seal.durable_offset, place), ..seal };
        let extension = SaidExtension { durable_offset: durable_at(extension.durable_offset, place), ..extension };
        let damaged = |mut bytes: Vec<u8>, place: Place, is_seal: bool| {
            for (index, value) in &hits {
                let index = index.index(bytes.len());
                bytes[index] = *value;
            }
            if is_seal && index_repaired {
                let crc = second::crc32(&bytes[56..]);
                bytes[36..40].copy_from_slice(&crc.to_le_bytes());
            }
            if body_repaired {
                let crc = second::crc32(if is_seal { &bytes[32..56] } else { &bytes[32..] });
                bytes[28..32].copy_from_slice(&crc.to_le_bytes());
            }
            if header_repaired {
                let crc = second::crc32(&bytes[4..32]) ^ second::mask(place.salt, place.segment, place.offset);
                bytes[..4].copy_from_slice(&crc.to_le_bytes());
            }
            bytes
        };
        let bytes = damaged(second::write_seal(&seal, place), place, true);
        prop_assert_eq!(read_seal(&bytes, place), second::read_seal(&bytes, place));
        let bytes = damaged(second::write_extension(&extension, place), place, false);
        prop_assert_eq!(read_extension(&bytes, place), second::read_extension(&bytes, place));
        let bytes = damaged(second::write_link(&link, first_place), first_place, false);
        prop_assert_eq!(read_link(&bytes, first_place), second::read_link(&bytes, first_place));
    }

    #[test]
    fn both_implementations_write_and_read_the_same_extensions(place in any_place(), said in any_extension()) {
        let said = SaidExtension { durable_offset: durable_at(said.durable_offset, place), ..said };
        let bytes = second::write_extension(&said, place);
        prop_assert_eq!(&bytes, &write_extension(&said, place));
        prop_assert_eq!(read_extension(&bytes, place), Some(said.clone()));
        prop_assert_eq!(second::read_extension(&bytes, place), Some(said));
    }

    #[test]
    fn both_implementations_write_and_read_the_same_slots(said in any_slot()) {
        let bytes = second::write_slot(&said);
        prop_assert_eq!(&bytes, &write_slot(&said));
        prop_assert_eq!(read_slot(&bytes), Some(said.clone()));
        prop_assert_eq!(second::read_slot(&bytes), Some(said));
    }

    /// Damaged, with the checksum repaired or not; cut; or with the sections of another slot. A build may lack a kind of
    /// checksum, the second implementation has both.
    #[test]
    fn both_implementations_judge_damage_to_slots_alike(
        said in any_slot(), other in any_slot(), torn: bool, repaired: bool,
        hits in vec((any::<Index>(), prop_oneof![any::<u8>(), 0..8_u8]), 0..3),
        cut in prop_oneof![2 => Just(0), 1 => 0..4096_usize],
    ) {
        let mut bytes = second::write_slot(&said);
        if torn {
            bytes[128..].copy_from_slice(&second::write_slot(&other)[128..]);
        }
        for (index, value) in hits {
            let index = index.index(200);
            bytes[index] = value;
        }
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        if let (true, Some(sections)) = (repaired, bytes.get(128..length)) {
            let crc = second::crc32(&[&bytes[..124], sections].concat());
            bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        }
        bytes.truncate(bytes.len() - cut);
        let has_kind = |said: &SaidSlot| ChecksumKind::from_code(said.checksum).is_some();
        prop_assert_eq!(read_slot(&bytes), second::read_slot(&bytes).filter(has_kind));
    }

    #[test]
    fn both_implementations_judge_sections_alike(
        sections in any_sections(), hits in vec((any::<Index>(), any::<u8>()), 0..2), rest in vec(any::<u8>(), 0..30),
    ) {
        prop_assert_eq!(&second::write_sections(&sections), &write_sections(&sections));
        let mut bytes = [second::write_sections(&sections), rest].concat();
        for (index, value) in hits {
            if !bytes.is_empty() {
                let index = index.index(bytes.len());
                bytes[index] = value;
            }
        }
        let (whole, rest) = second::read_sections(&bytes);
        let read: Vec<_> = Sections::new(&bytes).collect();
        prop_assert_eq!(read.iter().any(Result::is_err), !rest.is_empty());
        let read = read.into_iter().flatten().map(|section| (section.kind, section.body.to_vec()));
        prop_assert_eq!(read.collect::<Vec<_>>(), whole);
    }

    #[test]
    fn both_implementations_compute_the_same_checksums(bytes in vec(any::<u8>(), 0..600), place in any_place()) {
        prop_assert_eq!(u64::from(second::crc32(&bytes)), ChecksumKind::Crc32.digest(&bytes));
        #[cfg(feature = "crc64")]
        prop_assert_eq!(second::crc64(&bytes), ChecksumKind::Crc64.digest(&bytes));
        prop_assert_eq!(second::mask(place.salt, place.segment, place.offset), life(place).mask(place.offset));
    }
}

/// The crate's reader, in the second one's words.
fn read(bytes: &[u8], place: Place) -> Option<Said> {
    let every = || -> Result<Said, FrameFault> {
        let header = FrameHeader::decode(bytes, life(place), place.offset)?;
        if header.kind != FrameKind::Data {
            return Err(FrameFault::Order);
        }
        let data = DataFrame::decode(bytes, &header, checksum(place))?;
        let payloads: Result<Vec<_>, _> =
            data.entries().map(|entry| entry.map(|entry| entry.payload.to_vec())).collect();
        Ok(Said {
            chain: FrameHeader::chain_value(bytes.first_chunk().ok_or(FrameFault::Short)?),
            previous: header.previous,
            first: header.first.value(),
            durable_offset: header.durable_offset,
            payloads: payloads?,
        })
    };
    every().ok()
}

fn write(said: &Said, place: Place) -> Vec<u8> {
    let header = frame_header(said.previous, said.first, said.durable_offset);
    encode_data_frame(header, life(place), place.offset, checksum(place), &said.payloads).0
}

fn read_seal(bytes: &[u8], place: Place) -> Option<SaidSeal> {
    let header = FrameHeader::decode(bytes, life(place), place.offset).ok()?;
    let seal = Seal::decode(bytes, &header).ok()?;
    let index = seal.index(bytes).ok()?;
    let point = |point: IndexPoint| [point.offset, point.first.value(), point.unix_ns];
    let points: Result<Vec<_>, _> = index.points().map(|row| row.map(point)).collect();
    Some(SaidSeal {
        previous_chain: header.previous,
        next: header.first.value(),
        durable_offset: header.durable_offset,
        ends: if seal.kind == SealKind::Final { 1 } else { 2 },
        previous_seal: seal.previous.unwrap_or(0),
        points: points.ok()?,
        sections: read_sections(index.sections())?,
    })
}

fn write_seal(said: &SaidSeal, place: Place) -> Vec<u8> {
    let point = |&[offset, first, unix_ns]: &[u64; 3]| IndexPoint { offset, first: sequence(first), unix_ns };
    let points: Vec<_> = said.points.iter().map(point).collect();
    let sections = write_sections(&said.sections);
    let mut frame = vec![0xee; seal_frame_bytes(points.len()) as usize + sections.len()];
    let header = frame_header(said.previous_chain, said.next, said.durable_offset);
    let kind = if said.ends == 1 { SealKind::Final } else { SealKind::Close };
    let previous = Some(said.previous_seal).filter(|&offset| offset != 0);
    let body = SealBody { kind, previous, points: &points, sections: &sections };
    encode_seal_frame(&mut frame, header, life(place), place.offset, &body);
    frame
}

fn read_extension(bytes: &[u8], place: Place) -> Option<SaidExtension> {
    let header = FrameHeader::decode(bytes, life(place), place.offset).ok()?;
    let FrameKind::Extension(kind) = header.kind else { return None };
    let body = bytes.get(32..32 + header.payload_bytes as usize).unwrap_or_default();
    header.vouches_for_body(bytes).then(|| SaidExtension {
        kind,
        previous: header.previous,
        next: header.first.value(),
        durable_offset: header.durable_offset,
        body: body.to_vec(),
    })
}

fn write_extension(said: &SaidExtension, place: Place) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::Extension(said.kind),
        payload_bytes: said.body.len() as u32,
        table_crc: ChecksumKind::Crc32.digest(&said.body) as u32,
        ..frame_header(said.previous, said.next, said.durable_offset)
    };
    [&header.encode(life(place), place.offset)[..], &said.body].concat()
}

fn read_slot(bytes: &[u8]) -> Option<SaidSlot> {
    let anchor = Anchor::decode(bytes).ok()?;
    let (active, salt) = anchor.active.map_or((0, 0), |(segment, salt)| (segment.value(), salt));
    let [durable, offset, next] =
        anchor.durable.map_or([0; 3], |point| [point.segment.value(), point.offset, point.next.value()]);
    let first = [anchor.generation, anchor.first.value(), anchor.first_segment.value(), active, salt];
    let second = [durable, offset, next, anchor.seal_offset.unwrap_or(0), anchor.next_segment_bytes];
    Some(SaidSlot {
        log: anchor.log.0,
        fields: [first, second].concat().try_into().expect("ten fields"),
        checksum: anchor.next_checksum.code(),
        sections: read_sections(Sections::new(Anchor::sections(bytes)))?,
    })
}

fn write_slot(said: &SaidSlot) -> Vec<u8> {
    let [generation, first, first_segment, active, salt, durable, offset, next, seal, next_segment_bytes] =
        said.fields;
    let anchor = Anchor {
        log: LogId(said.log),
        generation,
        first: sequence(first),
        first_segment: SegmentNumber::new(first_segment).expect("not zero"),
        active: SegmentNumber::new(active).map(|segment| (segment, salt)),
        durable: SegmentNumber::new(durable).map(|segment| DurablePoint {
            segment,
            offset,
            next: sequence(next),
        }),
        seal_offset: Some(seal).filter(|&offset| offset != 0),
        next_segment_bytes,
        next_checksum: ChecksumKind::from_code(said.checksum).expect("a kind of this build"),
    };
    anchor.encode(&write_sections(&said.sections)).to_vec()
}

/// All of them, if all are whole.
fn read_sections(sections: Sections<'_>) -> Option<Vec<SaidSection>> {
    sections.map(|section| section.ok().map(|section| (section.kind, section.body.to_vec()))).collect()
}

fn write_sections(sections: &[SaidSection]) -> Vec<u8> {
    let section = |(kind, body): &SaidSection| {
        let mut bytes = vec![0xee; section_bytes(body.len())];
        encode_section(&mut bytes, *kind, body);
        bytes
    };
    sections.iter().flat_map(section).collect()
}

/// By their codes, from 1.
const REASONS: [LinkReason; 6] = [
    LinkReason::Genesis,
    LinkReason::Rollover,
    LinkReason::Reopen,
    LinkReason::Torn,
    LinkReason::Truncate,
    LinkReason::Reset,
];

fn read_link(bytes: &[u8], place: Place) -> Option<SaidLink> {
    let (link, _) = Link::decode(bytes, life(place)).ok()?;
    let code = REASONS.iter().position(|&reason| reason == link.reason)? + 1;
    let before = link.predecessor.map_or([0; 3], |before| {
        [before.segment.value(), before.end_offset, before.seal_offset.unwrap_or(0)]
    });
    let Link { chain, next, begun_unix_ns, .. } = link;
    Some(SaidLink { chain, next: next.value(), before, begun_unix_ns, reason: code as u8 })
}

fn write_link(said: &SaidLink, place: Place) -> Vec<u8> {
    let [segment, end_offset, seal_offset] = said.before;
    let predecessor = SegmentNumber::new(segment).map(|segment| Predecessor {
        segment,
        end_offset,
        seal_offset: Some(seal_offset).filter(|&offset| offset != 0),
    });
    let link = Link {
        reason: REASONS[usize::from(said.reason) - 1],
        predecessor,
        chain: said.chain,
        next: sequence(said.next),
        begun_unix_ns: said.begun_unix_ns,
    };
    link.encode(life(place)).to_vec()
}

fn sequence(value: u64) -> Sequence {
    Sequence::try_from(value).expect("below 2^56")
}

/// What a frame says of its place; the encoders set the rest.
fn frame_header(previous: u32, first: u64, durable_offset: u64) -> FrameHeader {
    FrameHeader {
        previous,
        first: sequence(first),
        kind: FrameKind::Data,
        payload_bytes: 0,
        entries: 0,
        durable_offset,
        table_crc: 0,
    }
}

fn life(place: Place) -> Life {
    Life { segment: SegmentNumber::new(place.segment).expect("not zero"), salt: place.salt }
}

fn checksum(place: Place) -> ChecksumKind {
    match place.crc64 {
        #[cfg(feature = "crc64")]
        true => ChecksumKind::Crc64,
        _ => ChecksumKind::Crc32,
    }
}

/// With a durable point before the frame.
fn at(said: &Said, place: Place) -> Said {
    Said { durable_offset: durable_at(said.durable_offset, place), ..said.clone() }
}

/// One of the durable points that a frame may state here.
fn durable_at(any: u64, place: Place) -> u64 {
    let units = (place.offset - FIRST_FRAME_OFFSET) / 8;
    place.offset - any % (units + 1) * 8
}

fn any_place() -> impl Strategy<Value = Place> {
    let kinds = select(if cfg!(feature = "crc64") { vec![false, true] } else { vec![false] });
    (1..=u64::MAX, any::<u64>(), prop_oneof![1024..2048_u64, 1024..1_u64 << 32], kinds)
        .prop_map(|(segment, salt, unit, crc64)| Place { segment, salt, offset: unit * 8, crc64 })
}

fn any_sections() -> impl Strategy<Value = Vec<SaidSection>> {
    vec((any::<u32>(), vec(any::<u8>(), 0..40)), 0..4)
}

fn any_seal() -> impl Strategy<Value = SaidSeal> {
    let point = (8192..=u64::MAX, 0..1_u64 << 56, any::<u64>());
    let points = vec(point.prop_map(|(offset, first, unix_ns)| [offset, first, unix_ns]), 0..6);
    let place = (any::<u32>(), 0..1_u64 << 56, any::<u64>());
    (place, 1..=2_u8, any::<u64>(), points, any_sections()).prop_map(
        |((previous_chain, next, durable_offset), ends, previous_seal, points, sections)| SaidSeal {
            previous_chain,
            next,
            durable_offset,
            ends,
            previous_seal,
            points,
            sections,
        },
    )
}

fn any_extension() -> impl Strategy<Value = SaidExtension> {
    let body = vec(any::<[u8; 8]>(), 0..8);
    (128..=u8::MAX, any::<u32>(), 0..1_u64 << 56, any::<u64>(), body).prop_map(
        |(kind, previous, next, durable_offset, body)| SaidExtension {
            kind,
            previous,
            next,
            durable_offset,
            body: body.concat(),
        },
    )
}

fn any_slot() -> impl Strategy<Value = SaidSlot> {
    let checksums = select(if cfg!(feature = "crc64") { vec![1, 2] } else { vec![1] });
    let none_or =
        |any: [u64; 3], is_none: bool| if is_none { [0; 3] } else { [any[0].max(1), any[1], any[2]] };
    let nones = any::<(bool, bool)>();
    (any::<[u8; 16]>(), any::<[u64; 10]>(), nones, checksums, any_sections()).prop_map(
        move |(log, any, nones, checksum, sections)| {
            let below = |any: u64| any >> 8;
            let [active, salt, _] = none_or([any[3], any[4], 0], nones.0);
            let [durable, offset, next] = none_or([any[5], any[6], below(any[7])], nones.1);
            let first = [any[0], below(any[1]), any[2].max(1), active, salt];
            let second = [durable, offset, next, any[8], any[9]];
            let fields = [first, second].concat().try_into().expect("ten fields");
            SaidSlot { log, fields, checksum, sections }
        },
    )
}

fn any_link() -> impl Strategy<Value = SaidLink> {
    let before = (1..=u64::MAX, any::<u64>(), any::<u64>());
    (any::<u32>(), 0..1_u64 << 56, before, any::<u64>(), 1..=6_u8).prop_map(
        |(chain, next, (segment, end_offset, seal_offset), begun_unix_ns, reason)| {
            let before = if matches!(reason, 1 | 6) { [0; 3] } else { [segment, end_offset, seal_offset] };
            SaidLink { chain, next, before, begun_unix_ns, reason }
        },
    )
}

fn any_said() -> impl Strategy<Value = Said> {
    let first = prop_oneof![0..1_u64 << 55, (1_u64 << 56) - 30..(1 << 56) - 20];
    let payloads = vec(prop_oneof![vec(any::<u8>(), 0..40), Just(vec![])], 1..12);
    (any::<u32>(), first, any::<u64>(), payloads).prop_map(|(previous, first, durable_offset, payloads)| {
        Said { chain: 0, previous, first, durable_offset, payloads }
    })
}
