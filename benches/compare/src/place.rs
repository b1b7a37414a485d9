//! Where the logs are made: a fresh directory for each measurement, gone when it is over.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::syncfs;
use tempfile::TempDir;

/// The directory that the user gave.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    pub(crate) fn new(path: PathBuf) -> Place {
        Place { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `act` in a directory of its own. Afterwards the directory is removed, and the file system settled, so
    /// that the next measurement does not pay for what this one left.
    ///
    /// # Errors
    /// What `act` says; that the directory could not be made or removed.
    pub(crate) fn visit<T>(&self, act: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let directory = TempDir::with_prefix_in("compare-", &self.path).map_err(failed)?;
        let done = act(directory.path());
        directory.close().map_err(failed)?;
        self.settle()?;
        done
    }

    /// Waits until the disk has everything that was written to the file system.
    ///
    /// # Errors
    /// That it could not be asked to.
    pub(crate) fn settle(&self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        syncfs(File::open(&self.path).map_err(failed)?).map_err(|error| failed(error.into()))
    }
}
