//! Segments that stay open for readers, and what is done when the system has no descriptor left.
//!
//! Descriptors belong to the process, not to a log, so the bound on idle ones is shared by all logs of the process: the
//! one place where logs know of each other. A directory that says that its files take no descriptor, a simulated one,
//! is left out of it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use wal_segment::io::{Access, Directory, File, FileId, Listed, Lock, is_out_of_descriptors};
use wal_segment::{Error, RecentSegments, SegmentReader, Snapshot, Span};
use wal_sync::primitives::{AtomicU64, Mutex, Ordering, ProcessWide, process_id};

/// Of one log: 64 mappings of 64 MiB are 4 GiB of address space.
const OF_ONE_LOG: usize = 64;
/// All logs of a process together keep this part of the files open that the process may have open.
const SHARE: u64 = 4;
/// The descriptors that were given up may be taken by another thread before the call is repeated.
const MAX_REPETITIONS: u32 = 8;

/// The open segments of each log, while it is open, with the process that opened it: a fork has those of its parent, too,
/// and leaves them alone.
static OF_ALL_LOGS: ProcessWide<Vec<(u32, Weak<OpenSegments>)>> = ProcessWide::new(Vec::new());

fn of_this_process() -> Vec<Arc<OpenSegments>> {
    let here = process_id();
    let all = OF_ALL_LOGS.lock_whole();
    all.iter()
        .filter(|(process, _)| *process == here)
        .filter_map(|(_, segments)| segments.upgrade())
        .collect()
}

/// The segments that one log keeps open for its readers. Each takes a descriptor, with a mapping and without: the file
/// has the lock.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    volumes: Mutex<RecentSegments>,
    /// How many there are, for those who look without the lock.
    count: AtomicU64,
    /// How many all logs of this process may keep; none when the files of this one take no descriptor.
    shared_bound: Option<u64>,
}

impl OpenSegments {
    /// For a log in `directory`; closed segments are `mapped`.
    pub(crate) fn new(directory: &dyn Directory, mapped: bool) -> Arc<OpenSegments> {
        let shared_bound = directory.max_open_files().map(|most| most / SHARE);
        let segments = Arc::new(OpenSegments {
            volumes: Mutex::new(RecentSegments::new(OF_ONE_LOG, mapped)),
            count: AtomicU64::new(0),
            shared_bound,
        });
        if shared_bound.is_some() {
            let mut all = OF_ALL_LOGS.lock_whole();
            all.retain(|(_, other)| other.strong_count() > 0);
            all.push((process_id(), Arc::downgrade(&segments)));
        }
        segments
    }

    /// Whether closed segments are mapped.
    pub(crate) fn maps(&self) -> bool {
        self.volumes.lock_whole().maps()
    }

    /// The segment of a span, opened if it is not. Returns also why the system refused a mapping, the first time.
    pub(crate) fn segment(
        &self,
        directory: &dyn Directory,
        span: &Span,
    ) -> Result<(Arc<SegmentReader>, Option<Error>), Error> {
        // A cache is whole at every moment, whatever panicked. It is not locked while the system opens the file.
        let mut volumes = self.volumes.lock_whole();
        if let Some(volume) = volumes.get(span) {
            return Ok((volume, None));
        }
        let mapped = volumes.maps();
        drop(volumes);
        let mut refused = None;
        let volume = SegmentReader::open(directory, span, mapped, &mut refused)?;
        let mut volumes = self.volumes.lock_whole();
        let refused = refused.filter(|_| volumes.stop_mapping());
        volumes.put(&volume);
        self.counted(&volumes);
        drop(volumes);
        self.keep_the_bound();
        Ok((volume, refused))
    }

    /// Lets go of segments that this snapshot does not have.
    pub(crate) fn keep(&self, snapshot: &Snapshot) {
        let mut volumes = self.volumes.lock_whole();
        volumes.keep(snapshot);
        self.counted(&volumes);
    }

