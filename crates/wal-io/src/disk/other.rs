//! A directory by its path, where the system has no calls relative to a handle.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a part of the place that the rule points to"
)]

use std::fs;
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Access, FileId, FileKind, Listed, Opening};

/// With others who read and write, and none who removes or renames.
const SHARED: u32 = 1 | 2;

/// The path of the directory with all links resolved: a link that leads elsewhere later changes nothing.
pub(super) struct HeldDirectory {
    resolved: PathBuf,
    /// Windows neither renames nor removes a directory that is open without leave to do so.
    _handle: fs::File,
}

impl HeldDirectory {
    pub(super) fn open(path: &Path) -> io::Result<HeldDirectory> {
        /// Without it no directory is opened.
        const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
        let resolved = fs::canonicalize(path)?;
        let mut options = fs::OpenOptions::new();
        options.read(true).share_mode(SHARED).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        Ok(HeldDirectory { _handle: options.open(&resolved)?, resolved })
    }

    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        match fs::canonicalize(path) {
            Ok(found) => Ok(found == self.resolved),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn list(&self) -> io::Result<Vec<Listed>> {
        fs::read_dir(&self.resolved)?
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok(Listed { name, kind: kind_of(entry.file_type()?) })
            })
            .collect()
    }

    pub(super) fn open_file(&self, name: &str, opening: Opening) -> io::Result<fs::File> {
        /// Opens the link itself, which is then refused as no regular file.
        const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(opening != Opening::Existing(Access::Read));
        options.create_new(opening == Opening::New).create(opening == Opening::Any);
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        if opening == Opening::Any {
            // The file of a lock is neither removed nor renamed as long as it is open.
            options.share_mode(SHARED);
        }
        options.open(self.resolved.join(name))
    }

    pub(super) fn kind_of(&self, name: &str) -> io::Result<FileKind> {
        Ok(kind_of(fs::symlink_metadata(self.resolved.join(name))?.file_type()))
    }

    /// std does not tell it here.
    pub(super) fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        fs::symlink_metadata(self.resolved.join(name)).map(|_| None)
    }

    /// The lock on the log keeps others from taking the name between the question and the rename.
    pub(super) fn rename_to_free(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.resolved.join(from), self.resolved.join(to));
        match fs::symlink_metadata(&to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.resolved.join(name))
    }

    /// There is no such call for a directory; NTFS journals names in order.
    #[allow(clippy::unused_self, reason = "the same call on all systems")]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}

pub(super) fn file_id(_file: &fs::File) -> io::Result<Option<FileId>> {
    Ok(None)
}

pub(super) fn read_once(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

pub(super) fn write_once(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
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
