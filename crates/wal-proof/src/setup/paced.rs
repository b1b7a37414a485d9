//! A slow directory: its writes and syncs take random time, so that threads meet in a group, after a sync and at a
//! rollover, as they do on a disk. In memory every call would be over before another thread comes.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wal::Directory;
use wal::sim::Random;
use wal_segment::io::{Access, File, FileId, Listed, Lock, Mapping, Residency};

/// Lets a random time pass before and after each call that changes something.
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

/// A slow directory.
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
    wal_testing::forward! { directory:
        fn path(&self) -> &Path;
        fn list(&self) -> io::Result<Vec<Listed>>;
        fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>>;
        fn lock_directory(&self) -> io::Result<Box<dyn Lock>>;
        fn id_of(&self, name: &str) -> io::Result<Option<FileId>>;
        fn is_at_path(&self) -> io::Result<bool>;
        fn free_bytes(&self) -> io::Result<Option<u64>>;
        fn max_open_files(&self) -> Option<u64>;
        fn salt(&self) -> u64;
        fn now_unix_ns(&self) -> u64;
        fn monotonic_ns(&self) -> u64;
        fn wait(&self, pause: Duration);
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
}

#[derive(Debug)]
struct PacedFile {
    file: Arc<dyn File>,
    pace: Pace,
}

impl File for PacedFile {
    wal_testing::forward! { file:
        fn id(&self) -> io::Result<Option<FileId>>;
        fn names(&self) -> io::Result<u64>;
        fn len(&self) -> io::Result<u64>;
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
        fn drop_cache(&self) -> io::Result<Residency>;
        fn map(&self, len: usize) -> io::Result<Mapping>;
        fn try_lock_shared(&self) -> io::Result<()>;
        fn try_lock(&self) -> io::Result<()>;
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
}
