//! A directory whose writes and syncs take time, so that threads meet in a group, behind a sync and at a
//! rollover, as they do on a disk. In memory every call would be over before another thread comes.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wal::Directory;
use wal::sim::Random;
use wal_segment::io::{Access, File, FileId, Listed, Lock, Mapping, Residency};

/// Lets a random time pass in front of, or behind, every call that changes something.
#[derive(Clone, Debug)]
struct Pace(Arc<Mutex<Random>>);

impl Pace {
    fn pass<T>(&self, call: impl FnOnce() -> T) -> T {
        let (before, after) = {
            let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (random.below(8), random.below(8))
        };
        pause(before);
        let outcome = call();
        pause(after);
        outcome
    }
}

/// Mostly short: a yield, and now and then a sleep.
fn pause(length: usize) {
    match length {
        0..=3 => {}
        4..=6 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(60)),
    }
}

/// A directory that takes its time.
#[derive(Debug)]
pub(crate) struct Paced {
    directory: Arc<dyn Directory>,
    pace: Pace,
}

impl Paced {
    pub(crate) fn new(directory: Arc<dyn Directory>, seed: u64) -> Paced {
        Paced { directory, pace: Pace(Arc::new(Mutex::new(Random::new(seed)))) }
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(PacedFile { file, pace: self.pace.clone() })
    }
}

impl Directory for Paced {
    fn path(&self) -> &Path {
        self.directory.path()
    }
    fn list(&self) -> io::Result<Vec<Listed>> {
        self.directory.list()
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.directory.open(name, access).map(|file| self.file(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.pace.pass(|| self.directory.create(name)).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.pace.pass(|| self.directory.rename(from, to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.pace.pass(|| self.directory.remove(name))
    }
    fn sync(&self) -> io::Result<()> {
        self.pace.pass(|| self.directory.sync())
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.directory.lock(name)
    }
    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        self.directory.lock_directory()
    }
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.directory.id_of(name)
    }
    fn is_at_path(&self) -> io::Result<bool> {
        self.directory.is_at_path()
    }
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.directory.free_bytes()
    }

    fn max_open_files(&self) -> Option<u64> {
        self.directory.max_open_files()
    }
    fn salt(&self) -> u64 {
        self.directory.salt()
    }
    fn now_unix_ns(&self) -> u64 {
        self.directory.now_unix_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.directory.monotonic_ns()
    }
    fn wait(&self, pause: Duration) {
        self.directory.wait(pause);
    }
}

#[derive(Debug)]
struct PacedFile {
    file: Arc<dyn File>,
    pace: Pace,
}

impl File for PacedFile {
    fn id(&self) -> io::Result<Option<FileId>> {
        self.file.id()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.pace.pass(|| self.file.write_at(bytes, offset))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pace.pass(|| self.file.set_len(len))
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.pace.pass(|| self.file.allocate(len))
    }
    fn sync(&self) -> io::Result<()> {
        self.pace.pass(|| self.file.sync())
    }
    fn drop_cache(&self) -> io::Result<Residency> {
        self.file.drop_cache()
    }
    fn map(&self, len: usize) -> io::Result<Mapping> {
        self.file.map(len)
    }
    fn try_lock_shared(&self) -> io::Result<()> {
        self.file.try_lock_shared()
    }
    fn try_lock(&self) -> io::Result<()> {
        self.file.try_lock()
    }
}
