//! The handles that the simulated disk gives out: opened files and held locks.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::SimDisk;
use super::fault::{CallKind, FaultEffect, eio, enospc, erofs};
use crate::{Access, File, FileId, Lock, Mapping, Residency};

/// An opened file; it lives on when its name is removed.
pub(super) struct SimFile {
    disk: SimDisk,
    inode: u64,
    /// Which of the handles of the disk this is.
    handle: u64,
    /// The name it was opened under, for messages.
    name: Arc<str>,
    access: Access,
}

impl SimFile {
    /// The caller has counted the handle, under the same lock under which it found the file.
    pub(super) fn new(disk: SimDisk, inode: u64, handle: u64, name: &str, access: Access) -> SimFile {
        SimFile { disk, inode, handle, name: name.into(), access }
    }

    fn lock(&self, alone: bool) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin(CallKind::LockFile, String::new)?;
        state.lock_file(self.inode, self.handle, alone)
    }

    fn refuse_reader(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading")),
        }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.begin(CallKind::Len, String::new)?;
        Ok(state.inode(self.inode).cache.len)
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(self.inode)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.begin(CallKind::Read, String::new)?;
        let inode = state.inode(self.inode);
        if inode.is_unreadable(offset, buffer.len()) {
            return Err(eio());
        }
        Ok(inode.cache.read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let name = &self.name;
        let effect = state.begin(CallKind::Write, || format!("write {name} {offset}+{}", bytes.len()))?;
        self.refuse_reader()?;
        state.refuse_read_only()?;
        if offset.checked_add(bytes.len() as u64).is_none() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let (taken, failure) = match effect {
            Some(FaultEffect::ShortWrite(taken)) => (taken, None),
            Some(FaultEffect::PartialThenError(taken, failure)) => (taken, Some(failure)),
            _ => (bytes.len(), None),
        };
        let bytes = &bytes[..taken.min(bytes.len())];
        let free_blocks = state.free_blocks();
        let stored = state.inode_mut(self.inode).write(bytes, offset, free_blocks);
        match failure {
            Some(failure) => Err(failure.into()),
            None if stored == 0 && !bytes.is_empty() => Err(enospc()),
            None => Ok(stored),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin(CallKind::SetLen, || format!("set_len {} {len}", self.name))?;
        self.refuse_reader()?;
        state.refuse_read_only()?;
        state.inode_mut(self.inode).set_len(len);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin(CallKind::Allocate, || format!("allocate {} {len}", self.name))?;
        self.refuse_reader()?;
        state.refuse_read_only()?;
        let free_blocks = state.free_blocks();
        if state.inode_mut(self.inode).allocate(len, free_blocks) { Ok(()) } else { Err(enospc()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let effect = state.begin(CallKind::SyncFile, || format!("sync {}", self.name))?;
        if state.read_only && state.inode(self.inode).is_pending() {
            return Err(erofs());
        }
        let (inode, random) = state.inode_and_random(self.inode);
        match effect {
            Some(FaultEffect::SyncLoss(loss)) => inode.sync_losing(loss, random),
            _ => inode.sync(),
        }
    }

    fn drop_cache(&self) -> io::Result<Residency> {
        let mut state = self.disk.state();
        state.begin(CallKind::DropCache, String::new)?;
        state.inode_mut(self.inode).drop_cache();
        Ok(Residency::Dropped)
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        let mut state = self.disk.state();
        state.begin(CallKind::Map, String::new)?;
        let inode = state.inode(self.inode);
        if inode.is_unreadable(0, len) {
            return Err(eio());
        }
        let mut bytes = vec![0; len];
        if inode.cache.read(&mut bytes, 0) < len {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "mapping beyond the end of the file"));
        }
        Ok(Mapping::held(bytes))
    }

    fn try_lock_shared(&self) -> io::Result<()> {
        self.lock(false)
    }

    fn try_lock(&self) -> io::Result<()> {
        self.refuse_reader()?;
        self.lock(true)
    }
}

/// As the lock on a log: it has locked its file for itself alone, which stays, also without a name.
impl Lock for SimFile {
    fn id(&self) -> Option<FileId> {
        Some(id_of(self.inode))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().release(self.inode, self.handle);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.name)
    }
}

/// The held lock on the directory.
#[derive(Debug)]
pub(super) struct DirectoryLock(pub(super) SimDisk);

impl Lock for DirectoryLock {}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        self.0.state().directory_locked = false;
    }
}

/// A simulated disk is one device.
pub(super) fn id_of(inode: u64) -> FileId {
    FileId { device: 0, file: inode }
}
