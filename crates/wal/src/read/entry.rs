//! [`Entry`], as applications see it.

use std::fmt;
use std::ops::Deref;

/// An entry of the log: its sequence number and its payload, which it dereferences to.
///
/// It borrows nothing, so it may outlive the reader and the log, and go to another thread. A clone costs one
/// increment of a counter. In return an entry keeps the bytes around it alive. From a sealed segment that is the mapping
/// of the whole segment: address space, an open file, and the disk space of that file if it is removed meanwhile, but no
/// memory. Any other entry keeps the part of its segment that was read with it: up to 256 KiB, or its
/// frame. To keep a few small entries for long, copy them: `entry.to_vec()`.
#[derive(Clone)]
pub struct Entry(wal_segment::Entry);

impl Entry {
    #[inline]
    pub(crate) fn new(entry: wal_segment::Entry) -> Entry {
        Entry(entry)
    }

    /// Its sequence number.
    #[must_use]
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.0.sequence().value()
    }

    /// The bytes that were appended.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }
}

impl Deref for Entry {
    type Target = [u8];

    #[inline]
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
