//! A directory that asks the test before each call.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wal_segment::io::{Access, Directory, File, FileId, Listed, Lock, Mapping, Residency};

/// A call that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    /// A descriptor is about to be taken: by an opened or created file, a lock, or for the time of a listing.
    Descriptor,
    /// It is closed.
    Closed,
    Read {
        name: &'a str,
        offset: u64,
        bytes: usize,
    },
    Write {
        name: &'a str,
        offset: u64,
        bytes: usize,
    },
    Sync {
        name: &'a str,
    },
    Synced {
        name: &'a str,
        ok: bool,
    },
    Map {
        name: &'a str,
        bytes: usize,
    },
    /// When it is refused, the cache stays as it is and the system does not tell what is in it.
    DropCache,
    SyncDirectory,
    IdOf {
        name: &'a str,
    },
    FreeBytes,
    Remove {
        name: &'a str,
    },
}

type Ask = dyn Fn(Call<'_>) -> io::Result<()> + Send + Sync;

/// Any directory, with a question before each call.
#[derive(Clone)]
pub(crate) struct Seam {
    inner: Arc<dyn Directory>,
    ask: Arc<Ask>,
    max_open_files: Option<u64>,
}

impl Seam {
    pub(crate) fn new(
        inner: impl Directory + 'static,
        ask: impl Fn(Call<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<Seam> {
        Seam::with_max_open_files(inner, None, ask)
    }

    pub(crate) fn with_max_open_files(
        inner: impl Directory + 'static,
        max_open_files: Option<u64>,
        ask: impl Fn(Call<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<Seam> {
        Arc::new(Seam { inner: Arc::new(inner), ask: Arc::new(ask), max_open_files })
    }

    fn descriptor(&self) -> io::Result<Descriptor> {
        (self.ask)(Call::Descriptor)?;
        Ok(Descriptor(Arc::clone(&self.ask)))
    }

    fn file(&self, name: &str, file: Arc<dyn File>, descriptor: Descriptor) -> Arc<dyn File> {
        let ask = Arc::clone(&self.ask);
        Arc::new(SeamFile { file, name: name.to_owned(), ask, _descriptor: descriptor })
    }

    fn locked(&self, lock: impl Fn() -> io::Result<Box<dyn Lock>>) -> io::Result<Box<dyn Lock>> {
        let descriptor = self.descriptor()?;
        Ok(Box::new(SeamLock { lock: lock()?, _descriptor: descriptor }))
    }
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Directory for Seam {
    fn path(&self) -> &Path {
        self.inner.path()
    }
    fn list(&self) -> io::Result<Vec<Listed>> {
        let _descriptor = self.descriptor()?;
        self.inner.list()
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let descriptor = self.descriptor()?;
        self.inner.open(name, access).map(|file| self.file(name, file, descriptor))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let descriptor = self.descriptor()?;
        self.inner.create(name).map(|file| self.file(name, file, descriptor))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        (self.ask)(Call::Remove { name })?;
        self.inner.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        (self.ask)(Call::SyncDirectory)?;
        self.inner.sync()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.locked(|| self.inner.lock(name))
    }
    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        self.locked(|| self.inner.lock_directory())
    }
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        (self.ask)(Call::IdOf { name })?;
        self.inner.id_of(name)
    }
    fn is_at_path(&self) -> io::Result<bool> {
        self.inner.is_at_path()
    }
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        (self.ask)(Call::FreeBytes)?;
        self.inner.free_bytes()
    }
    fn max_open_files(&self) -> Option<u64> {
        self.max_open_files.or_else(|| self.inner.max_open_files())
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

struct Descriptor(Arc<Ask>);

impl Drop for Descriptor {
    fn drop(&mut self) {
        (self.0)(Call::Closed).expect("a close does not fail");
    }
}

struct SeamLock {
    lock: Box<dyn Lock>,
    _descriptor: Descriptor,
}

impl fmt::Debug for SeamLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock.fmt(f)
    }
}

impl Lock for SeamLock {
    fn id(&self) -> Option<FileId> {
        self.lock.id()
    }
}

struct SeamFile {
    file: Arc<dyn File>,
    name: String,
    ask: Arc<Ask>,
    _descriptor: Descriptor,
}

impl fmt::Debug for SeamFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for SeamFile {
    fn id(&self) -> io::Result<Option<FileId>> {
        self.file.id()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (self.ask)(Call::Read { name: &self.name, offset, bytes: buffer.len() })?;
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        (self.ask)(Call::Write { name: &self.name, offset, bytes: bytes.len() })?;
        self.file.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn sync(&self) -> io::Result<()> {
        (self.ask)(Call::Sync { name: &self.name })?;
        let synced = self.file.sync();
        (self.ask)(Call::Synced { name: &self.name, ok: synced.is_ok() })?;
        synced
    }
    fn drop_cache(&self) -> io::Result<Residency> {
        if (self.ask)(Call::DropCache).is_err() {
            return Ok(Residency::Unknown);
        }
        self.file.drop_cache()
    }
    fn map(&self, len: usize) -> io::Result<Mapping> {
        (self.ask)(Call::Map { name: &self.name, bytes: len })?;
        self.file.map(len)
    }
    fn try_lock_shared(&self) -> io::Result<()> {
        self.file.try_lock_shared()
    }
    fn try_lock(&self) -> io::Result<()> {
        self.file.try_lock()
    }
}
