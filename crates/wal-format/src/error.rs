//! Corruption errors: why bytes are no valid frame, header or anchor. The caller adds the file and the offset.

use core::fmt;

/// A number does not fit the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutOfRange;

/// Why the bytes at some offset are not the expected frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameFault {
    /// All zero: nothing was written here.
    Blank,
    /// The file ends before the frame does.
    Short,
    /// The header's checksum does not match: no frame of this life at this offset.
    Header,
    /// A frame of this life, but not the one that follows the frame before it.
    Order,
    /// The entry table, or the body of another frame, does not match the header.
    Table,
    /// The payload of this entry, counted from 0 in its frame, does not match its checksum.
    Payload {
        /// Which entry of the frame.
        entry: u32,
    },
    /// The bytes after the last payload are not zero.
    Padding,
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameFault::Blank => f.write_str("blank space"),
            FrameFault::Short => f.write_str("the file ends inside a frame"),
            FrameFault::Header => f.write_str("frame header checksum mismatch"),
            FrameFault::Order => f.write_str("frame does not follow the one before it"),
            FrameFault::Table => f.write_str("checksum mismatch in the entry table or body"),
            FrameFault::Payload { entry } => {
                write!(f, "payload checksum mismatch in entry {entry} of its frame")
            }
            FrameFault::Padding => f.write_str("padding is not zero"),
        }
    }
}

impl core::error::Error for FrameFault {}

/// Why bytes are no valid segment header or anchor slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderFault {
    /// All zero: never written, or blanked.
    Blank,
    /// Fewer bytes than the header or the slot has.
    Short,
    /// The first eight bytes are of another format.
    Magic,
    /// The checksum does not match.
    Checksum,
    /// Written by a later version of the format.
    Version(u16),
    /// Needs features that this reader does not know.
    Features(u16),
    /// Names a checksum kind that this build does not have.
    ChecksumKind(u8),
    /// A field has a value that no writer writes, under a checksum that matches.
    Field(&'static str),
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderFault::Blank => f.write_str("blank header"),
            HeaderFault::Short => f.write_str("the file is shorter than a header"),
            HeaderFault::Magic => f.write_str("unknown magic number"),
            HeaderFault::Checksum => f.write_str("header checksum mismatch"),
            HeaderFault::Version(version) => write!(f, "format version {version} is not supported"),
            HeaderFault::Features(features) => write!(f, "unknown required features {features:#06x}"),
            HeaderFault::ChecksumKind(code) => {
                write!(f, "checksum kind {code} is not supported by this build")
            }
            HeaderFault::Field(field) => write!(f, "impossible value in header field {field:?}"),
        }
    }
}

impl core::error::Error for HeaderFault {}
