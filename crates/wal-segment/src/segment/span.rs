//! The part of the log in one segment, and the end of a frame.

use wal_format::{ChecksumKind, Life, Link, LinkReason, Sequence};

use crate::error::{DamageKind, Lost};

/// The end of a frame: where the next one goes, and what that one must state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Offset in the segment.
    pub offset: u64,
    /// Chain value of the frame that ends here.
    pub chain: u32,
    /// The number of the next entry, a log sequence number.
    pub next: Sequence,
}

/// The part of the log in one segment.
///
/// ```text
/// 0        8192    start             end
/// │ headers │ LINK │ DATA DATA … SEAL │ void, or blank
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number and salt of the segment.
    pub life: Life,
    /// The checksum of its payloads.
    pub checksum: ChecksumKind,
    /// The end of the LINK.
    pub start: Tip,
    /// Where the log goes on in the next segment, or ends. Frames after it are void, and so are entries at or
    /// beyond its number, even inside the last frame.
    pub end: Tip,
    /// Whether the LINK that states this end may have cut the log inside the last frame: only a truncation's
    /// does.
    pub cut_inside: bool,
    /// Offset of the last SEAL before the end, if there is one. Frames may follow it unless it is final.
    pub seal_offset: Option<u64>,
    /// Length of its file when it was opened or prepared, in bytes.
    pub file_bytes: u64,
    /// When its LINK was written, in nanoseconds since 1970: everything before the segment is older.
    pub begun_unix_ns: u64,
    /// Whether a LINK in a later segment states this end, so that the writer never writes here again. A
    /// writer waits until that LINK is durable; a reader relies on one that it has read. Set only in a
    /// snapshot.
    pub closed: bool,
}

impl Span {
    /// How many entries the span holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.end.next.distance_from(self.start.next)
    }
    /// Checks the stated end of the log against the frame that ends there and holds the entries from `first`
    /// to before `next`. Returns what is wrong, or `None` when that end is possible. Of a SEAL, and of the
    /// LINK of a segment without frames, both are the number of the next entry.
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
    /// A writer states exactly the end of its own frames, whether it rolls over, opens the log again or cuts
    /// off a torn tail. Only a truncation may end the log inside a frame, which stays as it is.
    pub(crate) fn contradiction(&self, first: Sequence, next: Sequence) -> Option<(Lost, DamageKind)> {
        let stated = self.end.next;
        if stated == next || self.cut_inside && first < stated && stated < next {
            return None;
        }
        let lost = Lost::between(stated.min(next), stated.max(next));
        Some((lost, DamageKind::WrongNumber { found: next, expected: stated }))
    }
}

/// Whether this LINK may end the log inside the last frame of the segment before it.
pub(crate) fn may_cut_inside(link: &Link) -> bool {
    link.reason == LinkReason::Truncate
}
