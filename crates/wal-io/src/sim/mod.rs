//! A simulated disk in memory for crash tests, of this log and of engines built on it: it loses power at any operation,
//! tears writes, loses what no fsync covered, and fails any call.
//!
//! [`SimDisk`] is a [`Directory`], so a log opens on it as on a real one. It keeps three things apart
//! that a real machine keeps apart: what the process sees, what the device holds for certain, and what
//! is on its way. From that it makes *images*: fresh disks, each a state in which a power cut may leave
//! this one. A test runs a workload up to some operation, then recovers from every image and checks
//! what it was promised:
//!
//! ```
//! use wal_io::Directory;
//! use wal_io::sim::{CrashModel, SimDisk, is_crash};
//!
//! /// The engine under test: acknowledges when this returns `Ok`.
//! fn store(directory: &dyn Directory) -> std::io::Result<()> {
//!     let file = directory.create("value")?;
//!     assert_eq!(file.write_at(b"42", 0)?, 2);
//!     file.sync()?;
//!     directory.sync()
//! }
//!
//! for operation in 0.. {
//!     let disk = SimDisk::new(7);
//!     disk.crash_at(operation);
//!     let result = store(&disk);
//!     let acknowledged = result.is_ok();
//!     assert!(acknowledged || result.is_err_and(|error| is_crash(&error)));
//!     for image in disk.crash_images(CrashModel::default(), 1) {
//!         let found = image.contents("value");
//!         // What was acknowledged is there, whatever the power cut did; the message replays it.
//!         assert!(!acknowledged || found.as_deref() == Some(b"42".as_slice()), "{}", image.origin());
//!     }
//!     if acknowledged {
//!         break;
//!     }
//! }
//! ```
//!
//! What a power cut may leave is told at [`CrashModel`], what else can go wrong at [`FaultEffect`].
//! Everything is deterministic: salts, clock and images follow from seeds.
//!
//! ```text
//!   process ── write ──▶ cache ── sync ──▶ durable      a file: blocks of 4 KiB, and a length
//!                          │                  ▲
//!                          └─ versions, lengths ─ any of them, at a power cut
//!
//!   process ─ create ──▶ cached ── sync ──▶ durable     the directory: names
//!             rename       │                  ▲
//!             remove       └───── changes ────┘ any of them, at a power cut; a rename is two
//! ```
//!
//! One lock guards all; no call waits while it holds it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a disk that exists in memory is shared by its handles; no algorithm of the log waits here"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Access, Directory, File, FileId, FileKind, Listed, Lock};

mod crash;
mod fault;
mod file;
mod hash;
mod inode;
mod origin;
mod pick;
mod random;
mod state;

pub use crash::{CrashImages, CrashModel};
pub use fault::{CallKind, Failure, Fault, FaultEffect, SyncLoss, Times, is_crash};
pub use pick::Pick;
pub use random::Random;

use crash::Pending;
use fault::Armed;
use file::{DirectoryLock, SimFile, id_of};
use hash::Hash;
use inode::{BLOCK_BYTES, Inode};
use origin::Origin;
use state::{Entry, State};

/// A simulated disk with one directory. A clone is another handle to the same disk; images, and the
/// disk after a [`kill`](SimDisk::kill), are disks of their own.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk. The seed decides salts and everything that a fault leaves to chance.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::of(State::new(seed))
    }

    fn of(state: State) -> SimDisk {
        SimDisk { shared: Arc::new(Mutex::new(state)) }
    }

    /// A thread that panicked under the lock has failed its test; the others may go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Crashes
impl SimDisk {
    /// Crashes at the operation with this number: it does not happen, and from then on every call
    /// fails with an error that [`is_crash`] knows. Operations are numbered from 0 and are the calls
    /// that change something or make it durable: `create`, `rename`, `remove`, both kinds of `sync`,
    /// `write_at`, `set_len`, `allocate`. `lock` is one if it creates the file.
    pub fn crash_at(&self, operation: u64) {
        self.state().crash_at = Some(operation);
    }

