//! The cache that the readers of a log share: its directory, open segments, and read buffers.

use std::fmt;
use std::sync::Arc;

use wal_format::Sequence;
use wal_segment::io::Directory;
use wal_segment::{Chunk, SegmentReader, SegmentSource, Snapshot, Span, find};
use wal_sync::primitives::Mutex;

use crate::error::{Error, ErrorKind};
use crate::read::entry::Entry;
use crate::read::open_segments::OpenSegments;
use crate::report::counters::Counters;
use crate::report::event::note;
#[cfg(feature = "tracing")]
use crate::report::listener::Listener;

/// The directory of a log, with the open segments and buffers that its readers share.
#[derive(Debug)]
pub(crate) struct SegmentCache {
    pub(crate) directory: Arc<dyn Directory>,
    pub(super) counters: Arc<Counters>,
    pub(crate) segments: Arc<OpenSegments>,
    /// Traces the first memory mapping that the system fails.
    #[cfg(feature = "tracing")]
    listener: Option<Listener>,
    /// Buffers for reads of single entries from segments that are not mapped.
    chunks: Mutex<Vec<Chunk>>,
}

/// The number of threads that can read single entries at the same time without an allocation.
const SPARE_CHUNKS: usize = 8;
/// A longer buffer, of a large entry, is not kept for small ones.
const SPARE_CHUNK_BYTES: usize = 64 << 10;

impl SegmentCache {
    /// A cache for the log in `directory`, which keeps `segments` open.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        segments: Arc<OpenSegments>,
        counters: Arc<Counters>,
    ) -> SegmentCache {
        SegmentCache {
            directory,
            counters,
            segments,
            #[cfg(feature = "tracing")]
            listener: None,
            chunks: Mutex::new(Vec::with_capacity(SPARE_CHUNKS)),
        }
    }

    /// The same, with tracing.
    #[cfg(feature = "tracing")]
    pub(crate) fn traced(self, listener: Option<Listener>) -> SegmentCache {
        SegmentCache { listener, ..self }
    }

    /// Reads the entry with this sequence number.
    pub(crate) fn read(&self, snapshot: &Snapshot, sequence: u64) -> Result<Entry, Error> {
        let wanted = Sequence::try_from(sequence).unwrap_or(Sequence::MAX);
        let Some(entry) = find(self, snapshot, wanted)? else {
            return Err(self.out_of_range(snapshot, &format_args!("read {sequence}")));
        };
        self.counters.read(1, entry.payload().len() as u64);
        Ok(Entry::new(entry))
    }

    /// Fails when `first` is before the first entry of the snapshot, or after the next one.
    pub(crate) fn check_start(&self, snapshot: &Snapshot, verb: &str, first: u64) -> Result<(), Error> {
        if let Some(damage) = snapshot.damage().filter(|_| snapshot.is_contradictory()) {
            return Err(wal_segment::Error::Damaged(damage.clone()).into());
        }
        let held = snapshot.first().value()..=snapshot.next().value();
        if held.contains(&first) {
            return Ok(());
        }
        Err(self.out_of_range(snapshot, &format_args!("{verb} from {first}")))
    }

    pub(crate) fn out_of_range(&self, snapshot: &Snapshot, what: &dyn fmt::Display) -> Error {
        let directory = self.directory.path().display();
        let (first, next) = (snapshot.first(), snapshot.next());
        let message = format!("{directory}: cannot {what}: the log begins at {first} and ends before {next}");
        Error::new(ErrorKind::OutOfRange, message)
    }
}

impl SegmentSource for SegmentCache {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn segment(&self, span: &Span) -> Result<Arc<SegmentReader>, wal_segment::Error> {
        let (segment, refused) = self.segments.segment(self.directory.as_ref(), span)?;
        #[cfg(not(feature = "tracing"))]
        drop(refused);
        note!(when Some(error) = refused => &self.listener, MappingRefused { error: error.into() });
        Ok(segment)
    }

    fn chunk(&self) -> Chunk {
        self.chunks.lock_whole().pop().unwrap_or_default()
    }

    fn put_back(&self, chunk: Chunk) {
        let mut chunks = self.chunks.lock_whole();
        if chunks.len() < SPARE_CHUNKS && chunk.capacity_bytes() <= SPARE_CHUNK_BYTES {
            chunks.push(chunk);
        }
    }
}
