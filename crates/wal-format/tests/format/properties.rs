//! What holds for every value and for any bytes: round trips, refusals, bounds.
//!
//! Flips are exhaustive for a list of shapes and random beyond it. A CRC-32 catches every single
//! flipped bit; where more than one bit is wrong, or a mask, a test has one chance in 2^32 to fail
//! for no reason.

use std::ops::Range;

use crate::frame::encode_data_frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wal_format::{
    ANCHOR_BYTES, Anchor, ChecksumKind, DataFrame, Digest, DurablePoint, FIRST_EXTENSION_KIND,
    FIRST_FRAME_OFFSET, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, HeaderFault,
    IndexPoint, Life, Link, LinkReason, LogId, MAX_FRAME_ENTRIES, MAX_NOTES_BYTES, MAX_SEGMENT_BYTES,
    NOTES_SECTION, OutOfRange, Predecessor, REQUIRED_FEATURES, SEAL_FIXED_BYTES, SECTION_HEADER_BYTES,
    SEGMENT_HEADER_BYTES, SLOT_BYTES, Seal, SealBody, SealKind, Section, Sections, SegmentHeader,
    SegmentName, SegmentNumber, Sequence, TableEntry, encode_seal_frame, encode_section, seal_frame_bytes,
    section_bytes,
};

// --- Flipped bits ----------------------------------------------------------------------------------

#[test]
fn every_single_bit_flip_in_a_frame_is_refused() {
    for checksum in checksums() {
        for lengths in SHAPES {
            let frame = Frame::sample(checksum, lengths);
            for bit in 0..frame.bytes.len() * 8 {
                frame.assert_flip_is_refused(bit);
            }
        }
    }
}

#[test]
fn every_single_bit_flip_in_a_link_is_refused() {
    for link in sample_links() {
        let bytes = link.encode(LIFE);
        for bit in 0..bytes.len() * 8 {
            let fault = Link::decode(&flipped(&bytes, bit), LIFE);
            let expected = if bit < FRAME_HEADER_BYTES * 8 { FrameFault::Header } else { FrameFault::Table };
            assert_eq!(fault, Err(expected), "bit {bit} of {link:?}");
        }
    }
}

#[test]
fn every_single_bit_flip_in_a_seal_is_refused() {
    for said in sample_seals() {
        let bytes = said.frame();
        assert_eq!(read_seal(&bytes, LIFE, SAMPLE_OFFSET), Ok(said.clone()));
        for bit in 0..bytes.len() * 8 {
            let fault = read_seal(&flipped(&bytes, bit), LIFE, SAMPLE_OFFSET);
            let expected = if bit < FRAME_HEADER_BYTES * 8 { FrameFault::Header } else { FrameFault::Table };
            assert_eq!(fault, Err(expected), "bit {bit} of {said:?}");
        }
    }
}

/// A bad index costs speed only: what a SEAL ends, and where, is known all the same.
#[test]
fn a_flipped_bit_in_points_or_sections_leaves_the_seal_valid() {
    for said in sample_seals() {
        let bytes = said.frame();
        for bit in (FRAME_HEADER_BYTES + SEAL_FIXED_BYTES) * 8..bytes.len() * 8 {
            let damaged = flipped(&bytes, bit);
            let header = FrameHeader::decode(&damaged, LIFE, SAMPLE_OFFSET).unwrap();
            let seal = Seal::decode(&damaged, &header).unwrap();
            assert_eq!((seal.kind, seal.previous), (said.kind, said.previous), "bit {bit}");
            assert_eq!(seal.index(&damaged).err(), Some(FrameFault::Table), "bit {bit}");
        }
    }
}

#[test]
fn every_single_bit_flip_in_an_extension_frame_is_refused() {
    for body_bytes in [0, 8, 40] {
        let frame = extension_frame(LIFE, SAMPLE_OFFSET, FIRST_EXTENSION_KIND, &vec![0x5a; body_bytes]);
        assert_eq!(check_extension(&frame), Ok(FIRST_EXTENSION_KIND));
        for bit in 0..frame.len() * 8 {
            let expected = if bit < FRAME_HEADER_BYTES * 8 { FrameFault::Header } else { FrameFault::Table };
            assert_eq!(
                check_extension(&flipped(&frame, bit)),
                Err(expected),
                "bit {bit} of {body_bytes} bytes"
            );
        }
    }
}

#[test]
fn nothing_follows_a_section_whose_padding_is_not_zero() {
    for body_bytes in [1, 4, 5, 7, 9, 47] {
        let bytes = section(NOTES_SECTION, &vec![0x5a; body_bytes]);
        let followed = [&bytes[..], &section(7, b"another")].concat();
        for bit in (SECTION_HEADER_BYTES + body_bytes) * 8..bytes.len() * 8 {
            let damaged = flipped(&followed, bit);
            let read: Vec<_> = Sections::new(&damaged).collect();
            assert_eq!(read, [Err(FrameFault::Padding)], "bit {bit} after {body_bytes} bytes");
        }
    }
}

#[test]
fn every_single_bit_flip_in_a_segment_header_is_refused() {
    for checksum in checksums() {
        let bytes = sample_header(checksum).encode();
        for bit in 0..bytes.len() * 8 {
            let expected = if bit < 64 { HeaderFault::Magic } else { HeaderFault::Checksum };
            assert_eq!(SegmentHeader::decode(&flipped(&bytes, bit)), Err(expected), "bit {bit}");
        }
    }
}

#[test]
fn every_single_bit_flip_in_an_anchor_is_refused() {
    for anchor in [sample_anchor(), Anchor { active: None, durable: None, ..sample_anchor() }] {
        for sections in [vec![], section(NOTES_SECTION, b"some notes")] {
            let bytes = anchor.encode(&sections);
            for bit in 0..(ANCHOR_BYTES + sections.len()) * 8 {
                let expected = if bit < 64 { HeaderFault::Magic } else { HeaderFault::Checksum };
                assert_eq!(Anchor::decode(&flipped(&bytes, bit)), Err(expected), "bit {bit}");
            }
        }
    }
}

/// A crash leaves any of the sectors of a write. With some sectors of the older write and some of the newer one it is no
/// slot, so that the sections that are read are those that were written with the fields.
#[test]
fn a_torn_slot_whose_sections_are_of_an_older_write_is_no_slot() {
    const SECTOR: usize = 512;
    let newer = sample_anchor();
    let older = Anchor { generation: newer.generation - 2, ..newer };
    let notes = |byte, bytes| section(NOTES_SECTION, &vec![byte; bytes]);
    for (older_notes, newer_notes) in [
        (vec![], notes(2, MAX_NOTES_BYTES)),
        (notes(1, 1500), notes(2, 1500)),
        (notes(1, MAX_NOTES_BYTES), notes(2, 400)),
        (notes(1, 400), notes(2, SLOT_BYTES - ANCHOR_BYTES - SECTION_HEADER_BYTES)),
    ] {
        let writes = [(older, &older_notes), (newer, &newer_notes)];
        let slots = writes.map(|(anchor, sections)| anchor.encode(sections));
        for reached in 0..1 << (SLOT_BYTES / SECTOR) {
            let mut torn = slots[0];
            for sector in (0..SLOT_BYTES / SECTOR).filter(|sector| reached >> sector & 1 == 1) {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                torn[range.clone()].copy_from_slice(&slots[1][range]);
            }
            let is_whole = |&index: &usize| {
                let end = ANCHOR_BYTES + writes[index].1.len();
                torn[..end] == slots[index][..end]
            };
            match (0..2).find(is_whole) {
                Some(index) => {
                    assert_eq!(Anchor::decode(&torn), Ok(writes[index].0), "sectors {reached:08b}");
                    assert_eq!(Anchor::sections(&torn), writes[index].1, "sectors {reached:08b}");
                }
                None => {
                    assert_eq!(Anchor::decode(&torn), Err(HeaderFault::Checksum), "sectors {reached:08b}");
                }
            }
        }
    }
}

// --- Wrong lengths and counts, under a header checksum that matches --------------------------------

