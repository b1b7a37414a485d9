//! Where readers get the bytes of a log from.

use std::sync::Arc;

use crate::error::Error;
use crate::io::Directory;
use crate::reader::bytes::Chunk;
use crate::reader::volume::Volume;
use crate::segment::span::Span;

/// Where readers get their bytes from.
pub trait Shelf: Send + Sync {
    /// The directory of the log.
    fn directory(&self) -> &dyn Directory;

    /// The segment of a span, open for reading; closed segments may be mapped.
    ///
    /// # Errors
    /// What [`Volume::open`] reports.
    fn volume(&self, span: &Span) -> Result<Arc<Volume>, Error>;

    /// Memory for a positional read of one entry; best what was put back.
    fn chunk(&self) -> Chunk {
        Chunk::default()
    }

    /// Takes back what a read is done with.
    fn put_back(&self, chunk: Chunk) {
        drop(chunk);
    }
}
