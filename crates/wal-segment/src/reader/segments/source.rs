//! Where readers get the bytes of a log from.

use std::sync::Arc;

use crate::error::Error;
use crate::io::Directory;
use crate::reader::segments::bytes::Chunk;
use crate::reader::segments::reader::SegmentReader;
use crate::segment::span::Span;

/// Where readers get their bytes from.
pub trait SegmentSource: Send + Sync {
    /// The directory of the log.
    fn directory(&self) -> &dyn Directory;

    /// The segment of a span, open for reading; closed segments may be mapped.
    ///
    /// # Errors
    /// What [`SegmentReader::open`] reports.
    fn segment(&self, span: &Span) -> Result<Arc<SegmentReader>, Error>;

    /// Memory for a positional read of one entry; best what was put back.
    fn chunk(&self) -> Chunk {
        Chunk::default()
    }

    /// Takes back what a read is done with.
    fn put_back(&self, chunk: Chunk) {
        drop(chunk);
    }
}
