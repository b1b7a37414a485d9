//! The bytes of a segment, from its mapping or by positional reads.

use std::hint::black_box;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Error;
use crate::files::named::Named;
use crate::io::Mapping;

/// A read buffer. Entries keep it alive; it is reused when none does.
#[derive(Clone, Debug, Default)]
pub struct Chunk(Arc<Vec<u8>>);

impl Chunk {
    /// Its size, in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.0.capacity()
    }
}

/// How the bytes of a segment are read. While this, or an entry that keeps the mapping, lives, the file stays
/// locked, shared: the writer recycles no file under a reader.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    Mapped(Arc<Mapped>),
    File(Named),
}

#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) mapping: Mapping,
    /// Entries keep this alone alive: while they do, the file's shared lock keeps it from being used again.
    pub(crate) _locked: Named,
}

impl Deref for Mapped {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.mapping
    }
}

/// The bytes of one segment as a reader sees them: all of a mapping, or the part of the file that was read last.
pub(crate) struct Source {
    bytes: Bytes,
    /// The offset of the first of these bytes in the file; zero where it is mapped.
    start: u64,
    /// The file of a segment that is not mapped.
    file: Option<Named>,
    pub(crate) limit: u64,
    /// Read size where nothing is mapped.
    chunk_bytes: usize,
}

impl Source {
    /// Reads up to `limit`. Takes a read buffer only for a segment that is not mapped.
    pub(crate) fn new(
        backing: &Backing,
        limit: u64,
        chunk: impl FnOnce() -> Chunk,
        chunk_bytes: usize,
    ) -> Source {
        let (bytes, file) = match backing {
            Backing::Mapped(mapping) => (Bytes::Mapped(Arc::clone(mapping)), None),
            Backing::File(file) => {
                let mut bytes = chunk().0;
                // An earlier user read from another file: keep the memory, drop the bytes.
                match Arc::get_mut(&mut bytes) {
                    Some(bytes) => bytes.clear(),
                    None => bytes = Arc::default(),
                }
                (Bytes::Read(bytes), Some(file.clone()))
            }
        };
        Source { bytes, start: 0, file, limit, chunk_bytes }
    }

    /// The bytes from `offset` on, `wanted` or more of them; fewer only where the limit or the file ends.
    // In line: a reader in order asks once a frame, and a mapped segment has them all.
    #[inline]
    pub(crate) fn at(&mut self, offset: u64, wanted: u64) -> Result<&[u8], Error> {
        if self.file.is_some() {
            let skip = self.read(offset, wanted)?;
            return Ok(&self.bytes[skip..]);
        }
        let end = in_memory(self.limit)?.min(self.bytes.len());
        Ok(&self.bytes[in_memory(offset)?.min(end)..end])
    }

    /// The bytes from `offset` on that are in memory, before the limit.
    #[inline]
    pub(crate) fn held(&self, offset: u64) -> Option<&[u8]> {
        let here = |offset: u64| usize::try_from(offset.checked_sub(self.start)?).ok();
        let end = here(self.limit)?.min(self.bytes.len());
        self.bytes.get(here(offset)?..end)
    }

    /// Reads the file, unless the bytes wanted are here; returns where in them `offset` is.
    fn read(&mut self, offset: u64, wanted: u64) -> Result<usize, Error> {
        let (Some(file), Bytes::Read(chunk)) = (&self.file, &mut self.bytes) else {
            return in_memory(offset);
        };
        let available = self.limit.saturating_sub(offset);
        let wanted = in_memory(wanted.min(available))?;
        let here = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        if let Some(at) = here.filter(|at| at + wanted <= chunk.len()) {
            return Ok(at);
        }
        let fill = wanted.max(self.chunk_bytes.min(in_memory(available)?));
        // No entry keeps the old chunk: its memory is reused.
        let mut bytes = Arc::get_mut(chunk).map(std::mem::take).unwrap_or_default();
        bytes.resize(fill, 0);
        let read = file.read_at(&mut bytes, offset);
        // A failed read must leave the chunk empty.
        bytes.truncate(*read.as_ref().unwrap_or(&0));
        match Arc::get_mut(chunk) {
            Some(slot) => *slot = bytes,
            None => *chunk = Arc::new(bytes),
        }
        self.start = offset;
        read.map(|_| 0)
    }

    /// Loads a mapped byte at `offset`, so that the CPU fetches it while the caller goes on.
    pub(crate) fn touch(&self, offset: u64) {
        if self.file.is_none() {
            black_box(usize::try_from(offset).ok().and_then(|at| self.bytes.get(at)).copied());
        }
    }

    /// What [`Source::at`] returned last lies in these bytes, until it is called again.
    #[inline]
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The file, where it is not mapped.
    pub(crate) fn file(&self) -> Option<&Named> {
        self.file.as_ref()
    }

    /// The index in [`Source::bytes`] of what [`Source::at`] has just returned for `offset`.
    #[inline]
    pub(crate) fn index(&self, offset: u64) -> usize {
        usize::try_from(offset - self.start).expect("these bytes are in memory")
    }

    /// The read buffer, to be used again; none where the segment is mapped.
    pub(crate) fn into_chunk(self) -> Option<Chunk> {
        match self.bytes {
            Bytes::Mapped(_) => None,
            Bytes::Read(bytes) => Some(Chunk(bytes)),
        }
    }
}

fn in_memory(bytes: u64) -> Result<usize, Error> {
    usize::try_from(bytes).map_err(|_| Error::OutOfNumbers)
}

/// The bytes that entries lie in. A clone costs one increment of a counter.
#[derive(Clone)]
pub(crate) enum Bytes {
    Mapped(Arc<Mapped>),
    Read(Arc<Vec<u8>>),
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(mapping) => mapping,
            Bytes::Read(bytes) => bytes,
        }
    }
}