/// The crate has no allocator: it is `no_std` and does not link `alloc`. What is left to show is that
/// nothing is read or promised beyond the bytes that are there.
#[test]
fn a_huge_length_is_refused() {
    for checksum in checksums() {
        let frame = Frame::sample(checksum, &[5, 0, 7]);
        for (entries, payload_bytes) in [
            (3, u32::MAX),
            (3, u32::MAX - 7),
            (3, 1 << 31),
            (3, 13 + 8),
            (MAX_FRAME_ENTRIES, 12),
            (MAX_FRAME_ENTRIES, u32::MAX),
        ] {
            let bytes = frame.with_header(|header| {
                header.entries = entries;
                header.payload_bytes = payload_bytes;
            });
            let fault = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
            assert_eq!(fault, (vec![], Err(FrameFault::Short)), "{entries} entries, {payload_bytes} bytes");
        }
    }
    for checksum in checksums() {
        let frame = Frame::sample(checksum, &[5, 0, 7]);
        for entries in [MAX_FRAME_ENTRIES + 1, u32::MAX / 12 + 1, 1 << 29, u32::MAX] {
            let bytes = frame.with_header(|header| header.entries = entries);
            let fault = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
            assert_eq!(fault, (vec![], Err(FrameFault::Header)), "{entries} entries");
        }
    }
    for payload_bytes in [u32::MAX, u32::MAX - 7, 1 << 31, 7, 0] {
        let link = repaired(&sample_links()[1].encode(LIFE), LIFE, FIRST_FRAME_OFFSET, |header| {
            header.payload_bytes = payload_bytes;
        });
        assert_eq!(Link::decode(&link, LIFE), Err(FrameFault::Table));
        let seal = seal_frame(LIFE, SAMPLE_OFFSET, &sample_points(3));
        let seal = repaired(&seal, LIFE, SAMPLE_OFFSET, |header| header.payload_bytes = payload_bytes);
        assert_eq!(read_seal(&seal, LIFE, SAMPLE_OFFSET), Err(FrameFault::Table));
    }
    for payload_bytes in [u32::MAX - 7, 1 << 31, 48, 32, 0] {
        let frame = extension_frame(LIFE, SAMPLE_OFFSET, FIRST_EXTENSION_KIND, &[0x5a; 40]);
        let frame = repaired(&frame, LIFE, SAMPLE_OFFSET, |header| header.payload_bytes = payload_bytes);
        assert_eq!(check_extension(&frame), Err(FrameFault::Table), "{payload_bytes} bytes");
    }
    for body_bytes in [u32::MAX, u32::MAX - 7, 1 << 31, 48, 41] {
        let mut bytes = section(NOTES_SECTION, &[0x5a; 40]);
        bytes[4..8].copy_from_slice(&u32::to_le_bytes(body_bytes));
        let read: Vec<_> = Sections::new(&bytes).collect();
        assert_eq!(read, [Err(FrameFault::Short)], "{body_bytes} bytes");
    }
}

#[test]
fn a_seal_that_counts_more_than_it_has_is_short() {
    let bytes = seal_frame(LIFE, SAMPLE_OFFSET, &sample_points(3));
    for (points, sections_bytes, fault) in [
        (4, 0, FrameFault::Short),
        (1 << 20, 0, FrameFault::Short),
        ((u32::MAX - 24) / 24, 0, FrameFault::Short),
        (3, 8, FrameFault::Short),
        (3, u32::MAX - 103, FrameFault::Short),
        // The body would not fit the 32 bits of its length.
        (u32::MAX, 0, FrameFault::Table),
        (3, u32::MAX - 95, FrameFault::Table),
        // Sections are whole.
        (3, 7, FrameFault::Table),
    ] {
        let mut forged = bytes.clone();
        forged[32..36].copy_from_slice(&u32::to_le_bytes(points));
        forged[52..56].copy_from_slice(&u32::to_le_bytes(sections_bytes));
        let forged = seal_resealed(&forged, |header| {
            header.payload_bytes = points.wrapping_mul(24).wrapping_add(24).wrapping_add(sections_bytes);
        });
        let read = read_seal(&forged, LIFE, SAMPLE_OFFSET);
        assert_eq!(read, Err(fault), "{points} points, {sections_bytes} bytes of sections");
    }
}

#[test]
fn a_seal_of_an_unknown_kind_is_refused() {
    let bytes = seal_frame(LIFE, SAMPLE_OFFSET, &sample_points(1));
    for (at, value, fault) in (0..=u8::MAX)
        .filter(|kind| !(1..=2).contains(kind))
        .map(|kind| (48, kind, FrameFault::Table))
        .chain((49..52).map(|at| (at, 1, FrameFault::Padding)))
    {
        let mut forged = bytes.clone();
        forged[at] = value;
        let forged = seal_resealed(&forged, |_| {});
        assert_eq!(read_seal(&forged, LIFE, SAMPLE_OFFSET), Err(fault), "{value} at {at}");
    }
}

#[test]
fn a_point_that_no_segment_has_is_refused_by_itself() {
    let points = sample_points(3);
    for (at, value, row) in
        [(56, 0, 0), (80, FIRST_FRAME_OFFSET - 1, 1), (112, 1 << 56, 2), (64, u64::MAX, 0)]
    {
        let mut bytes = seal_frame(LIFE, SAMPLE_OFFSET, &points);
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        let index_crc = crc32(&bytes[56..]);
        bytes[36..40].copy_from_slice(&index_crc.to_le_bytes());
        let bytes = seal_resealed(&bytes, |_| {});
        let header = FrameHeader::decode(&bytes, LIFE, SAMPLE_OFFSET).unwrap();
        let index = Seal::decode(&bytes, &header).and_then(|seal| seal.index(&bytes)).unwrap();
        let mut expected: Vec<_> = points.iter().copied().map(Ok).collect();
        expected[row] = Err(OutOfRange);
        assert!(index.points().eq(expected));
    }
}

/// Every length in the table takes every value around the true one and the extremes, and everything
/// that vouches for it is made to agree: the table's checksum, the header's, and the sum or not.
#[test]
fn one_bad_length_never_yields_wrong_bytes() {
    for checksum in checksums() {
        for lengths in SHAPES {
            let frame = Frame::sample(checksum, lengths);
            for (row, &right) in lengths.iter().enumerate() {
                let near = 0..=right as u32 + 40;
                let wrong = near.chain([1 << 16, 1 << 31, u32::MAX - 7, u32::MAX]);
                for length in wrong.filter(|&length| length != right as u32) {
                    for sum_agrees in [false, true] {
                        frame.assert_bad_length_is_refused(row, length, sum_agrees);
                    }
                }
            }
        }
    }
}

#[test]
fn two_lengths_that_trade_bytes_are_caught_by_the_first_payload() {
    for checksum in checksums() {
        let frame = Frame::sample(checksum, &[9, 4, 8]);
        let mut bytes = frame.bytes.clone();
        frame.set_length(&mut bytes, 0, 10);
        frame.set_length(&mut bytes, 1, 3);
        let bytes = frame.resealed(&bytes, |_| {});
        let read = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
        assert_eq!(read, (vec![], Err(FrameFault::Payload { entry: 0 })));
    }
}

#[test]
fn a_wrong_entry_count_is_refused() {
    for checksum in checksums() {
        for lengths in SHAPES {
            let frame = Frame::sample(checksum, lengths);
            let count = lengths.len() as u32;
            for entries in (0..count + 20).filter(|&entries| entries != count) {
                let bytes = frame.with_header(|header| header.entries = entries);
                // With more after the frame than it needs, so that its end is no help.
                let bytes = [&bytes[..], &[0xa5; 512]].concat();
                let expected = if entries == 0 { FrameFault::Header } else { FrameFault::Table };
                let read = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
                assert_eq!(read, (vec![], Err(expected)), "{entries} for {count}");
            }
        }
    }
}

#[test]
fn a_length_sum_that_the_header_does_not_state_is_refused() {
    for checksum in checksums() {
        let frame = Frame::sample(checksum, &[20, 0, 13]);
        for payload_bytes in (0..80).filter(|&payload_bytes| payload_bytes != 33) {
            let bytes = frame.with_header(|header| header.payload_bytes = payload_bytes);
            let bytes = [&bytes[..], &[0; 128]].concat();
            let read = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
            assert_eq!(read, (vec![], Err(FrameFault::Table)), "{payload_bytes}");
        }
    }
}

#[test]
fn padding_that_is_not_zero_is_refused_even_under_good_checksums() {
    let frame = Frame::sample(ChecksumKind::Crc32, &[1]);
    for at in 41..48 {
        let mut bytes = frame.bytes.clone();
        bytes[at] = 1;
        let read = read_data(&bytes, LIFE, SAMPLE_OFFSET, ChecksumKind::Crc32);
        assert_eq!(read, (vec![], Err(FrameFault::Padding)));
    }
}

