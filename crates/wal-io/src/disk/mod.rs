//! The real disk: [`Directory`] over `std::fs`, with rustix where std has no call.
//!
//! Invariants:
//! - Nothing is reached but regular files that stand in the directory under their own name. A link is never followed, a
//!   FIFO never waited for, and what a name turned out to be is asked of the opened file, not of the name, so that
//!   nothing can be exchanged in between.
//! - All calls reach the directory that was opened ([`HeldDirectory`]): on unix they are relative to its handle
//!   (`openat` and its kin), so a directory that is moved, replaced or hidden by a mount is still the same one. Elsewhere
//!   they go by its path with all links resolved, and Windows does not rename a directory that is open.
//!
//! What the systems do for [`File::sync`]: `fdatasync` on Linux, `F_FULLFSYNC` on macOS (where `fsync`
//! leaves the bytes in the cache of the device), `FlushFileBuffers` on Windows.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the place that the rule points to"
)]

use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use self::other::{HeldDirectory, create_directory, file_id, read_once, sync_directory, write_once};
#[cfg(unix)]
use self::unix::{
    HeldDirectory, create_directory, file_id, file_names, read_once, sync_directory, write_once,
};
use super::{Access, Directory, File, FileId, FileKind, Listed, Lock, Mapping, Residency};

/// A directory of the file system.
pub struct Disk {
    /// Absolute, so that messages and [`Directory::is_at_path`] mean the same one when the process changes its working
    /// directory.
    path: PathBuf,
    held: HeldDirectory,
    opened: Instant,
}

/// How a name is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Existing(Access),
    /// The name must be free.
    New,
    /// For reading and writing, and made when it is not there.
    Any,
}

impl Disk {
    /// Opens an existing directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, or what the system reports.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Disk> {
        let path = std::path::absolute(path)?;
        if !fs::metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Disk { held: HeldDirectory::open(&path)?, path, opened: Instant::now() })
    }

    /// Opens a directory and creates it if it is not there: the last component alone, with mode 0700
    /// on unix. Its name is durable when this returns.
    ///
    /// # Errors
    /// `NotFound` when the parent is missing, `NotADirectory` when something else has the name, or
    /// what the system reports.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Disk> {
        let path = std::path::absolute(path)?;
        let existed = match create_directory(&path) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error),
        };
        let disk = Disk::open(&path)?;
        // Also when it existed: the process that made it may have died before it got here.
        match path.parent().map_or(Ok(()), sync_directory) {
            // This user may not open the parent. Then another user created the directory.
            Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => Ok(disk),
            synced => synced.map(|()| disk),
        }
    }

    /// Opens a name and refuses what is not a regular file.
    fn regular(&self, name: &str, opening: Opening) -> io::Result<fs::File> {
        let file = match self.held.open_file(name, opening) {
            Ok(file) => file,
            // A link, a directory and a socket each fail with an error of their own, if they fail.
            Err(error) => match self.held.kind_of(name) {
                Ok(kind) if kind != FileKind::Regular && error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(not_regular());
                }
                _ => return Err(error),
            },
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
    }
}

impl Directory for Disk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_at_path(&self) -> io::Result<bool> {
        self.held.is_at(&self.path)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.held.list()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile(self.regular(name, Opening::Existing(access))?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile(self.regular(name, Opening::New)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.held.rename_to_free(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.held.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.held.sync()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        let file = self.regular(name, Opening::Any)?;
        answered(file.try_lock())?;
        Ok(Box::new(DiskLock { id: file_id(&file)?, _held: file }))
    }

    #[cfg(unix)]
    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        let own_handle = self.held.reopen()?;
        lock_whole_directory(&own_handle)?;
        Ok(Box::new(DiskLock { id: file_id(&own_handle)?, _held: own_handle }))
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.held.id_of(name)
    }

    #[cfg(unix)]
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.held.free_bytes()
    }

    #[cfg(unix)]
    fn max_open_files(&self) -> Option<u64> {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current
    }

    fn salt(&self) -> u64 {
        // Every `RandomState` of a thread has keys of its own, the first ones from the system's source
        // of randomness. A fork copies them, so time and process are hashed under them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RandomState::new().hash_one((now, std::process::id()))
    }

    fn now_unix_ns(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wait(&self, pause: Duration) {
        thread::sleep(pause);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.path.display())
    }
}

