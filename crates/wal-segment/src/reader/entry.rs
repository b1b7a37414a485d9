//! An entry, and the bytes that it lies in.

use std::fmt;

use wal_format::Sequence;

use crate::reader::segments::bytes::Bytes;

/// An entry of the log. Cheap to clone; keeps the bytes that it lies in alive.
#[derive(Clone)]
pub struct Entry {
    pub(crate) sequence: Sequence,
    pub(crate) bytes: Bytes,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Entry {
    /// The sequence number of the entry.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The bytes that were appended.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.sequence, self.end - self.start)
    }
}
