//! The directory of a log by its path.

use std::path::Path;
use std::sync::Arc;

use wal_segment::io::Disk;
use wal_segment::{Error as SegmentError, OpenMode, Operation};

use crate::error::Error;
use crate::options::Options;
use crate::read::open_segments::freeing_descriptors;

impl Options {
    /// The directory in `path`, created if the options allow it and a new log `would_do`.
    pub(crate) fn directory(&self, path: &Path, would_do: bool) -> Result<Arc<Disk>, Error> {
        if would_do && self.open_mode != OpenMode::MustExist {
            create_directory(path)
        } else {
            open_directory(path)
        }
    }
}

/// Opens a directory, and creates it if it does not exist.
pub(crate) fn create_directory(path: &Path) -> Result<Arc<Disk>, Error> {
    Ok(Arc::new(
        freeing_descriptors(|| Disk::create(path))
            .map_err(|error| refused(Operation::Create, path, error))?,
    ))
}

/// Opens a directory that exists.
pub(crate) fn open_directory(path: &Path) -> Result<Arc<Disk>, Error> {
    match freeing_descriptors(|| Disk::open(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(SegmentError::NoLog { directory: path.to_path_buf() }.into())
        }
        opened => Ok(Arc::new(opened.map_err(|error| refused(Operation::Open, path, error))?)),
    }
}

fn refused(operation: Operation, path: &Path, error: std::io::Error) -> Error {
    SegmentError::Io { operation, file: path.to_path_buf(), offset: None, source: Arc::new(error) }.into()
}
