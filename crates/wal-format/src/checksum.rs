//! The checksum of a payload: which kind, and how it is computed.

use core::fmt;
use core::str::FromStr;

/// How payloads are checked. Fixed for a segment; the header of each segment names it.
///
/// Headers, entry tables and anchors are always under CRC-32: they are short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumKind {
    /// CRC-32 (IEEE 802.3), by `crc32fast`. Four bytes an entry.
    #[default]
    Crc32,
    /// CRC-64/XZ, by `crc64fast`. Eight bytes an entry, for payloads of many megabytes.
    #[cfg(feature = "crc64")]
    Crc64,
}

impl ChecksumKind {
    /// What this build has.
    const ALL: &[ChecksumKind] = &[
        ChecksumKind::Crc32,
        #[cfg(feature = "crc64")]
        ChecksumKind::Crc64,
    ];

    /// Bytes that one checksum takes in an entry table.
    #[must_use]
    #[inline]
    pub const fn width(self) -> usize {
        match self {
            ChecksumKind::Crc32 => 4,
            #[cfg(feature = "crc64")]
            ChecksumKind::Crc64 => 8,
        }
    }

    /// The kind's number on disk.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            ChecksumKind::Crc32 => 1,
            #[cfg(feature = "crc64")]
            ChecksumKind::Crc64 => 2,
        }
    }

    /// The kind with this number, if this build has it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<ChecksumKind> {
        ChecksumKind::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// The checksum of a payload. A CRC-32 stands in the low half.
    #[must_use]
    #[inline]
    pub fn digest(self, payload: &[u8]) -> u64 {
        match self {
            ChecksumKind::Crc32 => u64::from(crc32fast::hash(payload)),
            #[cfg(feature = "crc64")]
            ChecksumKind::Crc64 => {
                let mut digest = crc64fast::Digest::new();
                digest.write(payload);
                digest.sum64()
            }
        }
    }

    /// The name that options and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ChecksumKind::Crc32 => "crc32",
            #[cfg(feature = "crc64")]
            ChecksumKind::Crc64 => "crc64",
        }
    }
}

impl fmt::Display for ChecksumKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ChecksumKind {
    type Err = crate::OutOfRange;

    fn from_str(name: &str) -> Result<ChecksumKind, crate::OutOfRange> {
        ChecksumKind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or(crate::OutOfRange)
    }
}

/// A checksum computed piece by piece, for payloads that are not in memory at once.
#[derive(Clone)]
pub struct Digest(State);

#[derive(Clone)]
enum State {
    Crc32(crc32fast::Hasher),
    #[cfg(feature = "crc64")]
    Crc64(crc64fast::Digest),
}

impl Digest {
    /// The checksum of nothing yet.
    #[must_use]
    pub fn new(kind: ChecksumKind) -> Digest {
        Digest(match kind {
            ChecksumKind::Crc32 => State::Crc32(crc32fast::Hasher::new()),
            #[cfg(feature = "crc64")]
            ChecksumKind::Crc64 => State::Crc64(crc64fast::Digest::new()),
        })
    }

    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            State::Crc32(hasher) => hasher.update(piece),
            #[cfg(feature = "crc64")]
            State::Crc64(digest) => digest.write(piece),
        }
    }

    /// The checksum of all pieces: the same as [`ChecksumKind::digest`] of them in a row.
    #[must_use]
    pub fn finish(self) -> u64 {
        match self.0 {
            State::Crc32(hasher) => u64::from(hasher.finalize()),
            #[cfg(feature = "crc64")]
            State::Crc64(digest) => digest.sum64(),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_the_ieee_one() {
        assert_eq!(ChecksumKind::Crc32.digest(b"123456789"), 0xcbf4_3926);
    }

    #[cfg(feature = "crc64")]
    #[test]
    fn crc64_is_the_xz_one() {
        assert_eq!(ChecksumKind::Crc64.digest(b"123456789"), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn pieces_give_the_checksum_of_the_whole() {
        let mut digest = Digest::new(ChecksumKind::default());
        digest.update(b"1234");
        digest.update(b"");
        digest.update(b"56789");
        assert_eq!(digest.finish(), ChecksumKind::default().digest(b"123456789"));
    }
}
