//! The file system interface of the log, as the virtual file system of SQLite and the `Env` of RocksDB: all its effects go
//! through [`Directory`] and [`File`], so that a test can make any call fail, lose it in a power cut, or run on a
//! simulated disk in memory.
//!
//! Contract of every implementation, and the only thing that the code above may rely on:
//!
//! - A write that returned is visible to later reads, and survives the death of the process. It
//!   survives a power cut only after [`File::sync`] returned `Ok`.
//! - A created, renamed or removed name survives a power cut only after [`Directory::sync`]. Of a rename before that
//!   either half may survive alone: both names lead to the file then, or none.
//! - A [`Directory`] is the directory that was opened, not its path: when that is moved, replaced or hidden by a mount,
//!   every call goes on in the one that was opened.
//! - A read returns fewer bytes than asked for only at the end of the file. An error is never the
//!   end of the file, and the end of the file is never an error.
//! - A write may be short. It may also have stored any part of its bytes when it fails.
//! - After [`File::sync`] failed nothing is known about the bytes that it should have covered.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod disk;
mod mapping;
#[cfg(feature = "sim")]
pub mod sim;

pub use disk::{Disk, is_out_of_descriptors};
pub use mapping::{ForkMark, Mapping};

/// The type of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// An ordinary file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A FIFO, a socket, a device.
    Other,
}

/// Which file of the system a name or a handle leads to. Two that are equal are one file, as long as a handle to it
/// is open; the number of a file that is gone may be given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device, or the file system.
    pub device: u64,
    /// The file on it: on unix the inode.
    pub file: u64,
}

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name; not UTF-8 on disk becomes a name with replacement characters, which is never ours.
    pub name: String,
    /// What the name stands for, without following a link.
    pub kind: FileKind,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone: works on read-only media.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// Whether [`File::drop_cache`] made the next read come from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residency {
    /// The cache was dropped, and no probed place of the file was in it any more: what is read next is
    /// on the device.
    Dropped,
    /// Some of the file is still cached, because another process maps it or the file system has no device, as tmpfs.
    Resident,
    /// The system does not tell.
    Unknown,
}

/// The directory of one log.
pub trait Directory: Send + Sync + fmt::Debug {
    /// Where it was opened, for messages.
    fn path(&self) -> &Path;

    /// Whether its path still leads to it. It does not when the directory was moved or removed, when another one has
    /// taken its name, when a mount hides it, or when a symbolic link on the path leads elsewhere now.
    ///
    /// # Errors
    /// What kept the system from telling.
    fn is_at_path(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// All names in it, in no particular order.
    ///
    /// # Errors
    /// What the system reports.
    fn list(&self) -> io::Result<Vec<Listed>>;

    /// Opens an existing regular file; never follows a symbolic link and never waits for the other
    /// end of a FIFO.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidInput` when the name is no regular file, or what the system reports.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>>;

    /// Creates an empty file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; or what the system reports.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, which must be free.
    ///
    /// # Errors
    /// What the system reports.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// What the system reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Fsyncs the directory: makes every earlier create, rename and remove durable.
    ///
    /// # Errors
    /// What the system reports.
    fn sync(&self) -> io::Result<()>;

    /// Locks the file `name`, which is created if it is not there, against every other process and
    /// every other handle of this one. The lock ends with the returned value, or with the process.
    ///
    /// # Errors
    /// `WouldBlock` at once when another handle holds it; or what the system reports.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>>;

    /// Locks the directory itself, as [`Directory::lock`] locks a file. It has no name that could be exchanged, so this
    /// lock holds when the file of the other one was removed or replaced.
    ///
    /// # Errors
    /// `WouldBlock` at once when another handle holds it; `Unsupported` where a directory cannot be locked, as on NFS
    /// and on Windows; or what the system reports.
    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Which file the name leads to, without following a symbolic link; `None` where the system does not tell. A directory
    /// that wraps another one forwards this, [`Directory::lock_directory`], [`Directory::is_at_path`], [`File::id`] and
    /// [`File::names`]: without them the log works, and does not notice that names are exchanged. It forwards
    /// [`Directory::max_open_files`] and [`Directory::monotonic_ns`], too.
    ///
    /// # Errors
    /// `NotFound` when the name is free; or what the system reports.
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        let _ = name;
        Ok(None)
    }

