//! The number of an entry, and the number of a segment.

use core::fmt;
use core::num::NonZeroU64;

use crate::OutOfRange;

/// The number of an entry: from 0, one more each time, below 2^56.
///
/// Eight bits of its word in a frame hold the frame's kind, hence the bound. At a million entries a
/// second it lasts two thousand years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The first number of a log that begins at the beginning.
    pub const ZERO: Sequence = Sequence(0);
    /// The largest number, 2^56 - 1.
    pub const MAX: Sequence = Sequence((1 << 56) - 1);

    /// The number as an integer.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The number `entries` further on, or `None` past [`Sequence::MAX`].
    #[must_use]
    #[inline]
    pub fn advance(self, entries: u64) -> Option<Sequence> {
        Sequence::try_from(self.0.checked_add(entries)?).ok()
    }

    /// How many entries lie from `earlier` up to here; zero when `earlier` is not earlier.
    #[must_use]
    pub fn distance_from(self, earlier: Sequence) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// A value that was masked to 56 bits by the caller.
    pub(crate) const fn from_low_bits(word: u64) -> Sequence {
        Sequence(word & Sequence::MAX.0)
    }
}

impl TryFrom<u64> for Sequence {
    type Error = OutOfRange;

    #[inline]
    fn try_from(value: u64) -> Result<Sequence, OutOfRange> {
        if value <= Sequence::MAX.0 { Ok(Sequence(value)) } else { Err(OutOfRange) }
    }
}

impl From<Sequence> for u64 {
    fn from(sequence: Sequence) -> u64 {
        sequence.0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a segment file: from 1, only ever growing; on disk zero stands for "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(NonZeroU64);

impl SegmentNumber {
    /// The first segment of a log.
    pub const FIRST: SegmentNumber = SegmentNumber(NonZeroU64::MIN);

    /// The segment with this number; none has number zero.
    #[must_use]
    pub const fn new(number: u64) -> Option<SegmentNumber> {
        match NonZeroU64::new(number) {
            Some(number) => Some(SegmentNumber(number)),
            None => None,
        }
    }

    /// The number as an integer.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0.get()
    }

    /// The number after this one, or `None` at the end of 64 bits.
    #[must_use]
    pub fn next(self) -> Option<SegmentNumber> {
        self.0.checked_add(1).map(SegmentNumber)
    }

    /// As it stands on disk, where zero is "none".
    pub(crate) fn encode(number: Option<SegmentNumber>) -> u64 {
        number.map_or(0, SegmentNumber::value)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_stays_below_two_to_the_56() {
        assert_eq!(Sequence::MAX.advance(1), None);
        assert_eq!(Sequence::ZERO.advance(u64::MAX), None);
        assert_eq!(Sequence::try_from(1 << 56), Err(OutOfRange));
        assert_eq!(Sequence::try_from((1 << 56) - 1), Ok(Sequence::MAX));
    }

    #[test]
    fn no_segment_has_number_zero() {
        assert_eq!(SegmentNumber::new(0), None);
        assert_eq!(SegmentNumber::new(u64::MAX).and_then(SegmentNumber::next), None);
    }
}
