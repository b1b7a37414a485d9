//! What can go wrong with a single call, and when it does.

use std::fmt;
use std::io;

/// A kind of call to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::set_len`.
    SetLen,
    /// `File::allocate`.
    Allocate,
    /// `File::sync`.
    SyncFile,
    /// `Directory::sync`.
    SyncDirectory,
    /// `Directory::create`, and the creation within `Directory::lock`.
    Create,
    /// `Directory::open`.
    Open,
    /// `Directory::rename`.
    Rename,
    /// `Directory::remove`.
    Remove,
    /// `Directory::list`.
    List,
    /// `Directory::lock` and `Directory::lock_directory`.
    Lock,
    /// `Directory::id_of`.
    IdOf,
    /// `File::map`.
    Map,
    /// `File::drop_cache`.
    DropCache,
    /// `File::len`.
    Len,
    /// `File::try_lock_shared` and `File::try_lock`.
    LockFile,
    /// Every one of them.
    Any, // Stands last: only what stands before it is counted.
}

impl CallKind {
    /// Whether the call changes something or makes it durable; only these are numbered.
    pub(super) fn is_operation(self) -> bool {
        use CallKind::{Allocate, Create, Remove, Rename, SetLen, SyncDirectory, SyncFile, Write};
        matches!(self, Create | Rename | Remove | SyncDirectory | Write | SetLen | Allocate | SyncFile)
    }
}

/// How often a [`Fault`] strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Once,
    /// From then on.
    Forever,
}

/// An error to come back from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An error that std names.
    Kind(io::ErrorKind),
    /// An error number of the system.
    Errno(i32),
}

impl From<io::ErrorKind> for Failure {
    fn from(kind: io::ErrorKind) -> Failure {
        Failure::Kind(kind)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        match failure {
            Failure::Kind(kind) => io::Error::new(kind, "injected"),
            Failure::Errno(errno) => io::Error::from_raw_os_error(errno),
        }
    }
}

/// What a failing sync leaves. Lengths stay pending in every case: they belong to the file
/// system's journal, not to the pages that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncLoss {
    /// The sync fails. Reads go on showing the new bytes, the device has the old ones, and the pages
    /// count as clean: a later sync says `Ok` without writing them, and dropping the cache brings the
    /// old bytes back. This is ext4 and xfs.
    CacheNewDiskOld,
    /// The sync fails, and the old bytes are back at once.
    CacheReverted,
    /// The sync fails after it has stored some of the blocks, never all, perhaps none. Otherwise as
    /// `CacheNewDiskOld`.
    PartWritten,
    /// This sync says `Ok` and has stored nothing: all stays pending. The next sync of the same file
    /// fails as with `CacheNewDiskOld`.
    ReportedLate,
}

/// What happens to the call that a [`Fault`] strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEffect {
    /// Nothing is done and this error comes back. A sync leaves everything pending.
    Error(Failure),
    /// Of a write: this many bytes are stored, and `Ok` says so.
    ShortWrite(usize),
    /// Of a write: this many bytes are stored, and yet this error comes back.
    PartialThenError(usize, Failure),
    /// Of a sync.
    SyncLoss(SyncLoss),
}

impl FaultEffect {
    /// An effect without a meaning for a call passes it by.
    fn fits(self, call: CallKind) -> bool {
        match self {
            FaultEffect::Error(_) => true,
            FaultEffect::ShortWrite(_) | FaultEffect::PartialThenError(..) => call == CallKind::Write,
            FaultEffect::SyncLoss(_) => matches!(call, CallKind::SyncFile | CallKind::SyncDirectory),
        }
    }
}

/// One fault, to be armed with `SimDisk::fail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which calls it waits for.
    pub call: CallKind,
    /// How many of them pass before it strikes, counted from arming; calls that the effect does not
    /// fit are not counted.
    pub nth: u64,
    /// Whether it strikes again.
    pub times: Times,
    /// What it does.
    pub with: FaultEffect,
}

/// A fault that waits.
#[derive(Clone)]
pub(super) struct Armed {
    fault: Fault,
    passed: u64,
}

impl Armed {
    pub(super) fn new(fault: Fault) -> Armed {
        Armed { fault, passed: 0 }
    }

    /// Sees a call pass; returns what to do to it.
    pub(super) fn strike(&mut self, call: CallKind) -> Option<FaultEffect> {
        let waits = self.fault.call == CallKind::Any || self.fault.call == call;
        if !waits || !self.fault.with.fits(call) {
            return None;
        }
        let place = self.passed;
        self.passed += 1;
        let strikes = match self.fault.times {
            Times::Once => place == self.fault.nth,
            Times::Forever => place >= self.fault.nth,
        };
        strikes.then_some(self.fault.with)
    }
}

/// The payload of the error that every call returns from the crash point on.
#[derive(Debug)]
struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated machine has crashed")
    }
}

impl std::error::Error for Crashed {}

pub(super) fn crash() -> io::Error {
    io::Error::other(Crashed)
}

/// Whether an error comes from the crash point of a simulated disk rather than from a fault.
#[must_use]
pub fn is_crash(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(payload) if payload.is::<Crashed>())
}

/// The device failed.
pub(super) fn eio() -> io::Error {
    system_error(5, io::ErrorKind::Other)
}

/// The device is full.
pub(super) fn enospc() -> io::Error {
    system_error(28, io::ErrorKind::StorageFull)
}

/// The file system is mounted for reading.
pub(super) fn erofs() -> io::Error {
    system_error(30, io::ErrorKind::ReadOnlyFilesystem)
}

/// The three numbers are the same on every unix, and mean something else on Windows.
fn system_error(errno: i32, kind: io::ErrorKind) -> io::Error {
    if cfg!(unix) { io::Error::from_raw_os_error(errno) } else { io::Error::from(kind) }
}
