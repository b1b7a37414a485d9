//! LINK frames, the first record of each segment: where the log before it ended. Rollover, reopen and truncation all state
//! it this way.

use crate::bytes::{is_blank, put, u64_at};
use crate::{
    ChecksumKind, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, FrameLayout,
    Life, MIN_SEGMENT_BYTES, SegmentNumber, Sequence,
};

/// Bytes of a LINK's body.
pub const LINK_BODY_BYTES: usize = 40;
/// Bytes of the whole frame.
pub const LINK_FRAME_BYTES: usize = FRAME_HEADER_BYTES + LINK_BODY_BYTES;

/// Why a new segment was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkReason {
    /// The first segment of a log.
    Genesis,
    /// The segment before was full, or its SEAL ended it.
    Rollover,
    /// The log was opened again and could not go on in its last segment, as with another checksum kind, a feature of a later
    /// version, or a directory that cannot be locked; or the LINK of a truncation could not be written.
    Reopen,
    /// What stood after the stated end was torn by a crash or by a failed write, and is no part of
    /// the log.
    Torn,
    /// The end of the log was truncated on request.
    Truncate,
    /// The log was emptied, and begins anew at another number. Reserved for a later version.
    Reset,
}

impl LinkReason {
    const ALL: [LinkReason; 6] = [
        LinkReason::Genesis,
        LinkReason::Rollover,
        LinkReason::Reopen,
        LinkReason::Torn,
        LinkReason::Truncate,
        LinkReason::Reset,
    ];

    const fn code(self) -> u8 {
        match self {
            LinkReason::Genesis => 1,
            LinkReason::Rollover => 2,
            LinkReason::Reopen => 3,
            LinkReason::Torn => 4,
            LinkReason::Truncate => 5,
            LinkReason::Reset => 6,
        }
    }

    fn from_code(code: u8) -> Option<LinkReason> {
        LinkReason::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Whether the log begins here: nothing before this segment is part of it.
    #[must_use]
    pub const fn begins_log(self) -> bool {
        matches!(self, LinkReason::Genesis | LinkReason::Reset)
    }

    /// Whether bytes after the stated end may still look like frames of the log.
    #[must_use]
    pub const fn is_cut(self) -> bool {
        matches!(self, LinkReason::Torn | LinkReason::Truncate | LinkReason::Reset)
    }
}

/// Where the log before a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Predecessor {
    /// The segment.
    pub segment: SegmentNumber,
    /// The end of its last frame that counts.
    pub end_offset: u64,
    /// Where the last SEAL before that end stands, if there is one.
    pub seal_offset: Option<u64>,
}

/// The first frame of a segment: where the log before the segment ended, and why it was begun.
///
/// ```text
///       0        1        2        3        4        5        6        7
///  0 │ frame header: previous = chain value of the predecessor's last frame, │
///    │               first sequence = the next entry's number                │
/// 32 │ previous segment, 0 none                                              │
/// 40 │ end of the log in it                                                  │
/// 48 │ last SEAL before that end, 0 none                                     │
/// 56 │ when it was written, nanoseconds since 1970                           │
/// 64 │ reason │ zero                                                         │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Why the segment was begun.
    pub reason: LinkReason,
    /// Where the log before it ended; none when it begins the log.
    pub predecessor: Option<Predecessor>,
    /// Chain value of the predecessor's last frame; zero when there is none.
    pub chain: u32,
    /// The number of the first entry of this segment. Entries of the predecessor at or beyond it do
    /// not exist.
    pub next: Sequence,
    /// When it was written, in nanoseconds since 1970, by a clock that never goes back in a log: never less than the time of
    /// any LINK or [index point](crate::IndexPoint) before it.
    pub begun_unix_ns: u64,
}

const BODY_LENGTH: u32 = 40;

const _: () = assert!(BODY_LENGTH as usize == LINK_BODY_BYTES && LINK_FRAME_BYTES == 72);
const _: () = assert!(MIN_SEGMENT_BYTES > FIRST_FRAME_OFFSET + LINK_FRAME_BYTES as u64);

impl Link {
    /// The whole frame as it stands at [`FIRST_FRAME_OFFSET`] of this life.
    #[must_use]
    pub fn encode(&self, life: Life) -> [u8; LINK_FRAME_BYTES] {
        let mut body = [0; LINK_BODY_BYTES];
        if let Some(predecessor) = self.predecessor {
            put(&mut body, 0, predecessor.segment.value().to_le_bytes());
            put(&mut body, 8, predecessor.end_offset.to_le_bytes());
            put(&mut body, 16, predecessor.seal_offset.unwrap_or(0).to_le_bytes());
        }
        put(&mut body, 24, self.begun_unix_ns.to_le_bytes());
        body[32] = self.reason.code();
        let header = FrameHeader {
            previous: self.chain,
            first: self.next,
            kind: FrameKind::Link,
            payload_bytes: BODY_LENGTH,
            entries: 0,
            durable_offset: FIRST_FRAME_OFFSET,
            table_crc: crc32fast::hash(&body),
        };
        let mut frame = [0; LINK_FRAME_BYTES];
        put(&mut frame, 0, header.encode(life, FIRST_FRAME_OFFSET));
        put(&mut frame, FRAME_HEADER_BYTES, body);
        frame
    }

    /// Reads a LINK from the start of `bytes`, which begin at [`FIRST_FRAME_OFFSET`] of this life.
    /// Returns it with its own chain value.
    ///
    /// # Errors
    /// Why there is none. A frame of another kind is [`FrameFault::Order`]: only a LINK comes first.
    pub fn decode(bytes: &[u8], life: Life) -> Result<(Link, u32), FrameFault> {
        let header = FrameHeader::decode(bytes, life, FIRST_FRAME_OFFSET)?;
        let frame: &[u8; LINK_FRAME_BYTES] = bytes.first_chunk().ok_or(FrameFault::Short)?;
        if header.kind != FrameKind::Link {
            return Err(FrameFault::Order);
        }
        let body = &frame[FRAME_HEADER_BYTES..];
        if header.payload_bytes != BODY_LENGTH || crc32fast::hash(body) != header.table_crc {
            return Err(FrameFault::Table);
        }
        let reason = LinkReason::from_code(body[32]).ok_or(FrameFault::Table)?;
        if !is_blank(&body[33..]) {
            return Err(FrameFault::Padding);
        }
        let predecessor = SegmentNumber::new(u64_at(body, 0)).map(|segment| Predecessor {
            segment,
            end_offset: u64_at(body, 8),
            seal_offset: Some(u64_at(body, 16)).filter(|&offset| offset != 0),
        });
        if predecessor.is_none() != reason.begins_log() {
            return Err(FrameFault::Table);
        }
        let begun_unix_ns = u64_at(body, 24);
        let link = Link { reason, predecessor, chain: header.previous, next: header.first, begun_unix_ns };
        let own: &[u8; FRAME_HEADER_BYTES] = frame.first_chunk().expect("a LINK begins with a header");
        Ok((link, FrameHeader::chain_value(own)))
    }

    /// Where the first frame after the LINK stands.
    #[must_use]
    pub const fn end_offset() -> u64 {
        let layout = FrameLayout::of(ChecksumKind::Crc32, 0, LINK_BODY_BYTES as u64);
        FIRST_FRAME_OFFSET + layout.end
    }
}
