//! An entry as applications see it.

use std::fmt;
use std::ops::Deref;

/// An entry of the log: its number, and through [`Deref`] its bytes.
///
/// It borrows nothing, so it may outlive the reader and the log, and go to another thread; a clone costs the
/// increment of a counter. In return it keeps the bytes that it lies in: an entry of a closed segment the
/// mapping of that whole segment (address space, an open file, and the space of that file if it is removed
/// meanwhile, but no memory of its own), any other entry the stretch of its segment that was read with it, up to 256 KiB or
/// the frame that it is part of. Whoever keeps a few small entries for long copies them: `entry.to_vec()`.
#[derive(Clone)]
pub struct Entry(wal_segment::Entry);

impl Entry {
    pub(crate) fn new(entry: wal_segment::Entry) -> Entry {
        Entry(entry)
    }

    /// Its number.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence().value()
    }

    /// What was appended.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }
}

impl Deref for Entry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.payload()
    }
}

impl AsRef<[u8]> for Entry {
    fn as_ref(&self) -> &[u8] {
        self.payload()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