    fn counted(&self, volumes: &RecentSegments) {
        self.count.store(volumes.count() as u64, Ordering::Relaxed);
    }

    /// The log that has most gives up its oldest, until the bound of the process is kept.
    fn keep_the_bound(&self) {
        let Some(bound) = self.shared_bound else { return };
        let all = of_this_process();
        let count = |segments: &Arc<OpenSegments>| segments.count.load(Ordering::Relaxed);
        let total: u64 = all.iter().map(count).sum();
        for _ in bound..total {
            if let Some(largest) = all.iter().max_by_key(|segments| count(segments)) {
                largest.give_up_oldest();
            }
        }
    }

    fn give_up_oldest(&self) {
        let mut volumes = self.volumes.lock_whole();
        let oldest = volumes.pop_oldest();
        self.counted(&volumes);
        drop(volumes);
        // The file is closed, and the mapping undone, under no lock.
        drop(oldest);
    }

    fn give_up_idle(&self) -> usize {
        let mut volumes = self.volumes.lock_whole();
        let idle = volumes.take_idle();
        self.counted(&volumes);
        drop(volumes);
        idle.len()
    }

    /// Closes every segment that no reader reads from, of all logs that share descriptors with this one; returns how
    /// many.
    fn close_idle(&self) -> usize {
        if self.shared_bound.is_some() { close_idle() } else { self.give_up_idle() }
    }
}

/// Closes every segment that no reader reads from, of all logs of this process; returns how many.
fn close_idle() -> usize {
    of_this_process().iter().map(|segments| segments.give_up_idle()).sum()
}

/// Repeats a call for which there was no descriptor, as long as `close` finds some to close.
fn with_descriptors<T>(close: impl Fn() -> usize, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut answered = call();
    for _ in 0..MAX_REPETITIONS {
        match answered {
            Err(ref error) if is_out_of_descriptors(error) && close() > 0 => answered = call(),
            _ => break,
        }
    }
    answered
}

/// Opens a directory; where there is no descriptor for it, idle segments of other logs are closed.
pub(crate) fn open_directory<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    with_descriptors(close_idle, open)
}

/// The directory for a log whose segments stay open for readers, and give up their descriptors when it needs some.
pub(crate) fn sparing(
    directory: Arc<dyn Directory>,
    mapped: bool,
) -> (Arc<dyn Directory>, Arc<OpenSegments>) {
    let segments = OpenSegments::new(directory.as_ref(), mapped);
    (Sparing::over(directory, &segments), segments)
}

/// A directory whose calls are repeated when they found no descriptor, after idle segments were closed.
#[derive(Debug)]
struct Sparing {
    inner: Arc<dyn Directory>,
    segments: Arc<OpenSegments>,
}

impl Sparing {
    fn over(inner: Arc<dyn Directory>, segments: &Arc<OpenSegments>) -> Arc<dyn Directory> {
        Arc::new(Sparing { inner, segments: Arc::clone(segments) })
    }

    fn with_descriptors<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        with_descriptors(|| self.segments.close_idle(), call)
    }
}

impl Directory for Sparing {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn is_at_path(&self) -> io::Result<bool> {
        self.inner.is_at_path()
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.with_descriptors(|| self.inner.list())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.with_descriptors(|| self.inner.open(name, access))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.with_descriptors(|| self.inner.create(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.with_descriptors(|| self.inner.lock(name))
    }

    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        self.with_descriptors(|| self.inner.lock_directory())
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.inner.id_of(name)
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.inner.free_bytes()
    }

    fn max_open_files(&self) -> Option<u64> {
        self.inner.max_open_files()
    }

    fn salt(&self) -> u64 {
        self.inner.salt()
    }

    fn now_unix_ns(&self) -> u64 {
        self.inner.now_unix_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.inner.monotonic_ns()
    }

    fn wait(&self, pause: Duration) {
        self.inner.wait(pause);
    }
}
