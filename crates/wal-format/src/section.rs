//! Sections, extension fields by type and length that a later version may add to a SEAL or to a slot of the anchor.

use crate::bytes::{is_blank, put, u32_at};
use crate::{FRAME_ALIGN, FrameFault};

/// Bytes of a section before its body.
pub const SECTION_HEADER_BYTES: usize = 8;

/// The type of the section that is reserved for an application's notes about a log, in a slot of the anchor.
pub const NOTES_SECTION: u32 = 1;
/// The most bytes that notes may have.
pub const MAX_NOTES_BYTES: usize = 2048;

const ALIGN: usize = 8;
const _: () = assert!(ALIGN as u64 == FRAME_ALIGN);

/// Bytes of a section with a body of so many bytes.
#[must_use]
pub const fn section_bytes(body_bytes: usize) -> usize {
    (SECTION_HEADER_BYTES + body_bytes).next_multiple_of(ALIGN)
}

/// Writes a section over all of `out`.
///
/// # Panics
/// When `out` is not [`section_bytes`] long.
pub fn encode_section(out: &mut [u8], kind: u32, body: &[u8]) {
    assert_eq!(out.len(), section_bytes(body.len()), "the section fills its buffer");
    let length = u32::try_from(body.len()).expect("a section lies in a frame or in a slot");
    out.fill(0);
    put(out, 0, kind.to_le_bytes());
    put(out, 4, length.to_le_bytes());
    out[SECTION_HEADER_BYTES..][..body.len()].copy_from_slice(body);
}

/// A section.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ type                                │ body length                     │
///  8 │ body                                                                  │
///    │ …                                     zeros up to a multiple of 8      │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// The type of the body. A reader skips types that it does not know.
    pub kind: u32,
    /// The bytes of the body.
    pub body: &'a [u8],
}

/// The sections that stand one after another in some bytes, which the checksum of the slot or of the SEAL's index covers.
///
/// An item is an error where a section is not whole: [`FrameFault::Short`] or [`FrameFault::Padding`]. It is the last item,
/// because the length of a bad section leads nowhere.
#[derive(Clone, Debug)]
pub struct Sections<'a> {
    rest: &'a [u8],
}

impl<'a> Sections<'a> {
    /// The sections in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Sections<'a> {
        Sections { rest: bytes }
    }

    fn read(&mut self) -> Result<Section<'a>, FrameFault> {
        let bytes = core::mem::take(&mut self.rest);
        let header: &[u8; SECTION_HEADER_BYTES] = bytes.first_chunk().ok_or(FrameFault::Short)?;
        let body_bytes = u32_at(header, 4) as usize;
        if body_bytes > bytes.len() || section_bytes(body_bytes) > bytes.len() {
            return Err(FrameFault::Short);
        }
        let (section, rest) = bytes.split_at(section_bytes(body_bytes));
        let (body, padding) = section[SECTION_HEADER_BYTES..].split_at(body_bytes);
        if !is_blank(padding) {
            return Err(FrameFault::Padding);
        }
        self.rest = rest;
        Ok(Section { kind: u32_at(header, 0), body })
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, FrameFault>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.read())
    }
}