    /// Whether the crash point has been reached.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.state().crashed
    }

    /// How many operations there were, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What a power cut at this moment may leave, each as a disk of its own with a cold cache. The
    /// number of images is known beforehand; several may be equal, see [`hash`](SimDisk::hash).
    #[must_use]
    pub fn crash_images(&self, model: CrashModel, seed: u64) -> CrashImages {
        CrashImages::of(Pending::of(&self.state()), model, seed)
    }

    /// One image again, from the pick of an earlier run.
    #[must_use]
    pub fn crash_image(&self, pick: &Pick) -> SimDisk {
        Arc::new(Pending::of(&self.state())).image(pick)
    }

    /// The image in which nothing survived that no completed sync covered.
    #[must_use]
    pub fn power_cut_losing_everything(&self) -> SimDisk {
        let pending = Arc::new(Pending::of(&self.state()));
        pending.image(&pending.all_old())
    }

    /// The image in which everything survived that was on its way to the device.
    #[must_use]
    pub fn power_cut_keeping_everything(&self) -> SimDisk {
        let pending = Arc::new(Pending::of(&self.state()));
        pending.image(&pending.all_new())
    }

    /// The disk after the death of the process alone: the cache is as it was, what was pending is still
    /// pending, and handles, locks, faults and the crash point are gone.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        SimDisk::of(self.state().restarted())
    }

    /// How this disk came to be, one crash after the other, for the message of a failing test. The
    /// quoted picks replay it.
    #[must_use]
    pub fn origin(&self) -> String {
        let origin = Arc::clone(&self.state().origin);
        origin.to_string()
    }

    /// Which pending items the power cut kept that made this disk; `None` if none did.
    #[must_use]
    pub fn pick(&self) -> Option<Pick> {
        match &*self.state().origin {
            Origin::Cut { pick, .. } => Some(pick.clone()),
            _ => None,
        }
    }

    /// A hash of what the device holds: names, which of them lead to one file, lengths, contents. For counting different states.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let state = self.state();
        let mut hash = Hash::new();
        let mut first_names = BTreeMap::new();
        for (name, entry) in &state.durable {
            hash.bytes(name.as_bytes());
            match entry {
                Entry::Other(kind) => hash.word(*kind as u64 + 1),
                Entry::File(number) => {
                    // Two names of one file are not two equal files.
                    let first_name = first_names.entry(number).or_insert(name);
                    hash.bytes(first_name.as_bytes());
                    let inode = state.inode(*number);
                    let durable = &inode.durable;
                    hash.word(0);
                    hash.word(durable.len);
                    durable.blocks().for_each(|(index, block)| hash.block(index, block));
                    inode.hidden().for_each(|(index, block)| hash.block(index, block));
                }
            }
        }
        hash.finish()
    }
}

/// # Faults
impl SimDisk {
    /// Arms a fault. Several may be armed; the one armed first strikes where two would.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(Armed::new(fault));
    }

    /// Disarms all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Leaves this many bytes of free space, rounded down to blocks of 4 KiB; `None` is without end.
    /// A block takes space when it is first written or allocated, and gives it back when its file is
    /// shortened, or removed and closed. Without space a write is short, and the next one fails with
    /// `StorageFull`; `allocate` takes all or nothing.
    pub fn space(&self, free_bytes: Option<u64>) {
        self.state().set_space(free_bytes.map(|bytes| bytes / BLOCK_BYTES as u64));
    }

    /// Whether each name takes a block as well; by default it does not.
    pub fn names_need_space(&self, need: bool) {
        self.state().set_names_need_space(need);
    }

    /// Refuses everything that changes something, with `ReadOnlyFilesystem`.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Makes reads fail that touch these bytes of a file, wherever it is moved to. An empty range
    /// makes the whole file readable again. Returns whether there is such a file.
    pub fn unreadable(&self, name: &str, range: Range<u64>) -> bool {
        let mut state = self.state();
        let Some(number) = state.file(name) else { return false };
        let bad = &mut state.inode_mut(number).unreadable;
        if range.is_empty() {
            bad.clear();
        } else {
            bad.push(range);
        }
        true
    }
}

/// # Damage
///
/// These change cache and device at once, as something outside the process would, and are no
/// operations. Names become durable first. An open handle sees the change.
impl SimDisk {
    /// Changes the bytes of a file, its length too. Returns whether there is such a file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(mut bytes) = self.contents(name) else { return false };
        change(&mut bytes);
        self.put(name, &bytes);
        true
    }

    /// Sets the bytes of a file, which is made if there is none.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.settle_names();
        let inode = Inode::holding(bytes);
        if let Some(number) = state.file(name) {
            *state.inode_mut(number) = inode;
            state.durable.insert(name.into(), Entry::File(number));
        } else {
            let entry = Entry::File(state.add(inode));
            state.cached.insert(name.into(), entry);
            state.durable.insert(name.into(), entry);
        }
        state.forget_unreachable();
    }

    /// Puts something under a name that is no file, or an empty file.
    pub fn put_kind(&self, name: &str, kind: FileKind) {
        self.delete(name);
        if kind == FileKind::Regular {
            return self.put(name, &[]);
        }
        let mut state = self.state();
        state.cached.insert(name.into(), Entry::Other(kind));
        state.durable.insert(name.into(), Entry::Other(kind));
    }

    /// Removes a name, if it is there.
    pub fn delete(&self, name: &str) {
        let mut state = self.state();
        state.settle_names();
        state.cached.remove(name);
        state.durable.remove(name);
        state.forget_unreachable();
    }
}

