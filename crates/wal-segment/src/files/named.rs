//! A file together with its path: every error names its file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::io::{Access, Directory, File, FileId, Mapping, Residency};

/// How often one write is repeated after a signal interrupted it before it stored anything, and one reservation.
const MAX_INTERRUPTIONS: u32 = 64;

/// Where there is no room for a reservation, this part of it is tried.
const RESERVED_PART: u64 = 4;

/// An open file that knows its name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) file: Arc<dyn File>,
    /// Shared, so that a handle is cloned without an allocation.
    pub(crate) path: Arc<Path>,
}

impl Named {
    pub(crate) fn open(directory: &dyn Directory, name: &str, access: Access) -> Result<Named, Error> {
        let path = directory.path().join(name);
        let file = directory.open(name, access).place(Operation::Open, || path.clone(), None)?;
        Ok(Named { file, path: path.into() })
    }

    pub(crate) fn create(directory: &dyn Directory, name: &str) -> Result<Named, Error> {
        let path = directory.path().join(name);
        let file = directory.create(name).place(Operation::Create, || path.clone(), None)?;
        Ok(Named { file, path: path.into() })
    }

    pub(crate) fn length(&self) -> Result<u64, Error> {
        self.file.len().place(Operation::Read, || self.path.to_path_buf(), None)
    }

    /// Reads up to as many bytes as `bytes` takes, and returns how many there were: fewer only at the end of the file.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.file.read_at(bytes, offset).place(Operation::Read, || self.path.to_path_buf(), Some(offset))
    }

    /// Writes all of `bytes`; short writes are continued, interruptions repeated, but not for ever.
    pub(crate) fn write_all(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let mut done = 0;
        let mut interruptions = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.file.write_at(&bytes[done..], at) {
                Ok(0) => {
                    let stuck = io::Error::from(io::ErrorKind::WriteZero);
                    return Err(stuck).place(Operation::Write, || self.path.to_path_buf(), Some(at));
                }
                Ok(taken) => done += taken,
                Err(error)
                    if error.kind() == io::ErrorKind::Interrupted && interruptions < MAX_INTERRUPTIONS =>
                {
                    interruptions += 1;
                }
                Err(error) => {
                    return Err(error).place(Operation::Write, || self.path.to_path_buf(), Some(at));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn resize(&self, bytes: u64) -> Result<(), Error> {
        self.file.set_len(bytes).place(Operation::Resize, || self.path.to_path_buf(), Some(bytes))
    }

    /// Reserves space for `bytes`; where the file system cannot, or signals interrupt it without end, only the length is
    /// set.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Error> {
        for _ in 0..=MAX_INTERRUPTIONS {
            match self.file.allocate(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported => break,
                done => return done.place(Operation::Reserve, || self.path.to_path_buf(), Some(bytes)),
            }
        }
        if self.length()? < bytes { self.resize(bytes) } else { Ok(()) }
    }

    /// Reserves `wanted` bytes, or where there is no room a part of that, but no less than `least`. Returns how much.
    pub(crate) fn reserve_what_fits(&self, wanted: u64, least: u64) -> Result<u64, Error> {
        let found_bytes = self.length()?;
        let mut bytes = wanted;
        loop {
            match self.reserve(bytes) {
                Err(error) if error.is_out_of_space() && bytes > least => {}
                reserved => return reserved.map(|()| bytes),
            }
            // Some file systems keep what they could reserve before they found no more.
            self.resize(found_bytes)?;
            bytes = (bytes / RESERVED_PART).max(least);
        }
    }

    /// Maps the first `bytes` bytes for reading.
    pub(crate) fn map(&self, bytes: u64) -> Result<Mapping, Error> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory.into());
        let mapped = bytes.and_then(|bytes| self.file.map(bytes));
        mapped.place(Operation::Map, || self.path.to_path_buf(), None)
    }

    /// Takes the lock on the file that excludes all others, or fails at once.
    pub(crate) fn try_lock(&self) -> Result<(), Error> {
        self.file.try_lock().place(Operation::Lock, || self.path.to_path_buf(), None)
    }

    /// Takes the lock on the file that readers share, or fails at once.
    pub(crate) fn try_lock_shared(&self) -> Result<(), Error> {
        self.file.try_lock_shared().place(Operation::Lock, || self.path.to_path_buf(), None)
    }

    /// How many names lead to the file.
    pub(crate) fn names(&self) -> Result<u64, Error> {
        self.file.names().place(Operation::Read, || self.path.to_path_buf(), None)
    }

    /// Drops what the page cache holds of the file.
    pub(crate) fn drop_cache(&self) -> Result<Residency, Error> {
        self.file.drop_cache().place(Operation::DropCache, || self.path.to_path_buf(), None)
    }

    /// Which file it is, where the system tells.
    pub(crate) fn id(&self) -> Result<Option<FileId>, Error> {
        self.file.id().place(Operation::Read, || self.path.to_path_buf(), None)
    }

    /// The damage of this file at `offset`.
    pub(crate) fn damage(&self, offset: u64, sequences: Option<Lost>, kind: DamageKind) -> Damage {
        Damage { file: self.path.to_path_buf(), offset, sequences, kind }
    }

    /// Never call it again after it failed: the system may have dropped what it could not write.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync().place(Operation::Sync, || self.path.to_path_buf(), None)
    }
}

/// Removes a name.
pub(crate) fn remove(directory: &dyn Directory, name: &str) -> Result<(), Error> {
    directory.remove(name).place(Operation::Remove, || directory.path().join(name), None)
}

/// Gives a file another name, which is free.
pub(crate) fn rename(directory: &dyn Directory, from: &str, to: &str) -> Result<(), Error> {
    directory.rename(from, to).place(Operation::Rename, || directory.path().join(from), None)
}

/// Syncs the directory itself.
pub(crate) fn sync_directory(directory: &dyn Directory) -> Result<(), Error> {
    directory.sync().place(Operation::SyncDirectory, || directory.path().to_path_buf(), None)
}
