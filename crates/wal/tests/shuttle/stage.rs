//! The simulated disk, with a switch of threads possible in front of every call; wrong on request.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use wal::Directory;
use wal_segment::io::sim::SimDisk;
use wal_segment::io::{Access, File, FileId, Listed, Lock, Mapping, Residency};

/// How the disk is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    Nothing,
    /// Files are said to be synced, and are not.
    NoSync,
    /// Reads in a file show other bytes now and then.
    StaleReads,
}

/// Calls to the disk, which shuttle sees as steps.
#[derive(Clone, Debug)]
struct Steps {
    made: Arc<AtomicU64>,
    lie: Lie,
    /// Not a step: nobody waits for it.
    lies: Arc<std::sync::atomic::AtomicBool>,
}

impl Steps {
    fn step(&self) -> u64 {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    fn is(&self, lie: Lie) -> bool {
        self.lie == lie && self.lies.load(Ordering::SeqCst)
    }
}

/// A directory of steps.
#[derive(Debug)]
pub(crate) struct Stage {
    disk: SimDisk,
    steps: Steps,
    used: Mutex<Used>,
}

/// Files that were one segment and became another.
#[derive(Debug, Default)]
struct Used {
    /// What those that wait were called as segments.
    waiting: BTreeMap<String, String>,
    again: u64,
}

impl Stage {
    pub(crate) fn new(disk: SimDisk, lie: Lie) -> Stage {
        let steps = Steps { made: Arc::default(), lie, lies: Arc::default() };
        Stage { disk, steps, used: Mutex::default() }
    }

    /// How many files of one segment became another one.
    pub(crate) fn used_again(&self) -> u64 {
        self.used().again
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until then the disk is right.
    pub(crate) fn begin_to_lie(&self) {
        self.steps.lies.store(true, Ordering::SeqCst);
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(StageFile { file, steps: self.steps.clone() })
    }
}

impl Directory for Stage {
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn list(&self) -> io::Result<Vec<Listed>> {
        self.steps.step();
        self.disk.list()
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.steps.step();
        Directory::open(&self.disk, name, access).map(|file| self.file(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.steps.step();
        self.disk.create(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.steps.step();
        self.disk.rename(from, to)?;
        let mut used = self.used();
        if to.starts_with("pool-") {
            used.waiting.insert(to.to_owned(), from.to_owned());
        } else if used.waiting.remove(from).is_some_and(|before| before != to) {
            used.again += 1;
        }
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.steps.step();
        self.disk.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.steps.step();
        self.disk.sync()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(name)
    }
    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        self.disk.lock_directory()
    }
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.steps.step();
        self.disk.id_of(name)
    }
    fn is_at_path(&self) -> io::Result<bool> {
        self.disk.is_at_path()
    }
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.disk.free_bytes()
    }

    fn max_open_files(&self) -> Option<u64> {
        self.disk.max_open_files()
    }
    fn salt(&self) -> u64 {
        self.disk.salt()
    }
    fn now_unix_ns(&self) -> u64 {
        self.disk.now_unix_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.disk.monotonic_ns()
    }
    fn wait(&self, _pause: Duration) {
        shuttle::thread::yield_now();
    }
}

#[derive(Debug)]
struct StageFile {
    file: Arc<dyn File>,
    steps: Steps,
}

impl File for StageFile {
    fn id(&self) -> io::Result<Option<FileId>> {
        self.file.id()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let step = self.steps.step();
        let bytes = self.file.read_at(buffer, offset)?;
        if self.steps.is(Lie::StaleReads) && step % 16 == 15 && bytes > 0 {
            buffer[bytes / 2] ^= 1;
        }
        Ok(bytes)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.steps.step();
        self.file.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.steps.step();
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.steps.step();
        self.file.allocate(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.steps.step();
        if self.steps.is(Lie::NoSync) { Ok(()) } else { self.file.sync() }
    }
    fn drop_cache(&self) -> io::Result<Residency> {
        self.file.drop_cache()
    }
    fn map(&self, len: usize) -> io::Result<Mapping> {
        self.steps.step();
        self.file.map(len)
    }
    fn try_lock_shared(&self) -> io::Result<()> {
        self.steps.step();
        self.file.try_lock_shared()
    }
    fn try_lock(&self) -> io::Result<()> {
        self.steps.step();
        self.file.try_lock()
    }
}