/// One opened file; the system closes it when the last handle goes.
#[derive(Debug)]
struct DiskFile(fs::File);

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        file_id(&self.0)
    }

    #[cfg(unix)]
    fn names(&self) -> io::Result<u64> {
        file_names(&self.0)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match read_once(&self.0, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        write_once(&self.0, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        allocate(&self.0, len)
    }

    fn sync(&self) -> io::Result<()> {
        sync_data(&self.0)
    }

    fn drop_cache(&self) -> io::Result<Residency> {
        drop_cache(&self.0)
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        Mapping::of(&self.0, len)
    }

    // Elsewhere a lock keeps others from the bytes of the file, the writer of the log too.
    #[cfg(unix)]
    fn try_lock_shared(&self) -> io::Result<()> {
        locked(self.0.try_lock_shared())
    }

    #[cfg(unix)]
    fn try_lock(&self) -> io::Result<()> {
        locked(self.0.try_lock())
    }
}

fn answered(outcome: Result<(), fs::TryLockError>) -> io::Result<()> {
    outcome.map_err(|error| match error {
        fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        fs::TryLockError::Error(error) => error,
    })
}

/// Whether locks are in use is a question to the file system: one that has none says so in several words.
#[cfg(unix)]
fn locked(outcome: Result<(), fs::TryLockError>) -> io::Result<()> {
    use rustix::io::Errno;
    answered(outcome).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOLCK | Errno::NOSYS | Errno::NOTSUP | Errno::INVAL) => io::ErrorKind::Unsupported.into(),
        _ => error,
    })
}

#[cfg(unix)]
fn lock_whole_directory(own_handle: &fs::File) -> io::Result<()> {
    use rustix::io::Errno;
    locked(own_handle.try_lock()).map_err(|error| match Errno::from_io_error(&error) {
        // NFS turns the lock into one that a handle for writing alone may have, and a directory has none.
        Some(Errno::BADF | Errno::ISDIR | Errno::ACCESS | Errno::PERM) => io::ErrorKind::Unsupported.into(),
        _ => error,
    })
}

/// The system gives the lock up when the file is closed.
#[derive(Debug)]
struct DiskLock {
    id: Option<FileId>,
    _held: fs::File,
}

impl Lock for DiskLock {
    fn id(&self) -> Option<FileId> {
        self.id
    }

    fn keeps_name(&self) -> bool {
        cfg!(windows)
    }
}

/// Whether a call failed with `EMFILE` or `ENFILE`, or the like: no file descriptor is left.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
    }
    #[cfg(not(unix))]
    {
        const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
        error.raw_os_error() == Some(ERROR_TOO_MANY_OPEN_FILES)
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// One call. std's `sync_data` repeats an interrupted one, and a second try after a failure may be
/// answered with success although the first one has dropped the bytes.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn sync_data(file: &fs::File) -> io::Result<()> {
    rustix::fs::fdatasync(file).map_err(io::Error::from)
}

/// On Apple's systems std knows the call that reaches the device.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn sync_data(file: &fs::File) -> io::Result<()> {
    file.sync_data()
}

#[cfg(target_os = "linux")]
fn allocate(file: &fs::File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    if len == 0 {
        return Ok(()); // The system calls this an invalid argument.
    }
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        // File systems and sandboxes that know no reservation have several words for that.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        answered => Ok(answered?),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &fs::File, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn drop_cache(file: &fs::File) -> io::Result<Residency> {
    use rustix::fs::Advice;
    let len = file.metadata()?.len();
    let dropped = advise(file, Advice::DontNeed)?;
    // A probe of a page that is not there may start a read of it in the background. Without readahead
    // it is that page alone, and cannot make the next probe find what this one caused.
    let alone = advise(file, Advice::Random)?;
    let residency = probe(file, len);
    advise(file, Advice::Normal)?;
    Ok(match residency {
        // Three probes prove nothing about a file whose cache was not dropped, or that was read ahead.
        Residency::Dropped if !(dropped && alone) => Residency::Unknown,
        found => found,
    })
}

/// Whether the advice was taken: a kernel may be built without, and a sandbox may refuse it.
#[cfg(target_os = "linux")]
fn advise(file: &fs::File, advice: rustix::fs::Advice) -> io::Result<bool> {
    use rustix::io::Errno;
    match rustix::fs::fadvise(file, 0, None, advice) {
        Ok(()) => Ok(true),
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Asks for single bytes, on condition that no device is needed: the last one, the middle one, the one where a segment's first
/// frame begins, and the first one. Only one in a page, because a probe may start a read of its page. A zero says nothing:
/// space that is reserved and was never written reads as zeros without the device.
#[cfg(target_os = "linux")]
fn probe(file: &fs::File, len: u64) -> Residency {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let page_bytes = rustix::param::page_size() as u64;
    let mut found = Residency::Unknown;
    let mut probed_page = None;
    // Backward from the end: readahead reads bytes after the probe.
    for offset in [len.saturating_sub(1), len / 2, FIRST_FRAME, 0] {
        let page = offset / page_bytes;
        if probed_page.is_some_and(|before| before <= page) {
            continue;
        }
        probed_page = Some(page);
        let mut byte = [0];
        match preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(Errno::AGAIN) => found = Residency::Dropped,
            Ok(_) if byte == [0] => {}
            Ok(_) => return Residency::Resident,
            Err(_) => return Residency::Unknown,
        }
    }
    found
}

/// The offset after both headers.
#[cfg(target_os = "linux")]
const FIRST_FRAME: u64 = 8192;

#[cfg(not(target_os = "linux"))]
fn drop_cache(_file: &fs::File) -> io::Result<Residency> {
    Ok(Residency::Unknown)
}
