//! The cache of open segment files, bounded for the whole process, and retries when file descriptors run out.
//!
//! Descriptors belong to the process, not to a log, so all logs of the process share the bound on idle ones: the
//! one place where logs know of each other. A directory whose files take no descriptor, a simulated one, is not included.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use wal_segment::io::{Access, Directory, File, FileId, Listed, Lock, is_out_of_descriptors};
use wal_segment::{Error, RecentSegments, SegmentReader, Snapshot, Span};
use wal_sync::primitives::{AtomicU64, Mutex, Ordering, ProcessWide, process_id};

/// The bound for one log: 64 mappings of 64 MiB are 4 GiB of address space.
const OF_ONE_LOG: usize = 64;
/// All logs of a process together keep at most one in `SHARE` of the files open that the process may open.
const SHARE: u64 = 4;
/// More than one try, because another thread may take the freed descriptors before the call is repeated.
const MAX_REPETITIONS: u32 = 8;

/// The open segments of each open log, with the process that opened it: a forked child inherits those of its parent, and
/// must not touch them.
static OF_ALL_LOGS: ProcessWide<Vec<(u32, Weak<OpenSegments>)>> = ProcessWide::new(Vec::new());

fn of_this_process() -> Vec<Arc<OpenSegments>> {
    let here = process_id();
    let all = OF_ALL_LOGS.lock_whole();
    all.iter()
        .filter(|(process, _)| *process == here)
        .filter_map(|(_, segments)| segments.upgrade())
        .collect()
}

/// The segments that one log keeps open for its readers. Each takes a descriptor, also when it is mapped, because the file
/// holds a lock.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    recent: Mutex<RecentSegments>,
    /// The number of open segments, readable without the lock.
    count: AtomicU64,
    /// The bound for all logs of this process; `None` when the files of this one take no descriptor.
    shared_bound: Option<u64>,
}

impl OpenSegments {
    /// The open segments of a log in `directory`, with sealed segments `mapped` or not.
    pub(crate) fn new(directory: &dyn Directory, mapped: bool) -> Arc<OpenSegments> {
        let shared_bound = directory.max_open_files().map(|most| most / SHARE);
        let segments = Arc::new(OpenSegments {
            recent: Mutex::new(RecentSegments::new(OF_ONE_LOG, mapped)),
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

    /// Whether sealed segments are mapped.
    pub(crate) fn maps(&self) -> bool {
        self.recent.lock_whole().maps()
    }

    /// Returns the segment of a span, and opens it if necessary; with the error of the first mapping that the system failed.
    pub(crate) fn segment(
        &self,
        directory: &dyn Directory,
        span: &Span,
    ) -> Result<(Arc<SegmentReader>, Option<Error>), Error> {
        // A cache is valid even after a panic under its lock. The lock is not held while the system opens the file.
        let mut recent = self.recent.lock_whole();
        if let Some(segment) = recent.get(span) {
            return Ok((segment, None));
        }
        let mapped = recent.maps();
        drop(recent);
        let mut refused = None;
        let segment = SegmentReader::open(directory, span, mapped, &mut refused)?;
        let mut recent = self.recent.lock_whole();
        let refused = refused.filter(|_| recent.stop_mapping());
        recent.put(&segment);
        self.counted(&recent);
        drop(recent);
        self.keep_the_bound();
        Ok((segment, refused))
    }

    /// Closes the segments that this snapshot does not have.
    pub(crate) fn keep(&self, snapshot: &Snapshot) {
        let mut recent = self.recent.lock_whole();
        recent.keep(snapshot);
        self.counted(&recent);
    }

    fn counted(&self, recent: &RecentSegments) {
        self.count.store(recent.count() as u64, Ordering::Relaxed);
    }

    /// Closes the oldest segment of the log with the most open ones, until the bound of the process holds.
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
        let mut recent = self.recent.lock_whole();
        let oldest = recent.pop_oldest();
        self.counted(&recent);
        drop(recent);
        // Closing the file and unmapping it can be slow: not under the lock.
        drop(oldest);
    }

    fn give_up_idle(&self) -> usize {
        let mut recent = self.recent.lock_whole();
        let idle = recent.take_idle();
        self.counted(&recent);
        drop(recent);
        idle.len()
    }

    /// Closes every segment without a reader, of all logs that share descriptors with this one; returns how many.
    fn close_idle(&self) -> usize {
        if self.shared_bound.is_some() { close_idle() } else { self.give_up_idle() }
    }
}

/// Closes every segment without a reader, of all logs of this process; returns how many.
fn close_idle() -> usize {
    of_this_process().iter().map(|segments| segments.give_up_idle()).sum()
}

/// Repeats a call that failed for lack of a descriptor, as long as `close` frees some.
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

/// Opens a directory; closes idle segments of other logs when descriptors have run out.
pub(crate) fn freeing_descriptors<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    with_descriptors(close_idle, open)
}

/// Wraps the directory of a log so that idle segments are closed when one of its calls needs a descriptor.
pub(crate) fn sparing(
    directory: Arc<dyn Directory>,
    mapped: bool,
) -> (Arc<dyn Directory>, Arc<OpenSegments>) {
    let segments = OpenSegments::new(directory.as_ref(), mapped);
    let sparing = Sparing { inner: directory, segments: Arc::clone(&segments) };
    (Arc::new(sparing), segments)
}

/// A directory that closes idle segments and repeats a call when descriptors have run out.
#[derive(Debug)]
struct Sparing {
    inner: Arc<dyn Directory>,
    segments: Arc<OpenSegments>,
}

impl Sparing {
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
