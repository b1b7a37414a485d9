//! Which file names are ours.

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

#[cfg(test)]
mod tests {
    use super::*;

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