#[test]
fn a_durable_point_outside_the_segment_is_refused() {
    let frame = Frame::sample(ChecksumKind::Crc32, &[3]);
    let units = ((SAMPLE_OFFSET - FIRST_FRAME_OFFSET) / FRAME_ALIGN) as u32;
    for (distance, accepted) in [(0, true), (units, true), (units + 1, false), (u32::MAX, false)] {
        let mut bytes = frame.bytes.clone();
        bytes[24..28].copy_from_slice(&distance.to_le_bytes());
        let crc = crc32(&bytes[4..32]) ^ LIFE.mask(SAMPLE_OFFSET);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        let header = FrameHeader::decode(&bytes, LIFE, SAMPLE_OFFSET);
        let durable = header.map(|header| header.durable_offset);
        let expected = SAMPLE_OFFSET.wrapping_sub(u64::from(distance) * FRAME_ALIGN);
        assert_eq!(durable, if accepted { Ok(expected) } else { Err(FrameFault::Header) });
    }
}

#[test]
fn an_unknown_kind_is_refused_under_a_good_checksum() {
    let data = Frame::sample(ChecksumKind::Crc32, &[3]).bytes;
    let seal = seal_frame(LIFE, SAMPLE_OFFSET, &[]);
    for kind in [0].into_iter().chain(4..FIRST_EXTENSION_KIND) {
        for frame in [&data, &seal] {
            let decoded = FrameHeader::decode(&with_kind(frame, kind), LIFE, SAMPLE_OFFSET);
            assert_eq!(decoded, Err(FrameFault::Header), "{kind}");
        }
    }
}

#[test]
fn a_kind_that_may_be_passed_over_holds_no_entries() {
    let data = Frame::sample(ChecksumKind::Crc32, &[3]).bytes;
    for kind in FIRST_EXTENSION_KIND..=u8::MAX {
        let decoded = FrameHeader::decode(&with_kind(&data, kind), LIFE, SAMPLE_OFFSET);
        assert_eq!(decoded, Err(FrameFault::Header), "{kind}");
        let frame = extension_frame(LIFE, SAMPLE_OFFSET, kind, b"anything");
        assert_eq!(check_extension(&frame), Ok(kind));
    }
}

/// Then the next frame begins where the body ends, and no byte of the frame is under no checksum.
#[test]
fn the_body_of_an_extension_is_a_multiple_of_eight_bytes() {
    for body_bytes in (0..=64).chain([u32::MAX - 7, u32::MAX]) {
        let header = FrameHeader {
            kind: FrameKind::Extension(FIRST_EXTENSION_KIND),
            payload_bytes: body_bytes,
            ..sample_frame_header()
        };
        let decoded = FrameHeader::decode(&header.encode(LIFE, SAMPLE_OFFSET), LIFE, SAMPLE_OFFSET);
        let aligned = body_bytes.is_multiple_of(8);
        assert_eq!(decoded, if aligned { Ok(header) } else { Err(FrameFault::Header) }, "{body_bytes} bytes");
    }
}

#[test]
fn no_writer_writes_an_extension_of_a_kind_that_readers_refuse() {
    for kind in 0..FIRST_EXTENSION_KIND {
        let header = FrameHeader { kind: FrameKind::Extension(kind), ..sample_frame_header() };
        let encoded = std::panic::catch_unwind(|| header.encode(LIFE, SAMPLE_OFFSET));
        assert!(encoded.is_err(), "{kind}");
    }
}

#[test]
fn a_link_that_contradicts_its_reason_is_refused() {
    for link in sample_links() {
        let mut bytes = link.encode(LIFE);
        let named = if link.reason.begins_log() { 6_u64 } else { 0 };
        bytes[32..40].copy_from_slice(&named.to_le_bytes());
        assert_eq!(Link::decode(&link_resealed(&bytes), LIFE), Err(FrameFault::Table), "{link:?}");

        let mut bytes = link.encode(LIFE);
        for reason in (0..=u8::MAX).filter(|reason| !(1..=6).contains(reason)) {
            bytes[64] = reason;
            assert_eq!(Link::decode(&link_resealed(&bytes), LIFE), Err(FrameFault::Table), "{reason}");
        }

        for padding in 65..72 {
            let mut bytes = link.encode(LIFE);
            bytes[padding] = 1;
            assert_eq!(Link::decode(&link_resealed(&bytes), LIFE), Err(FrameFault::Padding));
        }
    }
}

// --- Later versions, other builds ------------------------------------------------------------------

#[test]
fn a_later_version_is_told_apart_from_damage() {
    let (header, anchor) = sample_encoded();
    for (at, value, fault) in [
        (8, 2, HeaderFault::Version(2)),
        (9, 1, HeaderFault::Version(257)),
        (10, 4, HeaderFault::Features(4)),
        (10, 128, HeaderFault::Features(128)),
    ] {
        assert_eq!(SegmentHeader::decode(&with_byte(&header, at, value)), Err(fault));
        assert_eq!(Anchor::decode(&with_byte(&anchor, at, value)), Err(fault));
    }
    let kind = Err(HeaderFault::ChecksumKind(9));
    assert_eq!(SegmentHeader::decode(&with_byte(&header, 56, 9)), kind);
    assert_eq!(Anchor::decode(&with_byte(&anchor, 112, 9)).map(|_| ()), kind.map(|_| ()));
    // Version first: what the later version means by the checksum kind is not ours to judge.
    let header = with_byte(&with_byte(&header, 56, 9), 8, 2);
    assert_eq!(SegmentHeader::decode(&header), Err(HeaderFault::Version(2)));
}

#[test]
fn a_reader_passes_over_the_upper_eight_features_alone() {
    let (header, anchor) = sample_encoded();
    for bit in 0..16 {
        let (at, value) = (10 + bit / 8, 1 << (bit % 8));
        let fault = HeaderFault::Features(1 << bit);
        let known = REQUIRED_FEATURES & (1 << bit) == 0;
        assert_eq!(known, bit >= 8);
        let with_feature = SegmentHeader { features: 1 << bit, ..sample_header(ChecksumKind::Crc32) };
        let decoded = SegmentHeader::decode(&with_byte(&header, at, value));
        assert_eq!(decoded, if known { Ok(with_feature) } else { Err(fault) });
        let decoded = Anchor::decode(&with_byte(&anchor, at, value));
        assert_eq!(decoded, if known { Ok(sample_anchor()) } else { Err(fault) });
    }
    // Of both, the whole word is named.
    let header = with_byte(&with_byte(&header, 10, 1), 11, 1);
    assert_eq!(SegmentHeader::decode(&header), Err(HeaderFault::Features(0x0101)));
}

#[test]
fn a_header_and_a_slot_may_be_longer_than_what_is_known() {
    let (header, _) = sample_encoded();
    let slot = sample_anchor().encode(&[]);
    for length in (0..=5000).chain([u32::MAX]) {
        let with_length = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[12..16].copy_from_slice(&length.to_le_bytes());
            bytes
        };
        let bytes = with_length(&header);
        let bytes = with_byte(&bytes, 12, bytes[12]);
        let fits = (SEGMENT_HEADER_BYTES as u32..=4096).contains(&length);
        let expected = if fits {
            Ok(sample_header(ChecksumKind::Crc32))
        } else {
            Err(HeaderFault::Field("header length"))
        };
        assert_eq!(SegmentHeader::decode(&bytes), expected, "{length}");

        let bytes = slot_resealed(&with_length(&slot));
        let fits = (ANCHOR_BYTES as u32..=SLOT_BYTES as u32).contains(&length);
        let expected = if fits { Ok(sample_anchor()) } else { Err(HeaderFault::Field("slot length")) };
        assert_eq!(Anchor::decode(&bytes), expected, "{length}");
    }
}

#[test]
fn fields_that_no_writer_writes_are_refused_by_name() {
    let (header, anchor) = sample_encoded();
    for (at, value, field) in [(32, 0, "segment number"), (57, 2, "fresh")] {
        let fault = SegmentHeader::decode(&with_byte(&header, at, value));
        assert_eq!(fault, Err(HeaderFault::Field(field)));
    }
    for (at, value, field) in
        [(47, 1, "first sequence"), (48, 0, "first segment"), (95, 1, "durable sequence")]
    {
        assert_eq!(Anchor::decode(&with_byte(&anchor, at, value)), Err(HeaderFault::Field(field)));
    }
}

/// Without the feature, a segment of the other kind is refused by name and not misread.
#[cfg(not(feature = "crc64"))]
#[test]
fn a_build_without_crc64_says_so() {
    let header = with_byte(&sample_header(ChecksumKind::Crc32).encode(), 56, 2);
    assert_eq!(SegmentHeader::decode(&header), Err(HeaderFault::ChecksumKind(2)));
    assert_eq!(ChecksumKind::from_code(2), None);
    assert!("crc64".parse::<ChecksumKind>().is_err());
}

// --- What was never written ------------------------------------------------------------------------

