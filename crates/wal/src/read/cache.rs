//! Reading: entries as applications see them, and what readers share.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::sync::Arc;

use wal_format::Sequence;
use wal_segment::io::Directory;
use wal_segment::{Chunk, Shelf, Snapshot, Span, Volume, find};
use wal_sync::primitives::Mutex;

use crate::error::{Error, ErrorKind};
use crate::read::counted::Tally;
use crate::read::open_segments::OpenSegments;
use crate::report::counters::Meters;
use crate::report::event::note;
#[cfg(feature = "tracing")]
use crate::report::listener::Listener;

/// An entry of the log: its number, and through [`Deref`] its bytes.
///
/// It borrows nothing, so it may outlive the reader and the log, and go to another thread; a clone costs the
/// increment of a counter. In return it keeps the bytes that it lies in: an entry of a closed segment the
/// mapping of that whole segment (address space, an open file, and the space of that file if it is removed
/// meanwhile, but no memory of its own), any other entry the stretch of its segment that was read with it, up to 256 KiB or
/// the frame that it is part of. Whoever keeps a few small entries for long copies them: `entry.to_vec()`.
#[derive(Clone)]
pub struct Entry(wal_segment::Entry);

impl Entry {
    pub(crate) fn new(entry: wal_segment::Entry) -> Entry {
        Entry(entry)
    }

    /// Its number.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence().value()
    }

    /// What was appended.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }
}

impl Deref for Entry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.payload()
    }
}

impl AsRef<[u8]> for Entry {
    fn as_ref(&self) -> &[u8] {
        self.payload()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Entries in order, or with [`rev`](Iterator::rev) from the last one back, each checked against its checksum
/// as it is handed out. May be taken from both ends. Ends, at both, after the first error.
///
/// Backwards, damage is told where it is met: what cannot be read at the end of a log comes first. A frame
/// header that is damaged costs a reader who comes from behind up to 64 KiB more than one who comes from the
/// front: what was written between it and the next index point.
///
/// Shows the log as it was when the reader was made. Closed segments are read from memory mappings,
/// the last one with positional reads; nothing is copied from a mapping and nothing is allocated for an
/// entry.
#[derive(Debug)]
pub struct Entries {
    inner: wal_segment::Entries,
    tally: Tally,
}

impl Entries {
    pub(crate) fn range(library: &Arc<Library>, snapshot: Snapshot, range: impl RangeBounds<u64>) -> Entries {
        let wanted = sequences(range);
        Entries {
            inner: wal_segment::Entries::new(Arc::clone(library) as Arc<dyn Shelf>, snapshot, wanted),
            tally: Tally::new(Arc::clone(library)),
        }
    }

    fn counted(&mut self, entry: Result<wal_segment::Entry, wal_segment::Error>) -> Result<Entry, Error> {
        Ok(self.tally.counted(entry?))
    }

    pub(crate) fn from(library: &Arc<Library>, snapshot: Snapshot, first: u64) -> Result<Entries, Error> {
        library.check_start(&snapshot, "read", first)?;
        Ok(Entries::range(library, snapshot, first..))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.inner.next()?;
        Some(self.counted(entry))
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.inner.next_back()?;
        Some(self.counted(entry))
    }
}

impl FusedIterator for Entries {}

/// A range of integers as sequences; what lies beyond the largest sequence is empty.
fn sequences(range: impl RangeBounds<u64>) -> Range<Sequence> {
    let bounded = |number: u64| Sequence::try_from(number).unwrap_or(Sequence::MAX);
    let start = match range.start_bound() {
        Bound::Unbounded => 0,
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
    };
    let end = match range.end_bound() {
        Bound::Unbounded => u64::MAX,
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
    };
    bounded(start)..bounded(end)
}

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
        Ok(Entry(entry))
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

impl Shelf for Library {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn volume(&self, span: &Span) -> Result<Arc<Volume>, wal_segment::Error> {
        let (volume, refused) = self.segments.volume(self.directory.as_ref(), span)?;
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
