//! A buffer that slides over a file, so that a segment of any size is read in bounded memory.

use wal_format::FRAME_ALIGN;

use crate::error::Error;
use crate::files::named::Named;

const WINDOW_BYTES: usize = 256 << 10;

pub(crate) struct Window {
    file: Named,
    pub(crate) limit: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Whether unreadable blocks read as zeros instead of failing.
    tolerant: bool,
    /// The offset of the first unreadable block since the caller took the last one.
    pub(crate) hole: Option<u64>,
}

const BLOCK_BYTES: usize = 4 << 10;

const _: () = assert!((WINDOW_BYTES as u64).is_multiple_of(FRAME_ALIGN));

impl Window {
    pub(crate) fn new(file: &Named, limit: u64) -> Window {
        Window { file: file.clone(), limit, start: 0, bytes: Vec::new(), tolerant: false, hole: None }
    }

    /// The same for a salvage: bytes that the device cannot read are zeros.
    pub(crate) fn tolerant(file: &Named, limit: u64) -> Window {
        Window { tolerant: true, ..Window::new(file, limit) }
    }

    /// Returns up to `wanted` bytes at `offset`: none at the limit; fewer than wanted only at the end or when
    /// `wanted` exceeds the window.
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
        // A failed read must leave the buffer empty.
        self.bytes.clear();
        self.bytes.resize(WINDOW_BYTES.min(available), 0);
        let read = self.file.read_at(&mut self.bytes, offset);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        self.start = offset;
        if self.tolerant && read.is_err() {
            self.fill_around_holes(offset, available);
            return Ok(());
        }
        read.map(|_| ())
    }

    /// Reads block by block. An unreadable block becomes zeros, which no checksum accepts as a frame.
    fn fill_around_holes(&mut self, offset: u64, available: usize) {
        self.bytes.resize(WINDOW_BYTES.min(available), 0);
        let mut filled = 0;
        while filled < self.bytes.len() {
            let at = offset + filled as u64;
            let to_boundary = BLOCK_BYTES - usize::try_from(at % BLOCK_BYTES as u64).unwrap_or(0);
            let end = (filled + to_boundary).min(self.bytes.len());
            let block = &mut self.bytes[filled..end];
            match self.file.read_at(block, at) {
                Ok(read) if read < block.len() => {
                    self.bytes.truncate(filled + read);
                    return;
                }
                Ok(_) => {}
                Err(_) => {
                    block.fill(0);
                    self.hole = Some(self.hole.map_or(at, |hole| hole.min(at)));
                }
            }
            filled = end;
        }
    }
}
