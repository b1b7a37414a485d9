//! The bytes of a segment, from its mapping or by positional reads, a stretch at a time.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Operation, Place};
use crate::io::Mapping;
use crate::named::Named;

/// How much of an unmapped segment is read at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// Where the bytes of a span come from.
pub(crate) enum Source {
    Mapped(Arc<Mapping>),
    File { file: Named, chunk: Arc<Vec<u8>>, chunk_start: u64 },
}

impl Source {
    /// Bytes of which `wanted` stand at `offset`, and where in them: fewer only when the file ends in
    /// front of `limit`.
    pub(crate) fn bytes_at(&mut self, offset: u64, wanted: u64, limit: u64) -> Result<(Bytes, usize), Error> {
        let in_memory = |bytes: u64| usize::try_from(bytes).map_err(|_| Error::OutOfNumbers);
        match self {
            Source::Mapped(mapping) => {
                let at = in_memory(offset)?.min(mapping.len());
                Ok((Bytes::Mapped(Arc::clone(mapping)), at))
            }
            Source::File { file, chunk, chunk_start } => {
                let wanted = in_memory(wanted.min(limit - offset))?;
                let held = offset.checked_sub(*chunk_start).and_then(|skip| usize::try_from(skip).ok());
                if let Some(at) = held.filter(|at| at + wanted <= chunk.len()) {
                    return Ok((Bytes::Read(Arc::clone(chunk)), at));
                }
                let fill = wanted.max(CHUNK_BYTES.min(in_memory(limit - offset)?));
                // Nobody holds an entry of the old chunk: its memory is used again.
                let mut bytes = Arc::get_mut(chunk).map(std::mem::take).unwrap_or_default();
                bytes.resize(fill, 0);
                let read = file.read_at(&mut bytes, offset).place(
                    Operation::Read,
                    || file.path.to_path_buf(),
                    Some(offset),
                )?;
                bytes.truncate(read);
                match Arc::get_mut(chunk) {
                    Some(slot) => *slot = bytes,
                    None => *chunk = Arc::new(bytes),
                }
                *chunk_start = offset;
                Ok((Bytes::Read(Arc::clone(chunk)), 0))
            }
        }
    }
}

/// Bytes that stay for as long as somebody holds them.
#[derive(Clone)]
pub(crate) enum Bytes {
    Mapped(Arc<Mapping>),
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
