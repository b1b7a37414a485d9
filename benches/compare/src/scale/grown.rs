//! Logs of a given size: built once, and grown again after each round has dropped half of them.

use std::path::{Path, PathBuf};

use wal::{Options, SyncPolicy, Wal};

use super::log::LEAST_SEGMENT_BYTES;
use crate::engines::because;
use crate::payload::Payload;

/// How large a log is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// So many bytes of payload in entries of 1 KiB, in segments of the default size.
    Bytes(u64),
    /// So many segments of the least size, in entries of 256 bytes.
    Segments(u64),
}

/// A log of that size.
pub(super) struct Grown {
    pub(super) size: Size,
    path: PathBuf,
}

impl Grown {
    pub(super) fn build(directory: &Path, size: Size) -> Result<Grown, String> {
        let path = directory.join(format!("log-{}", size.x()));
        let grown = Grown { size, path };
        grown.grow()?;
        Ok(grown)
    }

    /// With the default policy.
    pub(super) fn open(&self) -> Result<Wal, String> {
        self.options().open(&self.path).map_err(because("open"))
    }

    /// Appends until the log has its size, without a sync but the last, and closes it. Measuring may have added more segments
    /// than it dropped; these go first.
    pub(super) fn grow(&self) -> Result<(), String> {
        let wal = self.options().sync(SyncPolicy::None).open(&self.path).map_err(because("open to grow"))?;
        self.trim(&wal)?;
        let (entry_bytes, batch) = self.size.shape();
        let mut payload = Payload::new(0, entry_bytes, batch).from(wal.written_end());
        while !self.size.is_reached(&wal) {
            append(&wal, payload.next(), entry_bytes)?;
        }
        wal.sync().map_err(because("sync"))?;
        wal.close().map_err(because("close"))
    }

    /// Appends what a killed process leaves after the place that the log knows as its end.
    pub(super) fn extend(&self, wal: &Wal, bytes: u64) -> Result<(), String> {
        let (entry_bytes, batch) = self.size.shape();
        let mut payload = Payload::new(0, entry_bytes, batch).from(wal.written_end());
        let batches = match self.size {
            Size::Bytes(_) => {
                wal.roll().map_err(because("roll"))?;
                bytes.div_ceil((entry_bytes * batch) as u64)
            }
            // A segment has room for no more than two.
            Size::Segments(_) => 1,
        };
        (0..batches).try_for_each(|_| append(wal, payload.next(), entry_bytes))
    }

    /// Drops what is before the last segments of as many as the log is to have.
    fn trim(&self, wal: &Wal) -> Result<(), String> {
        let Size::Segments(most) = self.size else { return Ok(()) };
        let view = self.options().open_read_only(&self.path).map_err(because("look"))?;
        let starts: Vec<u64> = view.segments().map(|segment| segment.sequences.start).collect();
        let surplus = usize::try_from(wal.stats().segments.saturating_sub(most)).unwrap_or(usize::MAX);
        match starts.get(surplus) {
            Some(&first) if surplus > 0 => wal.truncate_before(first).map(drop).map_err(because("trim")),
            _ => Ok(()),
        }
    }

    fn options(&self) -> Options {
        match self.size {
            Size::Bytes(_) => Options::new(),
            Size::Segments(_) => Options::new().segment_bytes(LEAST_SEGMENT_BYTES),
        }
    }
}

impl Size {
    pub(super) fn x(self) -> u64 {
        match self {
            Size::Bytes(bytes) => bytes,
            Size::Segments(segments) => segments,
        }
    }

    /// The length of an entry, and how many are appended at once.
    fn shape(self) -> (usize, usize) {
        match self {
            Size::Bytes(_) => (1024, 64),
            Size::Segments(_) => (256, 4),
        }
    }

    fn is_reached(self, wal: &Wal) -> bool {
        match self {
            Size::Bytes(bytes) => (wal.written_end() - wal.first()) * self.shape().0 as u64 >= bytes,
            Size::Segments(segments) => wal.stats().segments >= segments,
        }
    }
}

fn append(wal: &Wal, batch: &[u8], entry_bytes: usize) -> Result<(), String> {
    wal.append_batch(batch.chunks(entry_bytes).collect::<Vec<_>>()).map(drop).map_err(because("append_batch"))
}
