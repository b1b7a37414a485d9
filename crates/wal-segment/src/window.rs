//! A buffer that slides over a file, so that a segment of any size is read in bounded memory.

use wal_format::FRAME_ALIGN;

use crate::error::{Error, Operation, Place};
use crate::named::Named;

const WINDOW_BYTES: usize = 256 << 10;

/// The bytes of `file` in front of `limit`, a stretch at a time.
pub(crate) struct Window<'f> {
    file: &'f Named,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

const _: () = assert!((WINDOW_BYTES as u64).is_multiple_of(FRAME_ALIGN));

impl<'f> Window<'f> {
    /// A window on the first `limit` bytes of `file`.
    pub(crate) fn new(file: &'f Named, limit: u64) -> Window<'f> {
        Window { file, limit, start: 0, bytes: Vec::new() }
    }

    /// Where the window's file ends.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// At least one and at most `wanted` bytes at `offset`; none at the limit, fewer than wanted only
    /// there or when `wanted` is beyond the window's size.
    pub(crate) fn bytes_at(&mut self, offset: u64, wanted: usize) -> Result<&[u8], Error> {
        let available = self.limit.saturating_sub(offset);
        let wanted = wanted.min(WINDOW_BYTES).min(usize::try_from(available).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(&[]);
        }
        let held = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let at = match held {
            Some(skip) if skip + wanted <= self.bytes.len() => skip,
            _ => {
                self.fill(offset)?;
                0
            }
        };
        let end = (at + wanted).min(self.bytes.len());
        Ok(&self.bytes[at..end])
    }

    fn fill(&mut self, offset: u64) -> Result<(), Error> {
        let available = usize::try_from(self.limit - offset).unwrap_or(usize::MAX);
        // Nothing is held until the read has succeeded.
        self.bytes.clear();
        self.bytes.resize(WINDOW_BYTES.min(available), 0);
        let read = self.file.read_at(&mut self.bytes, offset).place(
            Operation::Read,
            || self.file.path.to_path_buf(),
            Some(offset),
        );
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        self.start = offset;
        read.map(|_| ())
    }
}
