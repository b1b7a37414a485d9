//! A second implementation of the format, from `docs/format.md` alone, that shares no code with the
//! crate: checksums bit by bit, the mask, and one reader and one writer of DATA frames.
//!
//! Two readers that agree on whole and on damaged frames are less likely to share a mistake, and this
//! one is short enough to be translated into another language.
#![cfg(not(miri))] // Many thousands of cases; the crate has no unsafe code.
#![allow(clippy::cast_possible_truncation, reason = "test frames are a few KiB long")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wal_format::{
    ChecksumKind, DataFrame, FIRST_FRAME_OFFSET, FrameFault, FrameHeader, FrameKind, FrameLayout, Life,
    SegmentNumber, Sequence, encode_data_frame,
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

/// Where a frame stands, and how its payloads are checked.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    salt: u64,
    offset: u64,
    crc64: bool,
}

mod second {
    use super::{Place, Said};

    pub(crate) fn read(bytes: &[u8], place: Place) -> Option<Said> {
        let stated = number(bytes.get(0..4)?);
        let computed = crc32(bytes.get(4..32)?) ^ mask(place.salt, place.segment, place.offset);
        let kind = bytes[15];
        if stated != u64::from(computed) || kind != 1 {
            return None;
        }
        let payload_bytes = number(&bytes[16..20]) as usize;
        let count = number(&bytes[20..24]) as usize;
        let durable_offset = place.offset.checked_sub(8 * number(&bytes[24..28]))?;
        if !(1..=1 << 20).contains(&count) || durable_offset < 8192 {
            return None;
        }

        let row_bytes = if place.crc64 { 12 } else { 8 };
        let table = bytes.get(32..)?.get(..count * row_bytes)?;
        if number(&bytes[28..32]) != u64::from(crc32(table)) {
            return None;
        }
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
        let mut header = Vec::new();
        header.extend(said.previous.to_le_bytes());
        header.extend(&said.first.to_le_bytes()[..7]);
        header.push(1);
        header.extend((payloads.len() as u32).to_le_bytes());
        header.extend((said.payloads.len() as u32).to_le_bytes());
        header.extend((((place.offset - said.durable_offset) / 8) as u32).to_le_bytes());
        header.extend(crc32(&table).to_le_bytes());
        let crc = crc32(&header) ^ mask(place.salt, place.segment, place.offset);
        let mut frame = [&crc.to_le_bytes()[..], &header, &table, &payloads].concat();
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

    /// Damaged anywhere, with the checksums in front of the damage repaired or not, both refuse or both
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
    let payload_bytes: usize = said.payloads.iter().map(Vec::len).sum();
    let layout = FrameLayout::of(checksum(place), said.payloads.len() as u64, payload_bytes as u64);
    let mut frame = vec![0xee; layout.end as usize];
    let header = FrameHeader {
        previous: said.previous,
        first: Sequence::try_from(said.first).expect("below 2^56"),
        kind: FrameKind::Data,
        payload_bytes: 0,
        entries: 0,
        durable_offset: said.durable_offset,
        table_crc: 0,
    };
    let digests = said.payloads.iter().map(|payload| (&payload[..], checksum(place).digest(payload)));
    encode_data_frame(&mut frame, header, life(place), place.offset, checksum(place), digests);
    frame
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

/// The durable point, brought in front of the frame.
fn at(said: &Said, place: Place) -> Said {
    let units = (place.offset - FIRST_FRAME_OFFSET) / 8;
    let back = said.durable_offset % (units + 1) * 8;
    Said { durable_offset: place.offset - back, ..said.clone() }
}

fn any_place() -> impl Strategy<Value = Place> {
    let kinds = select(if cfg!(feature = "crc64") { vec![false, true] } else { vec![false] });
    (1..=u64::MAX, any::<u64>(), prop_oneof![1024..2048_u64, 1024..1_u64 << 32], kinds)
        .prop_map(|(segment, salt, unit, crc64)| Place { segment, salt, offset: unit * 8, crc64 })
}

fn any_said() -> impl Strategy<Value = Said> {
    let first = prop_oneof![0..1_u64 << 55, (1_u64 << 56) - 30..(1 << 56) - 20];
    let payloads = vec(prop_oneof![vec(any::<u8>(), 0..40), Just(vec![])], 1..12);
    (any::<u32>(), first, any::<u64>(), payloads).prop_map(|(previous, first, durable_offset, payloads)| {
        Said { chain: 0, previous, first, durable_offset, payloads }
    })
}
