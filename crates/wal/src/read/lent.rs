//! [`EntryRef`] and [`Batch`]: what a [`Reader`](crate::Reader) lends.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Deref, Range};

use crate::read::entry::Entry;

/// An entry of the log, borrowed from a [`Reader`](crate::Reader): its sequence number and its payload, which it
/// dereferences to. To keep it, [make it owned](EntryRef::to_owned) or copy its bytes: `entry.to_vec()`.
#[derive(Clone, Copy)]
pub struct EntryRef<'a>(wal_segment::EntryRef<'a>);

impl<'a> EntryRef<'a> {
    #[inline]
    pub(super) fn new(entry: wal_segment::EntryRef<'a>) -> EntryRef<'a> {
        EntryRef(entry)
    }

    /// Its sequence number.
    #[must_use]
    #[inline]
    pub fn sequence(self) -> u64 {
        self.0.sequence().value()
    }

    /// The bytes that were appended.
    #[must_use]
    #[inline]
    pub fn payload(self) -> &'a [u8] {
        self.0.payload()
    }

    /// The same entry, owned. Copies no bytes: it keeps those around it alive, as every [`Entry`] does.
    #[must_use]
    pub fn to_owned(self) -> Entry {
        Entry::new(self.0.to_owned())
    }
}

impl Deref for EntryRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.payload()
    }
}

impl AsRef<[u8]> for EntryRef<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.0.payload()
    }
}

impl From<EntryRef<'_>> for Entry {
    fn from(entry: EntryRef<'_>) -> Entry {
        entry.to_owned()
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Verified entries in a row, borrowed from a [`Reader`](crate::Reader): an iterator over them, with its length.
#[derive(Clone)]
pub struct Batch<'a>(wal_segment::Batch<'a>);

impl<'a> Batch<'a> {
    #[inline]
    pub(super) fn new(batch: wal_segment::Batch<'a>) -> Batch<'a> {
        Batch(batch)
    }

    /// The sequence numbers of the entries that the iterator has not returned yet.
    #[must_use]
    pub fn sequences(&self) -> Range<u64> {
        let Range { start, end } = self.0.sequences();
        start.value()..end.value()
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = EntryRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<EntryRef<'a>> {
        self.0.next().map(EntryRef)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Batch<'_> {}
impl FusedIterator for Batch<'_> {}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
