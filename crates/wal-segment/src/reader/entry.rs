//! An entry, and the bytes that it lies in.

use std::fmt;

use wal_format::Sequence;

use crate::reader::segments::bytes::Bytes;

/// An entry of the log. Cheap to clone; keeps the bytes that it lies in alive.
#[derive(Clone)]
pub struct Entry {
    pub(crate) place: Place,
    pub(crate) bytes: Bytes,
}

/// The number of an entry, and its indexes in the bytes that it lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) sequence: Sequence,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Entry {
    /// The sequence number of the entry.
    #[must_use]
    #[inline]
    pub fn sequence(&self) -> Sequence {
        self.place.sequence
    }

    /// The bytes that were appended.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.place.start..self.place.end]
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.sequence(), self.place.end - self.place.start)
    }
}
