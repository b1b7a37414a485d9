//! The sparse index of a segment, collected while its frames are written or walked: a point for the first
//! DATA frame that begins in each stretch of 64 KiB.
//!
//! ```text
//!  LINK │ DATA … DATA │ SEAL a │ DATA … DATA │ SEAL b │ DATA …
//!         ●    ●  ▲            ▲ ●    ●  ▲   ▲          ●   points since b: the next SEAL gets them
//!                 └── points ──┘─ names ─┴───┘
//! ```
//!
//! A SEAL holds the points since the last SEAL that has any, and names that one. So even a segment that was
//! closed and opened many times has its index read in at most one step for each stretch.

use wal_format::{INDEX_SPACING_BYTES, IndexPoint, Sequence};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealSeen {
    /// Its first offset, and the one after its last byte.
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) is_final: bool,
    /// Whether its index is valid. An invalid one only makes reads slower.
    pub(crate) index_is_good: bool,
    pub(crate) previous: Option<u64>,
    pub(crate) last_point: Option<IndexPoint>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) previous: Option<u64>,
    pub(crate) points: Vec<IndexPoint>,
    /// The last point, here or in the SEAL at `previous`.
    pub(crate) last: Option<IndexPoint>,
    /// When the segment was begun, in nanoseconds since 1970: no point is earlier.
    pub(crate) since_unix_ns: u64,
}

impl Index {
    /// The index of a segment that was begun at `since_unix_ns`. `points` is the memory for its points.
    pub(crate) fn new(since_unix_ns: u64, points: Vec<IndexPoint>) -> Index {
        Index { previous: None, points, last: None, since_unix_ns }
    }

    /// Takes over the points of another index, into the memory of this one.
    pub(crate) fn go_on(&mut self, gathered: &Index) {
        self.points.clear();
        self.points.extend_from_slice(&gathered.points);
        let since = self.since_unix_ns;
        let lift = |point: &mut IndexPoint| point.unix_ns = point.unix_ns.max(since);
        self.points.iter_mut().for_each(lift);
        (self.previous, self.last) = (gathered.previous, gathered.last);
    }

    pub(crate) fn wants(&self, offset: u64) -> bool {
        let stretch = |offset: u64| offset / INDEX_SPACING_BYTES;
        self.last.is_none_or(|last| stretch(last.offset) < stretch(offset))
    }

    /// Adds a point: a DATA frame begins here, written at `unix_ns` or later.
    pub(crate) fn note(&mut self, offset: u64, first: Sequence, unix_ns: u64) {
        let earliest = self.last.map_or(self.since_unix_ns, |last| last.unix_ns.max(self.since_unix_ns));
        let point = IndexPoint { offset, first, unix_ns: unix_ns.max(earliest) };
        self.points.push(point);
        self.last = Some(point);
    }

    /// Notes a SEAL that was passed. The points of an invalid one are kept for the next.
    pub(crate) fn sealed(&mut self, seal: &SealSeen) {
        if !seal.index_is_good {
            return;
        }
        self.points.clear();
        if let Some(last) = seal.last_point {
            (self.previous, self.last) = (Some(seal.offset), Some(last));
        } else {
            self.previous = seal.previous;
        }
    }
}
