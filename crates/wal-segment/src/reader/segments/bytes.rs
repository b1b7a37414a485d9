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

    fn deref(&self) -> &[u8] {
        &self.mapping
    }
}

pub(crate) struct Source {
    pub(crate) backing: Backing,
    pub(crate) limit: u64,
    chunk: Chunk,
    chunk_start: u64,
    /// Read size where nothing is mapped.
    chunk_bytes: usize,
}

impl Source {
    pub(crate) fn new(backing: Backing, limit: u64, chunk: Chunk, chunk_bytes: usize) -> Source {
        let mut source = Source { backing, limit, chunk, chunk_start: 0, chunk_bytes };
        // An earlier user read from another file: keep the memory, drop the bytes.
        match Arc::get_mut(&mut source.chunk.0) {
            Some(bytes) => bytes.clear(),
            None => source.chunk = Chunk::default(),
        }
        source
    }

    /// The bytes from `offset` on, `wanted` or more of them; fewer only where the limit or the file ends.
    pub(crate) fn at(&mut self, offset: u64, wanted: u64) -> Result<&[u8], Error> {
        let in_memory = |bytes: u64| usize::try_from(bytes).map_err(|_| Error::OutOfNumbers);
        let available = self.limit.saturating_sub(offset);
        match &self.backing {
            Backing::Mapped(mapping) => {
                let end = in_memory(self.limit)?.min(mapping.len());
                Ok(&mapping[in_memory(offset)?.min(end)..end])
            }
            Backing::File(file) => {
                let wanted = in_memory(wanted.min(available))?;
                let here = offset.checked_sub(self.chunk_start).and_then(|skip| usize::try_from(skip).ok());
                if let Some(at) = here.filter(|at| at + wanted <= self.chunk.0.len()) {
                    return Ok(&self.chunk.0[at..]);
                }
                let fill = wanted.max(self.chunk_bytes.min(in_memory(available)?));
                // No entry keeps the old chunk: its memory is reused.
                let mut bytes = Arc::get_mut(&mut self.chunk.0).map(std::mem::take).unwrap_or_default();
                bytes.resize(fill, 0);
                let read = file.read_at(&mut bytes, offset);
                // A failed read must leave the chunk empty.
                bytes.truncate(*read.as_ref().unwrap_or(&0));
                match Arc::get_mut(&mut self.chunk.0) {
                    Some(slot) => *slot = bytes,
                    None => self.chunk = Chunk(Arc::new(bytes)),
                }
                self.chunk_start = offset;
                read.map(|_| &self.chunk.0[..])
            }
        }
    }

    /// Loads a mapped byte at `offset`, so that the CPU fetches it while the caller goes on.
    pub(crate) fn touch(&self, offset: u64) {
        if let Backing::Mapped(mapping) = &self.backing {
            black_box(usize::try_from(offset).ok().and_then(|at| mapping.get(at)).copied());
        }
    }

    /// Keeps what [`Source::at`] has just returned for `offset`: the bytes, and the index of `offset` in
    /// them.
    pub(crate) fn hold(&self, offset: u64) -> (Bytes, usize) {
        let index = |offset: u64| usize::try_from(offset).expect("these bytes are in memory");
        match &self.backing {
            Backing::Mapped(mapping) => (Bytes::Mapped(Arc::clone(mapping)), index(offset)),
            Backing::File(_) => (Bytes::Read(Arc::clone(&self.chunk.0)), index(offset - self.chunk_start)),
        }
    }

    pub(crate) fn into_chunk(self) -> Chunk {
        self.chunk
    }
}

#[derive(Clone)]
pub(crate) enum Bytes {
    Mapped(Arc<Mapped>),
    Read(Arc<Vec<u8>>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(mapping) => mapping,
            Bytes::Read(bytes) => bytes,
        }
    }
}