#[test]
fn blank_space_is_never_a_frame_nor_a_header() {
    let blank = [0; 256];
    for offset in [0, 8, FIRST_FRAME_OFFSET, SAMPLE_OFFSET, u64::MAX] {
        assert_eq!(FrameHeader::decode(&blank, LIFE, offset), Err(FrameFault::Blank));
    }
    assert_eq!(Link::decode(&blank, LIFE), Err(FrameFault::Blank));
    assert_eq!(SegmentHeader::decode(&blank), Err(HeaderFault::Blank));
    assert_eq!(Anchor::decode(&blank), Err(HeaderFault::Blank));
}

#[test]
fn whatever_ends_early_is_short_at_every_length() {
    let (header, _) = sample_encoded();
    let notes = section(NOTES_SECTION, b"some notes");
    let slot = sample_anchor().encode(&notes);
    let slot_end = ANCHOR_BYTES + notes.len();
    let link = sample_links()[1].encode(LIFE);
    for len in 0..header.len() {
        assert_eq!(SegmentHeader::decode(&header[..len]), Err(HeaderFault::Short));
    }
    for len in 0..slot_end {
        assert_eq!(Anchor::decode(&slot[..len]), Err(HeaderFault::Short));
    }
    assert_eq!(Anchor::decode(&slot[..slot_end]), Ok(sample_anchor()));
    for len in 0..link.len() {
        assert_eq!(Link::decode(&link[..len], LIFE), Err(FrameFault::Short));
    }
    for said in sample_seals() {
        let seal = said.frame();
        for len in 0..seal.len() {
            assert_eq!(read_seal(&seal[..len], LIFE, SAMPLE_OFFSET), Err(FrameFault::Short));
        }
    }
    for len in 1..notes.len() {
        let read: Vec<_> = Sections::new(&notes[..len]).collect();
        assert_eq!(read, [Err(FrameFault::Short)]);
    }
    for checksum in checksums() {
        for lengths in SHAPES {
            let frame = Frame::sample(checksum, lengths);
            for len in 0..frame.bytes.len() {
                let read = read_data(&frame.bytes[..len], LIFE, SAMPLE_OFFSET, checksum);
                assert_eq!(read, (vec![], Err(FrameFault::Short)));
            }
        }
    }
}

#[test]
fn a_frame_of_another_kind_does_not_pass_for_a_link_a_seal_or_data() {
    let life = LIFE;
    let data = data_frame(life, FIRST_FRAME_OFFSET, ChecksumKind::Crc32, Sequence::ZERO, &[vec![7; 64]]);
    let link = sample_links()[1].encode(life);
    let seal = seal_frame(life, FIRST_FRAME_OFFSET, &sample_points(2));
    assert_eq!(Link::decode(&data, life), Err(FrameFault::Order));
    assert_eq!(Link::decode(&seal, life), Err(FrameFault::Order));
    assert_eq!(read_seal(&data, life, FIRST_FRAME_OFFSET), Err(FrameFault::Order));
    assert_eq!(read_seal(&link, life, FIRST_FRAME_OFFSET), Err(FrameFault::Order));
    let extension = extension_frame(life, FIRST_FRAME_OFFSET, FIRST_EXTENSION_KIND, &[7; 64]);
    assert_eq!(Link::decode(&extension, life), Err(FrameFault::Order));
    assert_eq!(read_seal(&extension, life, FIRST_FRAME_OFFSET), Err(FrameFault::Order));
    for other in [&link[..], &seal, &extension] {
        let header = FrameHeader::decode(other, life, FIRST_FRAME_OFFSET).unwrap();
        let data = DataFrame::decode(other, &header, ChecksumKind::Crc32);
        assert_eq!(data.map(|_| ()), Err(FrameFault::Table));
    }
}

// --- The end of the numbers, and the end of a frame ------------------------------------------------

#[test]
fn entries_end_after_the_first_damaged_one() {
    for checksum in checksums() {
        let frame = Frame::sample(checksum, &[3, 5, 0, 9, 2]);
        for damaged in [0, 1, 3, 4] {
            let start = frame.payload(damaged).start;
            let bytes = flipped(&frame.bytes, start * 8 + 3);
            let header = FrameHeader::decode(&bytes, LIFE, SAMPLE_OFFSET).unwrap();
            let mut entries = DataFrame::decode(&bytes, &header, checksum).unwrap().entries();
            for payload in &frame.payloads[..damaged] {
                assert_eq!(entries.next().unwrap().unwrap().payload, payload);
            }
            assert_eq!(entries.next(), Some(Err(FrameFault::Payload { entry: damaged as u32 })));
            assert_eq!((entries.next(), entries.next()), (None, None));
        }
    }
}

#[test]
fn numbers_end_at_two_to_the_56() {
    let checksum = ChecksumKind::Crc32;
    for (left, count, fits) in [(0, 1, 1), (0, 2, 1), (1, 2, 2), (1, 3, 2), (7, 8, 8), (7, 9, 8)] {
        let first = Sequence::try_from(Sequence::MAX.value() - left).unwrap();
        let payloads = vec![vec![1]; count];
        let bytes = data_frame(LIFE, SAMPLE_OFFSET, checksum, first, &payloads);
        let header = FrameHeader::decode(&bytes, LIFE, SAMPLE_OFFSET).unwrap();
        assert_eq!((header.first, header.kind), (first, FrameKind::Data));
        assert_eq!(header.next_sequence(), first.advance(count as u64));
        let (entries, end) = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
        let numbers: Vec<_> = entries.iter().map(|(sequence, _)| sequence.value()).collect();
        let expected: Vec<_> = (first.value()..=Sequence::MAX.value()).take(fits).collect();
        assert_eq!(numbers, expected);
        assert_eq!(end, if fits == count { Ok(()) } else { Err(FrameFault::Table) });
    }
}

