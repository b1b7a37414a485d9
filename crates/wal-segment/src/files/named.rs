//! An open file together with its path, so that every error names its file.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::io::{Access, Directory, File, FileId, Mapping, Residency};

/// How often one write or reservation is retried when a signal interrupts it before it stored anything.
const MAX_INTERRUPTIONS: u32 = 64;

/// When the disk has no room for a reservation, this fraction of it is tried next.
const RESERVED_PART: u64 = 4;

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

    /// Reads up to `bytes.len()` bytes; fewer only at the end of the file. Returns how many.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.file.read_at(bytes, offset).place(Operation::Read, || self.path.to_path_buf(), Some(offset))
    }

    /// Writes all of `bytes`: continues short writes, and retries interrupted ones up to a limit.
    pub(crate) fn write_all(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let mut done = 0;
        let mut interruptions = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.file.write_at(&bytes[done..], at) {
                Ok(0) => {
                    let stuck = io::Error::from(ErrorKind::WriteZero);
                    return Err(stuck).place(Operation::Write, || self.path.to_path_buf(), Some(at));
                }
                Ok(taken) => done += taken,
                Err(error) if error.kind() == ErrorKind::Interrupted && interruptions < MAX_INTERRUPTIONS => {
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
        self.file.set_len(bytes).place(Operation::Resize, || self.path.to_path_buf(), None)
    }

    /// Reserves disk space; only sets the length where the file system cannot, or signals keep interrupting.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Error> {
        for _ in 0..=MAX_INTERRUPTIONS {
            match self.file.allocate(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => break,
                // The place of a reservation is its length: the error says how much was asked for.
                done => return done.place(Operation::Reserve, || self.path.to_path_buf(), Some(bytes)),
            }
        }
        if self.length()? < bytes { self.resize(bytes) } else { Ok(()) }
    }

    /// Reserves `wanted` bytes, or on a full disk less, but at least `least`. Returns how many.
    pub(crate) fn reserve_what_fits(&self, wanted: u64, least: u64) -> Result<u64, Error> {
        let found_bytes = self.length()?;
        let mut bytes = wanted;
        loop {
            match self.reserve(bytes) {
                Err(error) if error.is_out_of_space() && bytes > least => {}
                reserved => return reserved.map(|()| bytes),
            }
            // Some file systems keep the part that they could reserve before they ran out of space.
            self.resize(found_bytes)?;
            bytes = (bytes / RESERVED_PART).max(least);
        }
    }

    pub(crate) fn map(&self, bytes: u64) -> Result<Mapping, Error> {
        let bytes = usize::try_from(bytes).map_err(|_| ErrorKind::OutOfMemory.into());
        let mapped = bytes.and_then(|bytes| self.file.map(bytes));
        mapped.place(Operation::Map, || self.path.to_path_buf(), None)
    }

    pub(crate) fn try_lock(&self) -> Result<(), Error> {
        self.file.try_lock().place(Operation::Lock, || self.path.to_path_buf(), None)
    }

    pub(crate) fn try_lock_shared(&self) -> Result<(), Error> {
        self.file.try_lock_shared().place(Operation::Lock, || self.path.to_path_buf(), None)
    }

    pub(crate) fn names(&self) -> Result<u64, Error> {
        self.file.names().place(Operation::Read, || self.path.to_path_buf(), None)
    }

    pub(crate) fn drop_cache(&self) -> Result<Residency, Error> {
        self.file.drop_cache().place(Operation::DropCache, || self.path.to_path_buf(), None)
    }

    pub(crate) fn id(&self) -> Result<Option<FileId>, Error> {
        self.file.id().place(Operation::Read, || self.path.to_path_buf(), None)
    }

    pub(crate) fn damage(&self, offset: u64, sequences: Option<Lost>, kind: DamageKind) -> Damage {
        Damage { file: self.path.to_path_buf(), offset, sequences, kind }
    }

    /// Syncs the file. Never retry it after a failure: the system may have dropped the pages that it could
    /// not write.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync().place(Operation::Sync, || self.path.to_path_buf(), None)
    }
}

pub(crate) fn remove(directory: &dyn Directory, name: &str) -> Result<(), Error> {
    directory.remove(name).place(Operation::Remove, || directory.path().join(name), None)
}

/// The new name must be free.
pub(crate) fn rename(directory: &dyn Directory, from: &str, to: &str) -> Result<(), Error> {
    directory.rename(from, to).place(Operation::Rename, || directory.path().join(from), None)
}

pub(crate) fn sync_directory(directory: &dyn Directory) -> Result<(), Error> {
    directory.sync().place(Operation::SyncDirectory, || directory.path().to_path_buf(), None)
}

/// Fails with [`Error::Exchanged`] when the name is gone or leads to another file.
pub(crate) fn leads_to(directory: &dyn Directory, name: &str, id: FileId) -> Result<(), Error> {
    let exchanged = |gone| Error::Exchanged { file: directory.path().join(name), gone };
    match directory.id_of(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(exchanged(true)),
        Ok(Some(found)) if found != id => Err(exchanged(false)),
        told => told.map(|_| ()).place(Operation::Open, || directory.path().join(name), None),
    }
}
