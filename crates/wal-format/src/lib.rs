//! The file format of the write-ahead log: encoding, decoding and checksums, without I/O, clock, threads or allocation.
//!
//! A tool that only wants to understand a log (an inspector, a fuzzer, a reader in another setting)
//! depends on this crate alone. Everything here is a pure function between bytes and values; what
//! the values *mean* after a crash is decided in `wal-segment`.
//!
//! ```text
//! a segment file
//! 0     ┌───────────────────────────────┐
//!       │ header A                      │  [`SegmentHeader`]: whose file this is, which life it is in
//! 4096  ├───────────────────────────────┤
//!       │ header B, the same bytes      │
//! 8192  ├───────────────────────────────┤
//!       │ LINK frame                    │  [`Link`]: where the log before this segment ended
//!       ├───────────────────────────────┤
//!       │ DATA frame                    │  [`DataFrame`]: the entries of one write
//!       │ DATA frame …                  │
//!       ├───────────────────────────────┤
//!       │ SEAL frame                    │  [`Seal`]: the log was closed here, or the segment ends; an index
//!       └───────────────────────────────┘
//! ```
//!
//! Each frame's header checksum is masked with the life of the file and the frame's own offset
//! ([`Life::mask`]), and vouches for everything after it. So bytes of another life, another place
//! or another log are never taken for a frame, even when a caller appended them as a payload.
//!
//! The drawings in `docs/format.md` and beside each type are held by const assertions here and by
//! golden files in `tests/golden`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod anchor;
mod bytes;
mod checksum;
mod error;
mod frame;
mod life;
mod name;
mod section;
mod segment_header;
mod sequence;

pub use anchor::{ANCHOR_BYTES, ANCHOR_FILE, Anchor, DurablePoint, SLOT_BYTES, SLOTS};
pub use checksum::{ChecksumKind, Digest};
pub use error::{FrameFault, HeaderFault, OutOfRange};
pub use frame::data::{DataFrame, Entries, Entry, TableEntry, finish_data_frame};
pub use frame::header::{
    FIRST_EXTENSION_KIND, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, FrameKind, FrameLayout,
    MAX_FRAME_ENTRIES, MAX_FRAME_PAYLOAD_BYTES,
};
pub use frame::link::{LINK_BODY_BYTES, LINK_FRAME_BYTES, Link, LinkReason, Predecessor};
pub use frame::seal::{
    INDEX_POINT_BYTES, INDEX_SPACING_BYTES, IndexPoint, SEAL_FIXED_BYTES, Seal, SealBody, SealIndex,
    SealKind, encode_seal_frame, seal_frame_bytes,
};
pub use life::Life;
pub use name::{LOCK_FILE, PoolName, SegmentName};
pub use section::{
    MAX_NOTES_BYTES, NOTES_SECTION, SECTION_HEADER_BYTES, Section, Sections, encode_section, section_bytes,
};
pub use segment_header::{
    FIRST_FRAME_OFFSET, FORMAT_VERSION, HEADER_COPY_OFFSET, LogId, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES,
    REQUIRED_FEATURES, SEGMENT_HEADER_BYTES, SegmentHeader,
};
pub use sequence::{SegmentNumber, Sequence};
