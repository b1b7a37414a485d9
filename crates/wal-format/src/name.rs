//! The file names of a log.

use core::fmt;
use core::str;

use crate::SegmentNumber;

/// The file that a writer locks.
pub const LOCK_FILE: &str = "LOCK";

const DIGITS: usize = 20;
const SUFFIX: &str = ".wal";

/// The name of a segment file: its number in twenty digits, then `.wal`, and nothing else.
///
/// The grammar is strict so that a name has one reading: a backup `….wal.bak`, a name with a sign or
/// fewer digits, or a number that does not fit 64 bits is not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    text: [u8; DIGITS + SUFFIX.len()],
}

impl SegmentName {
    /// The name of segment `number`.
    #[must_use]
    pub fn of(number: SegmentNumber) -> SegmentName {
        let mut text = *b"00000000000000000000.wal";
        let mut rest = number.value();
        for digit in text[..DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a remainder of ten is a digit");
            rest /= 10;
        }
        SegmentName { text }
    }

    /// The number that `name` stands for, if it is the name of a segment.
    #[must_use]
    pub fn parse(name: &str) -> Option<SegmentNumber> {
        let digits = name.strip_suffix(SUFFIX)?;
        if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        SegmentNumber::new(digits.parse().ok()?)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).expect("digits and a suffix are ASCII")
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const POOL_PREFIX: &str = "pool-";
const POOL_DIGITS: usize = 3;
const POOL_NAME_BYTES: usize = POOL_PREFIX.len() + POOL_DIGITS + SUFFIX.len();

/// The name of a file in the pool, to be recycled as a segment: `pool-`, its place in three digits, `.wal`, and
/// nothing else. The bytes of such a file are no part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName {
    place: u16,
    text: [u8; POOL_NAME_BYTES],
}

impl PoolName {
    /// So many places there are, from 0 on.
    pub const PLACES: u16 = 1000;

    /// The name of a place; beyond the last one it begins anew.
    #[must_use]
    pub fn of(place: u16) -> PoolName {
        let place = place % PoolName::PLACES;
        let mut text = *b"pool-000.wal";
        let mut rest = place;
        for digit in text[POOL_PREFIX.len()..][..POOL_DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a remainder of ten is a digit");
            rest /= 10;
        }
        PoolName { place, text }
    }

    /// The place that `name` stands for, if it is the name of a file in the pool.
    #[must_use]
    pub fn parse(name: &str) -> Option<PoolName> {
        let digits = name.strip_prefix(POOL_PREFIX)?.strip_suffix(SUFFIX)?;
        if digits.len() != POOL_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().map(PoolName::of)
    }

    /// Its place.
    #[must_use]
    pub fn place(self) -> u16 {
        self.place
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).expect("a prefix, digits and a suffix are ASCII")
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_waits_has_a_name_with_one_reading_and_no_segment_has_it() {
        for (place, name) in [(0, "pool-000.wal"), (7, "pool-007.wal"), (999, "pool-999.wal")] {
            assert_eq!(PoolName::of(place).as_str(), name);
            assert_eq!(PoolName::parse(name).map(PoolName::place), Some(place));
            assert_eq!(SegmentName::parse(name), None);
        }
        assert_eq!(PoolName::of(PoolName::PLACES), PoolName::of(0));
        for name in [
            "pool-7.wal",
            "pool-0007.wal",
            "pool-+07.wal",
            "pool-007.wal.bak",
            "Pool-007.wal",
            "pool-007",
            "007.wal",
            "pool-.wal",
            "",
        ] {
            assert_eq!(PoolName::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_name_has_one_reading() {
        let seven = SegmentNumber::new(7).unwrap();
        assert_eq!(SegmentName::of(seven).as_str(), "00000000000000000007.wal");
        assert_eq!(SegmentName::parse("00000000000000000007.wal"), Some(seven));
        let largest = SegmentNumber::new(u64::MAX).unwrap();
        assert_eq!(SegmentName::parse(SegmentName::of(largest).as_str()), Some(largest));
    }

    #[test]
    fn names_that_almost_match_are_not_ours() {
        for name in [
            "00000000000000000000.wal",
            "0000000000000000007.wal",
            "000000000000000000007.wal",
            "+0000000000000000007.wal",
            "0000000000000000000a.wal",
            "99999999999999999999.wal",
            "00000000000000000007.WAL",
            "00000000000000000007.wal.bak",
            "00000000000000000007.wal ",
            " 00000000000000000007.wal",
            "00000000000000000007.tmp",
            "٠٠٠٠٠٠٠٠٠٧.wal",
            ".wal",
            "",
        ] {
            assert_eq!(SegmentName::parse(name), None, "{name:?}");
        }
    }
}
