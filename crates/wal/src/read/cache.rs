//! What the readers of a log share: its directory, open segments, and memory to read into.

use std::fmt;
use std::sync::Arc;

use wal_format::Sequence;
use wal_segment::io::Directory;
use wal_segment::{Chunk, SegmentReader, SegmentSource, Snapshot, Span, find};
use wal_sync::primitives::Mutex;

use crate::error::{Error, ErrorKind};
use crate::read::entry::Entry;
use crate::read::open_segments::OpenSegments;
use crate::report::counters::Meters;
use crate::report::event::note;
#[cfg(feature = "tracing")]
use crate::report::listener::Listener;

/// The directory of a log, and what its readers share.
#[derive(Debug)]
pub(crate) struct Library {
    directory: Arc<dyn Directory>,
    meters: Arc<Meters>,
    segments: Arc<OpenSegments>,
    /// Is told when the system refuses a mapping.
    #[cfg(feature = "tracing")]
    listener: Option<Listener>,
    /// Memory for reads of single entries where nothing is mapped.
    chunks: Mutex<Vec<Chunk>>,
}

/// As many threads as read single entries at one moment without an allocation.
const SPARE_CHUNKS: usize = 8;
/// What a large entry was read into is not kept for small ones.
const SPARE_CHUNK_BYTES: usize = 64 << 10;

impl Library {
    /// A library of the log in `directory`, which keeps `segments` open.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        segments: Arc<OpenSegments>,
        meters: Arc<Meters>,
    ) -> Library {
        Library {
            directory,
            meters,
            segments,
            #[cfg(feature = "tracing")]
            listener: None,
            chunks: Mutex::new(Vec::with_capacity(SPARE_CHUNKS)),
        }
    }

    /// What the system refuses here is told, too.
    #[cfg(feature = "tracing")]
    pub(crate) fn traced(self, listener: Option<Listener>) -> Library {
        Library { listener, ..self }
    }

    /// Whether closed segments are read through mappings.
    pub(crate) fn maps(&self) -> bool {
        self.segments.maps()
    }

    /// The entry with this number.
    pub(crate) fn read(&self, snapshot: &Snapshot, sequence: u64) -> Result<Entry, Error> {
        let wanted = Sequence::try_from(sequence).unwrap_or(Sequence::MAX);
        let Some(entry) = find(self, snapshot, wanted)? else {
            return Err(self.out_of_range(snapshot, &format_args!("read {sequence}")));
        };
        self.meters.read(1, entry.payload().len() as u64);
        Ok(Entry::new(entry))
    }

    /// Refuses to begin in front of what a snapshot holds, or beyond the next entry.
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

    /// Entries were handed out.
    pub(crate) fn count_read(&self, entries: u64, bytes: u64) {
        self.meters.read(entries, bytes);
    }

    pub(crate) fn out_of_range(&self, snapshot: &Snapshot, what: &dyn fmt::Display) -> Error {
        let directory = self.directory.path().display();
        let (first, next) = (snapshot.first(), snapshot.next());
        let message = format!("{directory}: cannot {what}: the log holds {first} to before {next}");
        Error::new(ErrorKind::OutOfRange, message)
    }

    pub(crate) fn directory_handle(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.directory)
    }

    /// Lets go of segments that this snapshot does not have.
    pub(crate) fn keep(&self, snapshot: &Snapshot) {
        self.segments.keep(snapshot);
    }
}

impl SegmentSource for Library {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn segment(&self, span: &Span) -> Result<Arc<SegmentReader>, wal_segment::Error> {
        let (volume, refused) = self.segments.segment(self.directory.as_ref(), span)?;
        #[cfg(not(feature = "tracing"))]
        drop(refused);
        note!(when Some(error) = refused => &self.listener, MappingRefused { error: error.into() });
        Ok(volume)
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
