//! Entries that are borrowed from a reader: one, or a batch of them.
//!
//! Nothing is counted for them. They are valid until the reader moves on.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use wal_format::{ChecksumKind, Sequence, TableEntry};

use crate::reader::entry::{Entry, Place};
use crate::reader::open_frame::Run;
use crate::reader::segments::bytes::Bytes;

/// An entry of the log, borrowed from its reader.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    sequence: Sequence,
    payload: &'a [u8],
    /// What the payload is a part of.
    bytes: &'a Bytes,
}

impl<'a> EntryRef<'a> {
    #[inline]
    pub(crate) fn new(place: Place, bytes: &'a Bytes) -> EntryRef<'a> {
        EntryRef { sequence: place.sequence, payload: &bytes[place.start..place.end], bytes }
    }

    /// The sequence number of the entry.
    #[must_use]
    #[inline]
    pub fn sequence(self) -> Sequence {
        self.sequence
    }

    /// The bytes that were appended.
    #[must_use]
    #[inline]
    pub fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// The same entry, owned. Copies nothing: it keeps the bytes that it lies in alive.
    #[must_use]
    #[inline]
    pub fn to_owned(self) -> Entry {
        // An index in each entry would cost those that are never made owned.
        let start = self.payload.as_ptr().addr() - self.bytes.as_ptr().addr();
        let place = Place { sequence: self.sequence, start, end: start + self.payload.len() };
        Entry { place, bytes: self.bytes.clone() }
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryRef({}, {} bytes)", self.sequence, self.payload.len())
    }
}

/// Entries in a row, borrowed from their reader; an iterator over them. All were checked.
#[derive(Clone)]
pub struct Batch<'a> {
    next: Sequence,
    checksum: ChecksumKind,
    /// Rows and payloads of the entries that are left.
    rows: &'a [u8],
    payloads: &'a [u8],
    bytes: &'a Bytes,
}

impl<'a> Batch<'a> {
    #[inline]
    pub(crate) fn new(run: Run, bytes: &'a Bytes) -> Batch<'a> {
        let (rows, payloads) = (&bytes[run.rows], &bytes[run.payloads]);
        Batch { next: run.first, checksum: run.checksum, rows, payloads, bytes }
    }

    /// The numbers of the entries that are left.
    #[must_use]
    pub fn sequences(&self) -> Range<Sequence> {
        self.next..self.next.advance(self.len() as u64).unwrap_or(Sequence::MAX)
    }

    /// The sum of the lengths of the entries that are left.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payloads.len()
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = EntryRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<EntryRef<'a>> {
        let (row, rows) = self.rows.split_at_checked(TableEntry::bytes(self.checksum))?;
        let length = TableEntry::decode(row, self.checksum).length as usize;
        let (payload, payloads) = self.payloads.split_at(length);
        let entry = EntryRef { sequence: self.next, payload, bytes: self.bytes };
        (self.rows, self.payloads) = (rows, payloads);
        self.next = self.next.advance(1).unwrap_or(Sequence::MAX);
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rows.len() / TableEntry::bytes(self.checksum);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batch<'_> {}
impl FusedIterator for Batch<'_> {}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} entries from {}, {} bytes)", self.len(), self.next, self.payloads.len())
    }
}