// --- Any values, any bytes -------------------------------------------------------------------------

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn data_frames_round_trip(
        (life, offset, durable) in any_place(), checksum in any_checksum(), first in any_sequence(),
        previous: u32, payloads in any_payloads(),
    ) {
        let header = FrameHeader { previous, first, durable_offset: durable, ..sample_frame_header() };
        let (bytes, chain) = encode_data_frame(header, life, offset, checksum, &payloads);

        let decoded = FrameHeader::decode(&bytes, life, offset).unwrap();
        let payload_bytes = payloads.iter().map(Vec::len).sum::<usize>() as u32;
        prop_assert_eq!(decoded, FrameHeader {
            kind: FrameKind::Data, entries: payloads.len() as u32, payload_bytes,
            table_crc: decoded.table_crc, ..header
        });
        prop_assert_eq!(chain.to_le_bytes(), &bytes[..4]);
        prop_assert_eq!(decoded.layout(checksum).end, bytes.len() as u64);
        prop_assert_eq!(decoded.encode(life, offset), &bytes[..32]);
        let (entries, end) = read_data(&bytes, life, offset, checksum);
        for (index, (sequence, payload)) in entries.iter().enumerate() {
            prop_assert_eq!(Some(*sequence), first.advance(index as u64));
            prop_assert_eq!(payload, &payloads[index]);
        }
        let room = Sequence::MAX.distance_from(first) + 1;
        prop_assert_eq!(entries.len() as u64, room.min(payloads.len() as u64));
        prop_assert_eq!(end.is_ok(), entries.len() == payloads.len());
    }

    #[test]
    fn links_round_trip(life in any_life(), link in any_link()) {
        let bytes = link.encode(life);
        let (decoded, chain) = Link::decode(&bytes, life).unwrap();
        prop_assert_eq!(decoded, link);
        prop_assert_eq!(chain.to_le_bytes(), &bytes[..4]);
        let header = FrameHeader::decode(&bytes, life, FIRST_FRAME_OFFSET).unwrap();
        prop_assert_eq!(header.durable_offset, FIRST_FRAME_OFFSET);
        prop_assert_eq!(FIRST_FRAME_OFFSET + header.layout(ChecksumKind::Crc32).end, Link::end_offset());
    }

    #[test]
    fn seals_round_trip((life, offset, durable) in any_place(), next in any_sequence(), said in any_seal()) {
        let sections = said.section_bytes();
        let mut bytes = vec![0xee; said.frame_bytes()];
        let header = FrameHeader { first: next, durable_offset: durable, ..sample_frame_header() };
        let chain = encode_seal_frame(&mut bytes, header, life, offset, &said.body(&sections));
        prop_assert_eq!(chain.to_le_bytes(), &bytes[..4]);
        let header = FrameHeader::decode(&bytes, life, offset).unwrap();
        prop_assert_eq!((header.first, header.durable_offset), (next, durable));
        prop_assert_eq!(header.next_sequence(), Some(next));
        prop_assert_eq!(header.layout(ChecksumKind::Crc32).end, bytes.len() as u64);
        let seal = Seal::decode(&bytes, &header).unwrap();
        prop_assert_eq!(seal.points() as usize, said.points.len());
        prop_assert_eq!(seal.points_bytes(), said.points.len() * 24);
        prop_assert_eq!(seal.index_bytes(), said.points.len() * 24 + sections.len());
        prop_assert_eq!(seal.index_crc(), crc32(&bytes[56..]));
        prop_assert_eq!(read_seal(&bytes, life, offset), Ok(said));
    }

    #[test]
    fn extension_frames_round_trip(
        (life, offset, durable) in any_place(), first in any_sequence(), kind in FIRST_EXTENSION_KIND..,
        previous: u32, body in vec(any::<[u8; 8]>(), 0..13),
    ) {
        let body = body.concat();
        let header = FrameHeader {
            previous, first, kind: FrameKind::Extension(kind), payload_bytes: body.len() as u32,
            entries: 0, durable_offset: durable, table_crc: crc32(&body),
        };
        let bytes = [&header.encode(life, offset)[..], &body].concat();
        prop_assert_eq!(FrameHeader::decode(&bytes, life, offset), Ok(header));
        prop_assert_eq!(header.next_sequence(), Some(first));
        prop_assert_eq!(header.layout(ChecksumKind::Crc32).end, bytes.len() as u64);
        prop_assert!(header.vouches_for_body(&bytes));
        prop_assert!(body.is_empty() || !header.vouches_for_body(&bytes[..bytes.len() - 1]));
    }

    #[test]
    fn sections_round_trip(sections in any_sections()) {
        let bytes = encoded_sections(&sections);
        prop_assert_eq!(bytes.len() as u64 % FRAME_ALIGN, 0);
        prop_assert_eq!(read_sections(Sections::new(&bytes)), Ok(sections));
    }

    /// In the fixed part the SEAL is none, after it the index is bad.
    #[test]
    fn any_single_bit_flip_in_any_seal_is_refused(said in any_seal(), bit: Index) {
        let bytes = said.frame();
        let bit = bit.index(bytes.len() * 8);
        let expected = if bit < FRAME_HEADER_BYTES * 8 { FrameFault::Header } else { FrameFault::Table };
        prop_assert_eq!(read_seal(&flipped(&bytes, bit), LIFE, SAMPLE_OFFSET), Err(expected));
    }

    /// A section that is handed out lies in the bytes, after the one before it; what stands before arbitrary bytes is read.
    #[test]
    fn arbitrary_bytes_as_sections_stay_in_bounds(
        whole in any_sections(), rest in vec(prop_oneof![1 => any::<u8>(), 4 => Just(0)], 0..300),
    ) {
        let bytes = [&encoded_sections(&whole)[..], &rest].concat();
        let mut at = bytes.as_ptr().addr();
        for section in Sections::new(&bytes).map_while(Result::ok) {
            prop_assert_eq!(section.body.as_ptr().addr(), at + SECTION_HEADER_BYTES);
            at += section_bytes(section.body.len());
        }
        prop_assert!(at <= bytes.as_ptr().addr() + bytes.len());
        let read: Vec<_> = Sections::new(&bytes).take(whole.len()).collect();
        let written: Vec<_> = whole.iter().map(|(kind, body)| Ok(Section { kind: *kind, body })).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn segment_headers_round_trip(header in any_header()) {
        prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn anchors_round_trip(anchor in any_anchor(), sections in any_sections()) {
        let encoded = encoded_sections(&sections);
        let slot = anchor.encode(&encoded);
        prop_assert_eq!(Anchor::decode(&slot), Ok(anchor));
        prop_assert_eq!(Anchor::sections(&slot), &encoded);
        prop_assert_eq!(read_sections(Sections::new(Anchor::sections(&slot))), Ok(sections));
        prop_assert!(slot[ANCHOR_BYTES + encoded.len()..].iter().all(|&byte| byte == 0));
        // What a writer hands on is the same again.
        prop_assert_eq!(anchor.encode(Anchor::sections(&slot)), slot);
    }

    #[test]
    fn sections_of_arbitrary_slots_stay_in_bounds(slot in vec(any::<u8>(), 0..SLOT_BYTES + 100)) {
        let sections = Anchor::sections(&slot);
        prop_assert!(sections.is_empty() || ANCHOR_BYTES + sections.len() <= slot.len().min(SLOT_BYTES));
    }

    #[test]
    fn table_rows_round_trip(checksum in any_checksum(), length: u32, digest: u64) {
        let digest = if checksum.width() == 4 { digest >> 32 } else { digest };
        let row = TableEntry { length, digest }.encode();
        prop_assert_eq!(TableEntry::decode(&row[..TableEntry::bytes(checksum)], checksum), TableEntry { length, digest });
    }

    #[test]
    fn names_round_trip(number in any_segment()) {
        let name = SegmentName::of(number);
        prop_assert_eq!(SegmentName::parse(name.as_str()), Some(number));
    }

    #[test]
    fn a_name_that_parses_is_the_name_of_its_number(text in "[0-9]{19,21}[.](wal|WAL|wal[.]bak)|[0-9+-]{20}[.]wal") {
        if let Some(number) = SegmentName::parse(&text) {
            prop_assert_eq!(SegmentName::of(number).to_string(), text);
        }
    }

    #[test]
    fn a_digest_does_not_depend_on_the_pieces(checksum in any_checksum(), pieces in any_payloads()) {
        let mut digest = Digest::new(checksum);
        pieces.iter().for_each(|piece| digest.update(piece));
        prop_assert_eq!(digest.finish(), checksum.digest(&pieces.concat()));
    }

    #[test]
    fn any_single_bit_flip_in_any_frame_is_refused(
        checksum in any_checksum(), payloads in any_payloads(), bit: Index,
    ) {
        let frame = Frame::of(checksum, payloads);
        frame.assert_flip_is_refused(bit.index(frame.bytes.len() * 8));
    }

    #[test]
    fn any_damage_in_any_frame_yields_nothing_but_what_was_written(
        checksum in any_checksum(), payloads in any_payloads(), at: Index, damage in vec(any::<u8>(), 1..600),
    ) {
        let frame = Frame::of(checksum, payloads);
        let mut bytes = frame.bytes.clone();
        let at = at.index(bytes.len());
        for (byte, damage) in bytes[at..].iter_mut().zip(damage) {
            *byte = damage;
        }
        let (entries, end) = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
        frame.assert_prefix(&entries);
        prop_assert_eq!(end.is_ok(), bytes == frame.bytes);
    }

    #[test]
    fn any_single_bit_flip_in_a_header_or_anchor_is_refused(
        header in any_header(), anchor in any_anchor(), sections in any_sections(), bit: Index,
    ) {
        let header = flipped(&header.encode(), bit.index(SEGMENT_HEADER_BYTES * 8));
        prop_assert!(SegmentHeader::decode(&header).is_err());
        let sections = encoded_sections(&sections);
        let slot = flipped(&anchor.encode(&sections), bit.index((ANCHOR_BYTES + sections.len()) * 8));
        prop_assert!(Anchor::decode(&slot).is_err());
    }

    #[test]
    fn a_frame_is_nothing_at_another_place_or_in_another_life(
        (life, offset, _) in any_place(), other in any_life(), moved in any_offset(), link in any_link(),
    ) {
        let bytes = data_frame(life, offset, ChecksumKind::Crc32, Sequence::ZERO, &[vec![1, 2, 3]]);
        let link = link.encode(life);
        for other in [Life { salt: other.salt, ..life }, Life { segment: other.segment, ..life }, other] {
            if other != life {
                prop_assert_eq!(FrameHeader::decode(&bytes, other, offset), Err(FrameFault::Header));
                prop_assert_eq!(Link::decode(&link, other), Err(FrameFault::Header));
            }
        }
        for moved in [moved, offset + 8, offset.wrapping_sub(8), offset ^ 4096, offset + 1] {
            if moved != offset {
                prop_assert_eq!(FrameHeader::decode(&bytes, life, moved), Err(FrameFault::Header));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_decode_to_nothing_and_never_panic(
        bytes in vec(prop_oneof![3 => any::<u8>(), 1 => Just(0), 1 => 1..4_u8], 0..400),
        life in any_life(), offset: u64, checksum in any_checksum(),
    ) {
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
        prop_assert!(Anchor::decode(&bytes).is_err());
        prop_assert!(Link::decode(&bytes, life).is_err());
        prop_assert!(FrameHeader::decode(&bytes, life, offset).is_err());
        prop_assert!(SegmentName::parse(&String::from_utf8_lossy(&bytes)).is_none());
        if bytes.len() >= TableEntry::bytes(checksum) {
            prop_assert_eq!(TableEntry::decode(&bytes, checksum).length.to_le_bytes(), &bytes[..4]);
        }
    }

    /// Every field of a header may be anything, under a checksum that matches.
    #[test]
    fn a_genuine_header_before_arbitrary_bytes_stays_in_bounds(
        (life, offset, _) in any_place(), header in any_frame_header(), table_agrees: bool,
        body in vec(prop_oneof![1 => any::<u8>(), 4 => Just(0)], 0..300), checksum in any_checksum(),
    ) {
        let mut header = FrameHeader { durable_offset: offset, ..header };
        let table_end = header.layout(checksum).payload_start as usize - FRAME_HEADER_BYTES;
        if let (true, Some(table)) = (table_agrees, body.get(..table_end)) {
            header.table_crc = crc32(table);
            let rows = table.chunks_exact(TableEntry::bytes(checksum));
            let sum: u64 = rows.map(|row| u64::from(TableEntry::decode(row, checksum).length)).sum();
            header.payload_bytes = u32::try_from(sum).unwrap_or(header.payload_bytes);
        }
        let bytes = [&header.encode(life, offset)[..], &body].concat();
        let is_extension = matches!(header.kind, FrameKind::Extension(_));
        let possible = (header.kind == FrameKind::Data) == (header.entries > 0) && header.entries <= MAX_FRAME_ENTRIES
            && (!is_extension || header.payload_bytes.is_multiple_of(8));
        let expected = if possible { Ok(header) } else { Err(FrameFault::Header) };
        prop_assert_eq!(FrameHeader::decode(&bytes, life, offset), expected);
        assert_in_bounds(&bytes, &header, checksum);
        prop_assert!(!header.vouches_for_body(&bytes) || header.payload_bytes as usize <= body.len());
        if let Ok(seal) = Seal::decode(&bytes, &header)
            && let Ok(index) = seal.index(&bytes)
        {
            prop_assert_eq!(index.points().len(), seal.points() as usize);
            prop_assert!(FRAME_HEADER_BYTES + SEAL_FIXED_BYTES + seal.index_bytes() <= bytes.len());
        }
    }

    /// The same for the fixed part of a SEAL, and for an index under a checksum that matches.
    #[test]
    fn a_genuine_seal_before_arbitrary_bytes_stays_in_bounds(
        points in 0..8_u32, sections_bytes in prop_oneof![4 => (0..25_u32).prop_map(|units| units * 8), 1 => 0..200_u32],
        fixed in any::<(u32, u64)>(), index_agrees: bool, rest in vec(any::<u8>(), 0..400),
    ) {
        let index_bytes = points as usize * 24 + sections_bytes as usize;
        let index_crc = rest.get(..index_bytes).filter(|_| index_agrees).map_or(fixed.0, crc32);
        let mut body = [&points.to_le_bytes()[..], &index_crc.to_le_bytes(), &fixed.1.to_le_bytes()].concat();
        body.extend([1, 0, 0, 0]);
        body.extend(sections_bytes.to_le_bytes());
        let header = FrameHeader {
            kind: FrameKind::Seal, payload_bytes: 24 + points * 24 + sections_bytes,
            table_crc: crc32(&body), ..sample_frame_header()
        };
        let bytes = [&header.encode(LIFE, SAMPLE_OFFSET)[..], &body, &rest].concat();
        let seal = Seal::decode(&bytes, &header);
        prop_assert_eq!(seal.is_ok(), u64::from(sections_bytes).is_multiple_of(FRAME_ALIGN));
        if let Ok(seal) = seal {
            let index = seal.index(&bytes);
            prop_assert_eq!(index.err() == Some(FrameFault::Short), index_bytes > rest.len());
            prop_assert!(index.is_ok() || !index_agrees || index_bytes > rest.len());
            prop_assert_eq!(seal.previous, Some(fixed.1).filter(|&offset| offset != 0));
            if let Ok(index) = index {
                prop_assert_eq!(index.points().len(), points as usize);
                let sections = &rest[seal.points_bytes()..index_bytes];
                prop_assert!(index.sections().eq(Sections::new(sections)));
            }
        }
    }

    #[test]
    fn what_stands_after_a_frame_does_not_matter(
        checksum in any_checksum(), payloads in any_payloads(), after in vec(any::<u8>(), 0..100),
    ) {
        let frame = Frame::of(checksum, payloads);
        let bytes = [&frame.bytes[..], &after].concat();
        let (entries, end) = read_data(&bytes, LIFE, SAMPLE_OFFSET, checksum);
        frame.assert_prefix(&entries);
        prop_assert_eq!((entries.len(), end), (frame.payloads.len(), Ok(())));
    }

    #[test]
    fn a_frame_cut_anywhere_is_short(checksum in any_checksum(), payloads in any_payloads(), cut: Index) {
        let frame = Frame::of(checksum, payloads);
        let len = cut.index(frame.bytes.len());
        let read = read_data(&frame.bytes[..len], LIFE, SAMPLE_OFFSET, checksum);
        prop_assert_eq!(read, (vec![], Err(FrameFault::Short)));
    }
}

// --- A frame, and what was put into it -------------------------------------------------------------

/// Lengths of payloads: with and without padding, with empty entries at every place.
const SHAPES: [&[usize]; 10] = [
    &[0],
    &[1],
    &[8],
    &[7, 1],
    &[3, 0, 5],
    &[0, 0, 0],
    &[0, 12],
    &[33, 0, 0],
    &[100, 1, 28],
    &[4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4],
];

const LIFE: Life = Life { segment: SegmentNumber::FIRST, salt: 0x0123_4567_89ab_cdef };
const SAMPLE_OFFSET: u64 = FIRST_FRAME_OFFSET + 4096;

/// A DATA frame at [`SAMPLE_OFFSET`] of [`LIFE`], whose first entry has number 0.
struct Frame {
    checksum: ChecksumKind,
    payloads: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Frame {
    fn of(checksum: ChecksumKind, payloads: Vec<Vec<u8>>) -> Frame {
        let bytes = data_frame(LIFE, SAMPLE_OFFSET, checksum, Sequence::ZERO, &payloads);
        Frame { checksum, payloads, bytes }
    }

    fn sample(checksum: ChecksumKind, lengths: &[usize]) -> Frame {
        let mut bytes = (0..=250_u8).cycle().skip(97);
        Frame::of(checksum, lengths.iter().map(|&length| bytes.by_ref().take(length).collect()).collect())
    }

    /// Where the payload of this entry stands.
    fn payload(&self, entry: usize) -> Range<usize> {
        let before: usize = self.payloads[..entry].iter().map(Vec::len).sum();
        let start = FRAME_HEADER_BYTES + self.payloads.len() * TableEntry::bytes(self.checksum) + before;
        start..start + self.payloads[entry].len()
    }

    /// Refused, for the reason that the place of the bit gives, and nothing invented on the way.
    fn assert_flip_is_refused(&self, bit: usize) {
        let (entries, end) = read_data(&flipped(&self.bytes, bit), LIFE, SAMPLE_OFFSET, self.checksum);
        let at = bit / 8;
        let hit = (0..self.payloads.len()).find(|&entry| self.payload(entry).contains(&at));
        let expected = if at < FRAME_HEADER_BYTES {
            FrameFault::Header
        } else if at < self.payload(0).start {
            FrameFault::Table
        } else if let Some(entry) = hit {
            FrameFault::Payload { entry: entry as u32 }
        } else {
            FrameFault::Padding
        };
        assert_eq!(end, Err(expected), "bit {bit}");
        assert_eq!(entries.len(), hit.unwrap_or(0), "bit {bit}");
        self.assert_prefix(&entries);
    }

    /// The table's checksum and the header's agree with the wrong length, and the sum too if asked; only
    /// the payloads' own checksums are left to notice.
    fn assert_bad_length_is_refused(&self, row: usize, length: u32, sum_agrees: bool) {
        let mut bytes = self.bytes.clone();
        self.set_length(&mut bytes, row, length);
        let bytes = self.resealed(&bytes, |header| {
            let others = header.payload_bytes - self.payloads[row].len() as u32;
            if sum_agrees {
                header.payload_bytes = others.saturating_add(length);
            }
        });
        for after in [[0; 64], [0xa5; 64]] {
            let bytes = [&bytes[..], &after].concat();
            let (entries, end) = read_data(&bytes, LIFE, SAMPLE_OFFSET, self.checksum);
            assert!(end.is_err(), "entry {row} with length {length}");
            assert!(entries.len() <= row, "entry {row} with length {length}");
            self.assert_prefix(&entries);
        }
    }

    fn set_length(&self, bytes: &mut [u8], row: usize, length: u32) {
        let at = FRAME_HEADER_BYTES + row * TableEntry::bytes(self.checksum);
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// This frame with another header, whose checksum matches.
    fn with_header(&self, change: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
        repaired(&self.bytes, LIFE, SAMPLE_OFFSET, change)
    }

    /// `bytes`, with checksums of table and header that match.
    fn resealed(&self, bytes: &[u8], change: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
        let table_crc = crc32(&bytes[FRAME_HEADER_BYTES..self.payload(0).start]);
        repaired(bytes, LIFE, SAMPLE_OFFSET, |header| {
            header.table_crc = table_crc;
            change(header);
        })
    }

    fn assert_prefix(&self, entries: &[Numbered]) {
        assert!(entries.len() <= self.payloads.len());
        for (index, (sequence, payload)) in entries.iter().enumerate() {
            assert_eq!((sequence.value(), payload), (index as u64, &self.payloads[index]));
        }
    }
}

/// What a SEAL says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sealed {
    kind: SealKind,
    previous: Option<u64>,
    points: Vec<IndexPoint>,
    sections: Written,
}

impl Sealed {
    fn section_bytes(&self) -> Vec<u8> {
        encoded_sections(&self.sections)
    }

    fn body<'a>(&'a self, sections: &'a [u8]) -> SealBody<'a> {
        SealBody { kind: self.kind, previous: self.previous, points: &self.points, sections }
    }

    /// Where the sections begin in the frame.
    fn sections_start(&self) -> usize {
        seal_frame_bytes(self.points.len()) as usize
    }

    fn frame_bytes(&self) -> usize {
        self.sections_start() + self.section_bytes().len()
    }

    /// The frame at [`SAMPLE_OFFSET`] of [`LIFE`].
    fn frame(&self) -> Vec<u8> {
        let mut bytes = vec![0xee; self.frame_bytes()];
        let header = FrameHeader { durable_offset: SAMPLE_OFFSET, ..sample_frame_header() };
        encode_seal_frame(&mut bytes, header, LIFE, SAMPLE_OFFSET, &self.body(&self.section_bytes()));
        bytes
    }
}

type Numbered = (Sequence, Vec<u8>);

/// The entries before the first fault, and the fault.
fn read_data(
    bytes: &[u8],
    life: Life,
    offset: u64,
    checksum: ChecksumKind,
) -> (Vec<Numbered>, Result<(), FrameFault>) {
    let mut read = Vec::new();
    let mut every = || {
        let header = FrameHeader::decode(bytes, life, offset)?;
        for entry in DataFrame::decode(bytes, &header, checksum)?.entries() {
            let entry = entry?;
            read.push((entry.sequence, entry.payload.to_vec()));
        }
        Ok(())
    };
    let end = every();
    (read, end)
}

fn read_seal(bytes: &[u8], life: Life, offset: u64) -> Result<Sealed, FrameFault> {
    let header = FrameHeader::decode(bytes, life, offset)?;
    let seal = Seal::decode(bytes, &header)?;
    let index = seal.index(bytes)?;
    let points = index.points().map(|point| point.expect("a point inside a segment")).collect();
    let sections = read_sections(index.sections())?;
    Ok(Sealed { kind: seal.kind, previous: seal.previous, points, sections })
}

/// The kind of the extension frame at [`SAMPLE_OFFSET`] of [`LIFE`].
fn check_extension(bytes: &[u8]) -> Result<u8, FrameFault> {
    let header = FrameHeader::decode(bytes, LIFE, SAMPLE_OFFSET)?;
    let FrameKind::Extension(kind) = header.kind else { return Err(FrameFault::Order) };
    if header.vouches_for_body(bytes) { Ok(kind) } else { Err(FrameFault::Table) }
}

/// Types and bodies.
type Written = Vec<(u32, Vec<u8>)>;

fn read_sections(sections: Sections<'_>) -> Result<Written, FrameFault> {
    sections.map(|section| section.map(|section| (section.kind, section.body.to_vec()))).collect()
}

/// Every payload that is handed out lies in the frame that its header describes, in order.
fn assert_in_bounds(bytes: &[u8], header: &FrameHeader, checksum: ChecksumKind) {
    let Ok(data) = DataFrame::decode(bytes, header, checksum) else { return };
    let layout = header.layout(checksum);
    assert!(layout.end <= bytes.len() as u64);
    let mut at = bytes.as_ptr().addr() + layout.payload_start as usize;
    for entry in data.entries().map_while(Result::ok) {
        assert_eq!(entry.payload.as_ptr().addr(), at);
        at += entry.payload.len();
    }
    assert!(at <= bytes.as_ptr().addr() + layout.payload_end as usize);
}

fn data_frame(
    life: Life,
    offset: u64,
    checksum: ChecksumKind,
    first: Sequence,
    payloads: &[Vec<u8>],
) -> Vec<u8> {
    let header = FrameHeader { first, durable_offset: offset, ..sample_frame_header() };
    encode_data_frame(header, life, offset, checksum, payloads).0
}

fn seal_frame(life: Life, offset: u64, points: &[IndexPoint]) -> Vec<u8> {
    let mut bytes = vec![0xee; seal_frame_bytes(points.len()) as usize];
    let header = FrameHeader { durable_offset: offset, ..sample_frame_header() };
    let body = SealBody { kind: SealKind::Final, previous: None, points, sections: &[] };
    encode_seal_frame(&mut bytes, header, life, offset, &body);
    bytes
}

/// `body` has no padding: its length is a multiple of [`FRAME_ALIGN`].
fn extension_frame(life: Life, offset: u64, kind: u8, body: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::Extension(kind),
        payload_bytes: body.len() as u32,
        durable_offset: offset,
        table_crc: crc32(body),
        ..sample_frame_header()
    };
    [&header.encode(life, offset)[..], body].concat()
}

fn section(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xee; section_bytes(body.len())];
    encode_section(&mut bytes, kind, body);
    bytes
}

fn encoded_sections(sections: &Written) -> Vec<u8> {
    sections.iter().flat_map(|(kind, body)| section(*kind, body)).collect()
}

/// A frame with a changed header, whose checksum matches.
fn repaired(frame: &[u8], life: Life, offset: u64, change: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
    let mut header = FrameHeader::decode(frame, life, offset).expect("a frame to begin with");
    change(&mut header);
    let mut frame = frame.to_vec();
    frame[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode(life, offset));
    frame
}

fn link_resealed(bytes: &[u8]) -> Vec<u8> {
    repaired(bytes, LIFE, FIRST_FRAME_OFFSET, |header| header.table_crc = crc32(&bytes[32..]))
}

/// A SEAL with a changed header, whose checksum and that of the fixed part match.
fn seal_resealed(bytes: &[u8], change: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
    repaired(bytes, LIFE, SAMPLE_OFFSET, |header| {
        header.table_crc = crc32(&bytes[32..56]);
        change(header);
    })
}

/// The frame at [`SAMPLE_OFFSET`] of [`LIFE`] as one of another kind, whose checksum matches.
fn with_kind(frame: &[u8], kind: u8) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[15] = kind;
    let crc = crc32(&bytes[4..32]) ^ LIFE.mask(SAMPLE_OFFSET);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A header, or the fields of an anchor slot without sections, with one byte changed, whose checksum matches.
fn with_byte(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = value;
    let crc_at = bytes.len() - 4;
    let crc = crc32(&bytes[..crc_at]);
    bytes[crc_at..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A slot whose checksum matches, as far as its length is one that a slot may have.
fn slot_resealed(slot: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(slot[12..16].try_into().expect("4 bytes")) as usize;
    let sections = if length <= SLOT_BYTES { slot.get(ANCHOR_BYTES..length) } else { None };
    let crc = crc32(&[&slot[..124], sections.unwrap_or_default()].concat());
    let mut slot = slot.to_vec();
    slot[124..128].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    ChecksumKind::Crc32.digest(bytes) as u32
}

// --- Samples ---------------------------------------------------------------------------------------

fn checksums() -> Vec<ChecksumKind> {
    vec![
        ChecksumKind::Crc32,
        #[cfg(feature = "crc64")]
        ChecksumKind::Crc64,
    ]
}

fn sample_frame_header() -> FrameHeader {
    FrameHeader {
        previous: 0x0a0b_0c0d,
        first: Sequence::ZERO,
        kind: FrameKind::Data,
        payload_bytes: 0,
        entries: 0,
        durable_offset: FIRST_FRAME_OFFSET,
        table_crc: 0,
    }
}

fn sample_header(checksum: ChecksumKind) -> SegmentHeader {
    SegmentHeader {
        log: LogId(*b"0123456789abcdef"),
        life: LIFE,
        nominal_bytes: 64 << 20,
        checksum,
        fresh: true,
        features: 0,
        created_unix_ns: 1,
    }
}

/// A segment header, and the fields of an anchor slot without sections.
fn sample_encoded() -> (Vec<u8>, Vec<u8>) {
    let header = sample_header(ChecksumKind::Crc32).encode();
    (header.to_vec(), sample_anchor().encode(&[])[..ANCHOR_BYTES].to_vec())
}

fn sample_anchor() -> Anchor {
    Anchor {
        log: LogId(*b"0123456789abcdef"),
        generation: 9,
        first: Sequence::ZERO,
        first_segment: SegmentNumber::FIRST,
        active: Some((LIFE.segment, LIFE.salt)),
        durable: Some(DurablePoint { segment: LIFE.segment, offset: 12_288, next: Sequence::ZERO }),
        seal_offset: Some(12_288),
        next_segment_bytes: 64 << 20,
        next_checksum: ChecksumKind::Crc32,
    }
}

const REASONS: [LinkReason; 6] = [
    LinkReason::Genesis,
    LinkReason::Rollover,
    LinkReason::Reopen,
    LinkReason::Torn,
    LinkReason::Truncate,
    LinkReason::Reset,
];

fn sample_links() -> [Link; 6] {
    let predecessor = Predecessor { segment: LIFE.segment, end_offset: 12_288, seal_offset: Some(12_288) };
    REASONS.map(|reason| Link {
        reason,
        predecessor: (!reason.begins_log()).then_some(predecessor),
        chain: 0x0a0b_0c0d,
        next: Sequence::MAX,
        begun_unix_ns: 1_700_000_000_000_000_000,
    })
}

fn sample_points(count: u64) -> Vec<IndexPoint> {
    let point = |n| IndexPoint { offset: FIRST_FRAME_OFFSET + (n << 16), first: Sequence::ZERO, unix_ns: n };
    (0..count).map(point).collect()
}

fn sample_seals() -> Vec<Sealed> {
    let sections = vec![(NOTES_SECTION, b"some notes".to_vec()), (7, vec![])];
    [
        (SealKind::Close, None, 0, vec![]),
        (SealKind::Close, Some(FIRST_FRAME_OFFSET + 72), 1, vec![]),
        (SealKind::Final, Some(FIRST_FRAME_OFFSET + 72), 0, sections.clone()),
        (SealKind::Final, None, 3, sections),
    ]
    .map(|(kind, previous, points, sections)| Sealed {
        kind,
        previous,
        points: sample_points(points),
        sections,
    })
    .to_vec()
}

// --- Strategies ------------------------------------------------------------------------------------

fn any_checksum() -> impl Strategy<Value = ChecksumKind> {
    select(checksums())
}

fn any_sequence() -> impl Strategy<Value = Sequence> {
    let max = Sequence::MAX.value();
    prop_oneof![2 => 0..=max, 1 => 0..10_u64, 1 => max - 40..=max]
        .prop_map(|value| Sequence::try_from(value).expect("below 2^56"))
}

fn any_segment() -> impl Strategy<Value = SegmentNumber> {
    prop_oneof![1..=u64::MAX, 1..10_u64].prop_map(|number| SegmentNumber::new(number).expect("not zero"))
}

fn any_life() -> impl Strategy<Value = Life> {
    (any_segment(), any::<u64>()).prop_map(|(segment, salt)| Life { segment, salt })
}

/// A place in a segment where a frame may stand.
fn any_offset() -> impl Strategy<Value = u64> {
    let last = MAX_SEGMENT_BYTES / FRAME_ALIGN - 1;
    let first = FIRST_FRAME_OFFSET / FRAME_ALIGN;
    prop_oneof![first..=last, first..first + 100, last - 10..=last].prop_map(|unit| unit * FRAME_ALIGN)
}

/// A life, an offset, and a durable point at or before it.
fn any_place() -> impl Strategy<Value = (Life, u64, u64)> {
    (any_life(), any_offset(), any::<Index>()).prop_map(|(life, offset, back)| {
        let units = (offset - FIRST_FRAME_OFFSET) / FRAME_ALIGN;
        (life, offset, FIRST_FRAME_OFFSET + back.index(units as usize + 1) as u64 * FRAME_ALIGN)
    })
}

fn any_payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(prop_oneof![2 => vec(any::<u8>(), 0..40), 1 => Just(vec![]), 1 => vec(Just(0), 0..20)], 1..12)
}

fn any_frame_header() -> impl Strategy<Value = FrameHeader> {
    let extension = (FIRST_EXTENSION_KIND..).prop_map(FrameKind::Extension);
    let kind = prop_oneof![2 => Just(FrameKind::Data), 1 => Just(FrameKind::Link), 1 => Just(FrameKind::Seal), 1 => extension];
    let payload_bytes = prop_oneof![2 => 0..300_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let entries = prop_oneof![2 => 0..12_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    (any_sequence(), kind, payload_bytes, entries, any::<(u32, u32)>()).prop_map(
        |(first, kind, payload_bytes, entries, (previous, table_crc))| FrameHeader {
            previous,
            first,
            kind,
            payload_bytes,
            entries,
            durable_offset: FIRST_FRAME_OFFSET,
            table_crc,
        },
    )
}

/// Offset zero stands for "none" on disk, so no value names it.
fn any_seal_offset() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (1..=u64::MAX).prop_map(Some)]
}

fn any_link() -> impl Strategy<Value = Link> {
    let predecessor = (any_segment(), any::<u64>(), any_seal_offset())
        .prop_map(|(segment, end_offset, seal_offset)| Predecessor { segment, end_offset, seal_offset });
    (select(REASONS.to_vec()), predecessor, any::<u32>(), any_sequence(), any::<u64>()).prop_map(
        |(reason, predecessor, chain, next, begun_unix_ns)| Link {
            reason,
            predecessor: (!reason.begins_log()).then_some(predecessor),
            chain,
            next,
            begun_unix_ns,
        },
    )
}

fn any_points() -> impl Strategy<Value = Vec<IndexPoint>> {
    let point = (FIRST_FRAME_OFFSET..=u64::MAX, any_sequence(), any::<u64>());
    vec(point.prop_map(|(offset, first, unix_ns)| IndexPoint { offset, first, unix_ns }), 0..20)
}

/// They fit a slot of the anchor.
fn any_sections() -> impl Strategy<Value = Written> {
    let kind = prop_oneof![Just(NOTES_SECTION), any::<u32>()];
    let body = prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), MAX_NOTES_BYTES)];
    vec((kind, body), 0..4).prop_filter("a slot holds no more", |sections| {
        encoded_sections(sections).len() <= SLOT_BYTES - ANCHOR_BYTES
    })
}

fn any_seal() -> impl Strategy<Value = Sealed> {
    let kind = select(vec![SealKind::Final, SealKind::Close]);
    (kind, any_seal_offset(), any_points(), any_sections())
        .prop_map(|(kind, previous, points, sections)| Sealed { kind, previous, points, sections })
}

fn any_header() -> impl Strategy<Value = SegmentHeader> {
    (any::<[u8; 16]>(), any_life(), any::<(u64, bool, u16, u64)>(), any_checksum()).prop_map(
        |(log, life, (nominal_bytes, fresh, features, created_unix_ns), checksum)| SegmentHeader {
            log: LogId(log),
            life,
            nominal_bytes,
            checksum,
            fresh,
            features: features & !REQUIRED_FEATURES,
            created_unix_ns,
        },
    )
}

fn any_anchor() -> impl Strategy<Value = Anchor> {
    let durable = (any_segment(), any::<u64>(), any_sequence())
        .prop_map(|(segment, offset, next)| DurablePoint { segment, offset, next });
    let first = (any_sequence(), any_segment());
    let places = (proptest::option::of(any_life()), proptest::option::of(durable), any_seal_offset());
    (any::<([u8; 16], u64, u64)>(), first, places, any_checksum()).prop_map(
        |((log, generation, next_segment_bytes), (first, first_segment), places, next_checksum)| Anchor {
            log: LogId(log),
            generation,
            first,
            first_segment,
            active: places.0.map(|life| (life.segment, life.salt)),
            durable: places.1,
            seal_offset: places.2,
            next_segment_bytes,
            next_checksum,
        },
    )
}
