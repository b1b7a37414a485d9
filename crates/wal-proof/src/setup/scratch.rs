//! A directory on the real disk for a proof that leaves files.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where the logs are made.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    /// Removed in the end, unless something is to be looked at.
    temporary: Option<TempDir>,
}

impl Scratch {
    pub(crate) fn keep(self) -> PathBuf {
        self.temporary.map_or(self.path, TempDir::keep)
    }
}

/// The directory that was asked for, or a temporary one.
pub(crate) fn scratch(asked: Option<&Path>) -> Result<Scratch, String> {
    let made = match asked {
        Some(path) => {
            std::fs::create_dir_all(path).map(|()| Scratch { path: path.to_owned(), temporary: None })
        }
        None => TempDir::with_prefix("wal-proof-")
            .map(|made| Scratch { path: made.path().to_owned(), temporary: Some(made) }),
    };
    made.map_err(|error| format!("no directory to work in: {error}"))
}