/// # Exchange
///
/// What other programs do to the names under a log that is open. As with damage, all of it is durable at once, and none
/// is an operation.
impl SimDisk {
    /// Puts a copy of a file in its place: the name leads to another file with the same bytes, and a handle that is open
    /// keeps the file without a name. Returns whether there is such a file.
    pub fn replace(&self, name: &str) -> bool {
        let Some(bytes) = self.contents(name) else { return false };
        self.delete(name);
        self.put(name, &bytes);
        true
    }

    /// From now on the path of the directory leads to another one, until this disk is opened by another process: as when
    /// it was moved and is then found where it is. Handles go on in this one.
    pub fn displace(&self) {
        self.state().displaced = true;
    }

    /// Whether the directory itself can be locked; it can by default.
    pub fn set_directory_lockable(&self, lockable: bool) {
        self.state().directory_lockable = lockable;
    }
}

/// # Looking on
impl SimDisk {
    /// The bytes of a file, as a process reads them.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.file(name).map(|number| state.inode(number).cache.bytes())
    }

    /// The bytes of a file of which the device holds name and contents for certain.
    #[must_use]
    pub fn durable_contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        match state.durable.get(name) {
            Some(Entry::File(number)) => Some(state.inode(*number).durable.bytes()),
            _ => None,
        }
    }

    /// All names, as a process sees them, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().cached.keys().map(ToString::to_string).collect()
    }

    /// How many calls of this kind there were, failed ones included.
    #[must_use]
    pub fn calls(&self, kind: CallKind) -> u64 {
        let calls = self.state().calls;
        calls.get(kind as usize).copied().unwrap_or_else(|| calls.iter().sum())
    }

    /// Starts or stops writing down the operations; disks made from this one inherit it.
    pub fn keep_log(&self, keep: bool) {
        self.state().log = keep.then(Vec::new);
    }

    /// The operations written down since [`keep_log`](SimDisk::keep_log), each with its number.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone().unwrap_or_default()
    }
}

impl Directory for SimDisk {
    fn path(&self) -> &Path {
        Path::new("/sim")
    }

    fn is_at_path(&self) -> io::Result<bool> {
        Ok(!self.state().displaced)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut state = self.state();
        state.begin(CallKind::List, String::new)?;
        let listed = state.cached.iter().map(|(name, entry)| {
            let kind = if let Entry::Other(kind) = entry { *kind } else { FileKind::Regular };
            Listed { name: name.to_string(), kind }
        });
        Ok(listed.collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.begin(CallKind::Open, String::new)?;
        let number = regular(&state, name)?.ok_or(io::ErrorKind::NotFound)?;
        if access == Access::ReadWrite {
            state.refuse_read_only()?;
        }
        let handle = state.hold(number);
        Ok(Arc::new(SimFile::new(self.clone(), number, handle, name, access)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        let number = state.create(name)?;
        let handle = state.hold(number);
        Ok(Arc::new(SimFile::new(self.clone(), number, handle, name, Access::ReadWrite)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.state().sync_directory()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        state.begin(CallKind::Lock, String::new)?;
        state.refuse_read_only()?;
        let inode = match regular(&state, name)? {
            Some(inode) => inode,
            None => state.create(name)?,
        };
        let handle = state.hold(inode);
        if let Err(refused) = state.lock_file(inode, handle, true) {
            state.release(inode, handle);
            return Err(refused);
        }
        drop(state);
        Ok(Box::new(SimFile::new(self.clone(), inode, handle, name, Access::ReadWrite)))
    }

    fn lock_directory(&self) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        state.begin(CallKind::Lock, String::new)?;
        if !state.directory_lockable {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if std::mem::replace(&mut state.directory_locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(DirectoryLock(self.clone())))
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        let mut state = self.state();
        state.begin(CallKind::IdOf, String::new)?;
        match state.cached.get(name) {
            Some(Entry::File(inode)) => Ok(Some(id_of(*inode))),
            // Whatever it is, no handle of a file leads to it.
            Some(Entry::Other(_)) => Ok(Some(FileId { device: 1, file: 0 })),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(self.state().free_bytes())
    }

    fn salt(&self) -> u64 {
        self.state().next_salt()
    }

    fn now_unix_ns(&self) -> u64 {
        self.state().next_now_unix_ns()
    }

    /// Moves the clock of the disk and lets other threads run; it does not sleep.
    fn wait(&self, pause: Duration) {
        self.state().pass_time(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
        std::thread::yield_now();
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "SimDisk({} names, {} operations)", state.cached.len(), state.operations)
    }
}

/// The file of a name, `None` if the name is free.
fn regular(state: &State, name: &str) -> io::Result<Option<u64>> {
    match state.cached.get(name) {
        None => Ok(None),
        Some(Entry::File(number)) => Ok(Some(*number)),
        Some(Entry::Other(_)) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}
