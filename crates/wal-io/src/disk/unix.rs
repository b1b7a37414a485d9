//! A directory that is held open, and the calls relative to it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a part of the place that the rule points to"
)]

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::{Access, FileId, FileKind, Listed, Opening};

/// The directory that was opened, wherever it is now and whatever has its name.
pub(super) struct HeldDirectory {
    handle: fs::File,
}

impl HeldDirectory {
    pub(super) fn open(path: &Path) -> io::Result<HeldDirectory> {
        let handle = fs::OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(path)?;
        Ok(HeldDirectory { handle })
    }

    /// Another handle to the same directory, whose locks are its own.
    pub(super) fn reopen(&self) -> io::Result<fs::File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.handle, c".", flags, Mode::empty()))?.into())
    }

    /// Whether `path` leads to it.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let held = self.handle.metadata()?;
        match retry_on_intr(|| rustix::fs::statat(CWD, path, AtFlags::empty())) {
            Ok(found) => Ok(id(&found) == FileId { device: held.dev(), file: held.ino() }),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn list(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.stat(name) {
                    // It was removed since it was listed.
                    Err(Errno::NOENT) => continue,
                    found => FileType::from_raw_mode(found?.st_mode),
                },
                known => known,
            };
            // What is not UTF-8 gets replacement characters, which no name of ours has.
            let name = std::ffi::OsStr::from_bytes(name.to_bytes()).to_string_lossy().into_owned();
            listed.push(Listed { name, kind: kind_of(kind) });
        }
        Ok(listed)
    }

    /// Neither follows a link nor waits for the other end of a FIFO.
    pub(super) fn open_file(&self, name: &str, opening: Opening) -> io::Result<fs::File> {
        let how = match opening {
            Opening::Existing(Access::Read) => OFlags::RDONLY,
            Opening::Existing(Access::ReadWrite) => OFlags::RDWR,
            Opening::New => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Opening::Any => OFlags::RDWR | OFlags::CREATE,
        };
        let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.handle, name, flags, mode))?.into())
    }

    /// What the name stands for, without following a link.
    pub(super) fn kind_of(&self, name: &str) -> io::Result<FileKind> {
        Ok(kind_of(FileType::from_raw_mode(self.stat(name)?.st_mode)))
    }

    pub(super) fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        Ok(Some(id(&self.stat(name)?)))
    }

    /// Lets the system refuse a taken name where it can; elsewhere the lock on the log keeps others from
    /// taking the name between the question and the rename.
    pub(super) fn rename_to_free(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            match renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE) {
                // File systems that do not know the flag.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                answered => return Ok(answered?),
            }
        }
        match self.stat(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(Errno::NOENT) => Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// One call, as for a file: std's `sync_all` repeats an interrupted one, and a second try after a failure may be
    /// answered with success although the first one has dropped the names.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(not(target_vendor = "apple"))]
        return Ok(rustix::fs::fsync(&self.handle)?);
        // On Apple's systems std knows the call that reaches the device.
        #[cfg(target_vendor = "apple")]
        return self.handle.sync_all();
    }

    pub(super) fn free_bytes(&self) -> io::Result<Option<u64>> {
        let found = rustix::fs::fstatvfs(&self.handle)?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn stat(&self, name: impl rustix::path::Arg + Copy) -> Result<Stat, Errno> {
        retry_on_intr(|| rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW))
    }
}

/// With mode 0700: the log belongs to its owner.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

pub(super) fn file_id(file: &fs::File) -> io::Result<Option<FileId>> {
    let found = file.metadata()?;
    Ok(Some(FileId { device: found.dev(), file: found.ino() }))
}

pub(super) fn file_names(file: &fs::File) -> io::Result<u64> {
    Ok(file.metadata()?.nlink())
}

pub(super) fn read_once(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// On Linux the system call alone: the C library's function also makes it a cancellation point of the thread, which is
/// noticeable beside a small write.
pub(super) fn write_once(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwrite(file, bytes, offset)?)
}

/// The types of the fields differ between systems.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "numbers to compare, and on Linux 64 bits already"
)]
fn id(found: &Stat) -> FileId {
    FileId { device: found.st_dev as u64, file: found.st_ino as u64 }
}

fn kind_of(found: FileType) -> FileKind {
    match found {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}
