//! Where readers get open segments and read buffers.

use std::sync::Arc;

use crate::error::Error;
use crate::io::Directory;
use crate::reader::segments::bytes::Chunk;
use crate::reader::segments::reader::SegmentReader;
use crate::segment::span::Span;

/// Opens segments for readers, usually from a cache.
pub trait SegmentSource: Send + Sync {
    /// The directory of the log.
    fn directory(&self) -> &dyn Directory;

    /// The segment of a span, open for reading. A closed segment may be mapped.
    ///
    /// # Errors
    /// What [`SegmentReader::open`] reports.
    fn segment(&self, span: &Span) -> Result<Arc<SegmentReader>, Error>;

    /// A buffer for a positional read of one entry, preferably a returned one.
    fn chunk(&self) -> Chunk {
        Chunk::default()
    }

    /// Takes a read buffer back.
    fn put_back(&self, chunk: Chunk) {
        drop(chunk);
    }
}
