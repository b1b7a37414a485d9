//! The log went on in another segment: what the callback is told.

/// The log went on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rollover {
    /// The number of the segment that it ended in; none at the beginning of a log.
    pub from: Option<u64>,
    /// The number of the segment that it goes on in.
    pub to: u64,
    /// The number of the first entry that is appended there.
    pub first: u64,
    /// Whether the log was cut in front of it: behind a torn tail, a failed write, or by a truncation.
    pub cut: bool,
}

impl Rollover {
    pub(crate) fn of(rolled: wal_segment::Rolled) -> Rollover {
        Rollover {
            from: rolled.from.map(wal_format::SegmentNumber::value),
            to: rolled.to.value(),
            first: rolled.first.value(),
            cut: rolled.cut,
        }
    }
}
