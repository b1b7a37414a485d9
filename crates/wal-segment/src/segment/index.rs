//! The index of a segment, gathered while its frames are written or walked: a point for the first DATA frame that begins in
//! each stretch of 64 KiB.
//!
//! ```text
//!  LINK │ DATA … DATA │ SEAL a │ DATA … DATA │ SEAL b │ DATA …
//!         ●    ●  ▲            ▲ ●    ●  ▲   ▲          ●   points since b: the next SEAL gets them
//!                 └── points ──┘─ names ─┴───┘
//! ```
//!
//! A SEAL holds the points since the last one that has any, and names that one. So the index of a segment that was closed
//! and opened again many times is read by one step for each stretch at most.

use wal_format::{INDEX_SPACING_BYTES, IndexPoint, Sequence};

/// A SEAL that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealSeen {
    /// Where it begins and ends.
    pub(crate) offset: u64,
    pub(crate) end: u64,
    /// Whether frames may follow it.
    pub(crate) is_final: bool,
    /// Whether its index can be used. A bad one costs nothing but speed.
    pub(crate) index_is_good: bool,
    /// The last SEAL before it that has points.
    pub(crate) previous: Option<u64>,
    /// Its last point, if it has one.
    pub(crate) last_point: Option<IndexPoint>,
}

/// The index as far as it was gathered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// The last SEAL with points.
    pub(crate) previous: Option<u64>,
    /// The points since that one.
    pub(crate) points: Vec<IndexPoint>,
    /// The last point, here or at `previous`.
    pub(crate) last: Option<IndexPoint>,
    /// When the segment was begun: no point is earlier.
    pub(crate) since_unix_ns: u64,
}

impl Index {
    /// Of a segment that was begun then. `points` is room for them.
    pub(crate) fn new(since_unix_ns: u64, points: Vec<IndexPoint>) -> Index {
        Index { previous: None, points, last: None, since_unix_ns }
    }

    /// Takes over what another has gathered, into the room that this one has.
    pub(crate) fn go_on(&mut self, gathered: &Index) {
        self.points.clear();
        self.points.extend_from_slice(&gathered.points);
        let since = self.since_unix_ns;
        let lift = |point: &mut IndexPoint| point.unix_ns = point.unix_ns.max(since);
        self.points.iter_mut().for_each(lift);
        (self.previous, self.last) = (gathered.previous, gathered.last);
    }

    /// Whether a frame at this offset gets a point.
    pub(crate) fn wants(&self, offset: u64) -> bool {
        let stretch = |offset: u64| offset / INDEX_SPACING_BYTES;
        self.last.is_none_or(|last| stretch(last.offset) < stretch(offset))
    }

    /// A DATA frame begins here, and was written then or later.
    pub(crate) fn note(&mut self, offset: u64, first: Sequence, unix_ns: u64) {
        let earliest = self.last.map_or(self.since_unix_ns, |last| last.unix_ns.max(self.since_unix_ns));
        let point = IndexPoint { offset, first, unix_ns: unix_ns.max(earliest) };
        self.points.push(point);
        self.last = Some(point);
    }

    /// A SEAL was passed. The points of a bad one are kept for the next.
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
