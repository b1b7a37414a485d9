//! The real disk: [`Directory`] over `std::fs`, with rustix where std has no call.
//!
//! Invariant: nothing is reached but regular files that stand in the directory under their own name.
//! A link is never followed, a FIFO never waited for, and what a name turned out to be is asked of the
//! opened file, not of the name, so that nobody can exchange it in between.
//!
//! The directory is kept as an absolute path, fixed when it is opened, so that a relative path goes on
//! working when the process changes its working directory. Calls relative to a held directory (`openat`
//! and its kin) would also survive a rename of the directory, but Windows has none: every method would
//! exist twice, and the second copy would be the untested one. Whoever moves the directory of an open
//! log gets `NotFound`.
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
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Access, Directory, File, FileKind, Listed, Lock, Mapping, Residency};

/// A directory of the file system.
pub struct Disk {
    path: PathBuf,
    /// Held open so that a sync needs no free file descriptor. Windows cannot sync a directory.
    #[cfg(unix)]
    handle: fs::File,
}

impl Disk {
    /// Opens an existing directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, or what the system reports; the message names the path.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Disk> {
        let path = path.as_ref();
        Disk::open_absolute(path).map_err(|error| naming(path, &error))
    }

    /// Opens a directory and creates it if it is not there: the last component alone, with mode 0700
    /// on unix. Its name is durable when this returns.
    ///
    /// # Errors
    /// `NotFound` when the parent is missing, `NotADirectory` when something else has the name, or
    /// what the system reports; the message names the path.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Disk> {
        let path = path.as_ref();
        Disk::create_absolute(path).map_err(|error| naming(path, &error))
    }

    fn open_absolute(path: &Path) -> io::Result<Disk> {
        let path = std::path::absolute(path)?;
        if !fs::metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Disk {
            #[cfg(unix)]
            handle: fs::File::open(&path)?,
            path,
        })
    }

    fn create_absolute(path: &Path) -> io::Result<Disk> {
        let path = std::path::absolute(path)?;
        let existed = match create_directory(&path) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error),
        };
        let disk = Disk::open_absolute(&path)?;
        // Also when it existed: the process that made it may have died before it got here.
        match path.parent().map_or(Ok(()), sync_directory) {
            // The parent belongs to somebody else, who then also made the directory.
            Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => Ok(disk),
            synced => synced.map(|()| disk),
        }
    }

    /// Opens what `options` say and refuses whatever is not a regular file.
    fn regular(&self, name: &str, options: &mut fs::OpenOptions) -> io::Result<fs::File> {
        let path = self.path.join(name);
        stay_on_the_name(options);
        let file = match options.open(&path) {
            Ok(file) => file,
            // A link, a directory and a socket each fail with an error of their own, if they fail.
            Err(error) => match fs::symlink_metadata(&path) {
                Ok(found) if !found.is_file() && error.kind() != io::ErrorKind::AlreadyExists => {
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

    fn list(&self) -> io::Result<Vec<Listed>> {
        fs::read_dir(&self.path)?
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok(Listed { name, kind: kind_of(entry.file_type()?) })
            })
            .collect()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let write = access == Access::ReadWrite;
        let file = self.regular(name, fs::OpenOptions::new().read(true).write(write))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.regular(name, fs::OpenOptions::new().read(true).write(true).create_new(true))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rename_to_free(&self.path.join(from), &self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        return self.handle.sync_all();
        // Windows has no such call for a directory; NTFS journals names in order.
        #[cfg(not(unix))]
        return Ok(());
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        let mut options = fs::OpenOptions::new();
        let file = self.regular(name, options.read(true).write(true).create(true).truncate(false))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock { _held: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        #[cfg(unix)]
        {
            let found = rustix::fs::fstatvfs(&self.handle)?;
            Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
        }
        #[cfg(not(unix))]
        Ok(None)
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
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset);
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

#[cfg(unix)]
fn locked(outcome: Result<(), fs::TryLockError>) -> io::Result<()> {
    use rustix::io::Errno;
    match outcome {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(fs::TryLockError::Error(error)) => match Errno::from_io_error(&error) {
            Some(Errno::NOLCK | Errno::NOSYS | Errno::NOTSUP | Errno::INVAL) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            _ => Err(error),
        },
    }
}

/// The system gives the lock up when the file is closed.
#[derive(Debug)]
struct DiskLock {
    _held: fs::File,
}

impl Lock for DiskLock {}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("directory {}: {error}", path.display()))
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn kind_of(found: fs::FileType) -> FileKind {
    if found.is_file() {
        FileKind::Regular
    } else if found.is_dir() {
        FileKind::Directory
    } else if found.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

/// Opening must neither follow a link nor wait for the other end of a FIFO.
#[cfg(unix)]
fn stay_on_the_name(options: &mut fs::OpenOptions) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    options.mode(0o600).custom_flags(flags.bits().cast_signed());
}

#[cfg(windows)]
fn stay_on_the_name(options: &mut fs::OpenOptions) {
    use std::os::windows::fs::OpenOptionsExt;
    /// Opens the link itself, which is then refused as no regular file.
    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
}

fn create_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(path);
    #[cfg(not(unix))]
    return fs::create_dir(path);
}

fn read_once(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
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

fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return fs::File::open(path)?.sync_all();
    #[cfg(not(unix))]
    return fs::metadata(path).map(|_| ());
}

/// Lets the system refuse a taken name where it can; elsewhere the lock on the log keeps others from
/// taking the name between the question and the rename.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // File systems that do not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            answered => return answered.map_err(io::Error::from),
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &fs::File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    if len == 0 {
        return Ok(()); // The system calls this an invalid argument.
    }
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        answered => answered.map_err(io::Error::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &fs::File, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn drop_cache(file: &fs::File) -> io::Result<Residency> {
    use rustix::fs::{Advice, fadvise};
    let len = file.metadata()?.len();
    fadvise(file, 0, None, Advice::DontNeed)?;
    // A probe of a page that is not there may start a read of it in the background. Without readahead
    // it is that page alone, and cannot make the next probe find what this one caused.
    fadvise(file, 0, None, Advice::Random)?;
    let residency = probe(file, len);
    fadvise(file, 0, None, Advice::Normal)?;
    Ok(residency)
}

/// Asks for the first byte, the middle one and the last one, on condition that no device is needed.
#[cfg(target_os = "linux")]
fn probe(file: &fs::File, len: u64) -> Residency {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    // From the end backwards: what is read ahead lies behind the probe.
    for offset in [len.saturating_sub(1), len / 2, 0] {
        let mut byte = [0];
        match preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(Errno::AGAIN) => {}
            Ok(_) => return Residency::Resident,
            Err(_) => return Residency::Unknown,
        }
    }
    Residency::Dropped
}

#[cfg(not(target_os = "linux"))]
fn drop_cache(_file: &fs::File) -> io::Result<Residency> {
    Ok(Residency::Unknown)
}
