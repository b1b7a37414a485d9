//! A segment's part of the log, and the end of a frame.

use wal_format::{ChecksumKind, Life, Link, LinkReason, Sequence};

use crate::error::{DamageKind, Lost};

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
    /// Whether the LINK that states this end may have cut the log inside the last frame: a truncation's.
    pub cut_inside: bool,
    /// Where the last SEAL before the end stands, if there is one. Frames may follow it, unless it is final.
    pub seal_offset: Option<u64>,
    /// How long its file was when it was opened or prepared, in bytes.
    pub file_bytes: u64,
    /// When its LINK was written, in nanoseconds since 1970: everything in the segment before it is older.
    pub begun_unix_ns: u64,
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
    /// What is wrong when the log is said to end behind a frame that holds the entries from `first` to before `next`;
    /// nothing when that is possible. Of a SEAL, and of the LINK of a segment without a frame, both are the number of
    /// the next entry.
    ///
    /// ```text
    ///         first          next
    ///  frame  │ 15 │ 16 │ 17 │
    ///                        18       the LINK of any reason
    ///              16   17            a LINK that may have cut inside the frame
    ///  ≤ 15                           never: entries that are there would be hidden
    ///                            > 18 never: entries that are not there would be passed over
    /// ```
    ///
    /// A writer states where its own frames end: exactly there, whether it goes on in the next segment, opens the
    /// log again, or cuts off what is torn. Only a truncation may end the log inside a frame, which stays as it is.
    pub(crate) fn contradiction(&self, first: Sequence, next: Sequence) -> Option<(Lost, DamageKind)> {
        let stated = self.end.next;
        if stated == next || self.cut_inside && first < stated && stated < next {
            return None;
        }
        let lost = Lost::between(stated.min(next), stated.max(next));
        Some((lost, DamageKind::WrongNumber { found: next, expected: stated }))
    }
}

/// Whether this LINK may end the log inside the last frame of its predecessor.
pub(crate) fn may_cut_inside(link: &Link) -> bool {
    link.reason == LinkReason::Truncate
}
