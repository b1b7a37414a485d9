//! A segment's part of the log, and the end of a frame.

use wal_format::{ChecksumKind, Life, Sequence};

/// The end of a frame: where the next one goes, and what it must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Offset in the segment.
    pub offset: u64,
    /// Chain value of the frame that ends here.
    pub chain: u32,
    /// The number of the next entry.
    pub next: Sequence,
}

/// The part of the log that one segment holds.
///
/// ```text
/// 0        8192    start             end
/// │ headers │ LINK │ DATA DATA … SEAL │ void, or blank
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number and salt of the segment.
    pub life: Life,
    /// How its payloads are checked.
    pub checksum: ChecksumKind,
    /// Behind the LINK.
    pub start: Tip,
    /// Where the log goes on in the next segment, or ends. Frames behind it are void, and so are
    /// entries at or beyond its number, even inside the last frame.
    pub end: Tip,
    /// Where the segment's SEAL stands, if it has one in front of the end.
    pub seal_offset: Option<u64>,
    /// How long its file was when it was opened or prepared, in bytes.
    pub file_bytes: u64,
    /// When it was prepared, in nanoseconds since 1970. The segment before it had its LINK then, so this is
    /// later than everything in the segment before that one.
    pub created_unix_ns: u64,
    /// Whether a LINK in a later segment states this end, so that nobody writes here again. A writer
    /// waits until that LINK is durable; a reader is content with one that it has read. Known to a
    /// snapshot alone.
    pub closed: bool,
}

impl Span {
    /// How many entries the span holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.end.next.distance_from(self.start.next)
    }
}