    /// How much the file system of the directory still takes from this process, in bytes; `None` where the
    /// system does not tell.
    ///
    /// # Errors
    /// What the system reports.
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// How many files this process may have open at once, of all directories together; `None` where the system does
    /// not tell, or an open file takes nothing of the system.
    fn max_open_files(&self) -> Option<u64> {
        None
    }

    /// An unpredictable random number: it names one life of one file.
    fn salt(&self) -> u64;

    /// Nanoseconds since 1970. It may stand still, and be set back or forward: what is durable and where the
    /// log ends never rests on it, only how old a segment is that an earlier process has written, and with it when its
    /// entries may be dropped.
    fn now_unix_ns(&self) -> u64;

    /// Nanoseconds since some moment, by a clock that cannot be set. For a directory whose other clock is never set it
    /// is that one.
    fn monotonic_ns(&self) -> u64 {
        self.now_unix_ns()
    }

    /// Lets `pause` pass, so that a writer in another process can finish what it is writing.
    fn wait(&self, pause: Duration);
}

/// One open file. All methods take offsets, none moves a cursor; a handle may be shared by threads.
#[allow(clippy::len_without_is_empty, reason = "a length in bytes, not a collection")]
pub trait File: Send + Sync + fmt::Debug {
    /// Bytes in the file. Zero is a length like any other, so there is no `is_empty`.
    ///
    /// # Errors
    /// What the system reports.
    fn len(&self) -> io::Result<u64>;

    /// Which file this is; `None` where the system does not tell.
    ///
    /// # Errors
    /// What the system reports.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }

    /// How many names lead to this file, as its file system counts them; 1 where it does not tell. After a power cut the
    /// count may be less than the names that there are.
    ///
    /// # Errors
    /// What the system reports.
    fn names(&self) -> io::Result<u64> {
        Ok(1)
    }

    /// Reads at `offset` until `buffer` is full or the file ends; returns how many bytes came.
    ///
    /// # Errors
    /// What the system reports, interruptions apart.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes once at `offset`; returns how many bytes the system took.
    ///
    /// # Errors
    /// What the system reports, `Interrupted` included.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file `len` bytes long; what is added reads as zeros.
    ///
    /// # Errors
    /// What the system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Preallocates space for the first `len` bytes (`fallocate`) and makes the file at least that long.
    ///
    /// # Errors
    /// `Unsupported` where the file system cannot reserve, or a sandbox does not let it; or what the system reports,
    /// `Interrupted` included.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Fsyncs the file: makes its bytes and its length durable, with `fdatasync` on Linux, `F_FULLFSYNC` on macOS,
    /// `FlushFileBuffers` on Windows.
    ///
    /// # Errors
    /// What the system reports. Never call it a second time after that.
    fn sync(&self) -> io::Result<()>;

    /// Asks the system to forget its cached copy, so that the next read shows what the device holds. Where it does not
    /// take such advice, the answer is [`Residency::Unknown`].
    ///
    /// # Errors
    /// What the system reports.
    fn drop_cache(&self) -> io::Result<Residency>;

    /// Maps the first `len` bytes for reading (`mmap`). The caller has checked that the file is that long and that these
    /// bytes are not written any more.
    ///
    /// # Errors
    /// What the system reports.
    fn map(&self, len: usize) -> io::Result<Mapping>;

    /// Takes a shared lock for this handle (`flock`): while a reader has one, no writer recycles the file. The lock ends with
    /// the handle, or with the process. Two handles of one process are as separate as those of two processes. A lock
    /// neither blocks nor needs a read or a write.
    ///
    /// # Errors
    /// `WouldBlock` at once when another handle has an exclusive lock. `Unsupported` where files cannot be locked in
    /// this way; then [`File::try_lock`] says so too. Or what the system reports.
    fn try_lock_shared(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes an exclusive lock for this handle, which must be open for writing. The lock ends with the handle.
    ///
    /// # Errors
    /// `WouldBlock` at once when another handle has a lock on it; otherwise as
    /// [`File::try_lock_shared`].
    fn try_lock(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A held lock; dropping it releases it.
pub trait Lock: Send + Sync + fmt::Debug {
    /// Which file is locked; `None` where the system does not tell.
    fn id(&self) -> Option<FileId> {
        None
    }

    /// Whether no program can remove or replace the file while it is locked, as on Windows.
    fn keeps_name(&self) -> bool {
        false
    }
}
