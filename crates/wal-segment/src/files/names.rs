//! Lists the directory: names and kinds. Nothing is opened yet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wal_format::{ANCHOR_FILE, LOCK_FILE, PoolName, SegmentName, SegmentNumber};

use crate::error::{Error, Operation, Place};
use crate::io::{Directory, FileKind};

#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// Everything with the name of a segment, by number.
    pub(crate) segments: BTreeMap<SegmentNumber, FileKind>,
    pub(crate) anchor: Option<FileKind>,
    /// Pool files, by place. No decision of recovery looks at them.
    pub(crate) pool: Vec<PoolName>,
    /// How many other names there are. The log leaves them alone.
    pub(crate) ignored: usize,
}

impl Catalog {
    pub(crate) fn is_empty(&self) -> bool {
        self.anchor.is_none() && self.segments.is_empty()
    }

    pub(crate) fn read(directory: &dyn Directory) -> Result<Catalog, Error> {
        let listed = directory.list().place(Operation::List, || directory.path().to_path_buf(), None)?;
        let mut catalog = Catalog::default();
        for entry in listed {
            if let Some(number) = SegmentName::parse(&entry.name) {
                catalog.segments.insert(number, entry.kind);
            } else if let Some(name) = PoolName::parse(&entry.name)
                && entry.kind == FileKind::Regular
            {
                catalog.pool.push(name);
            } else if entry.name == ANCHOR_FILE {
                catalog.anchor = Some(entry.kind);
            } else if entry.name != LOCK_FILE {
                catalog.ignored += 1;
            }
        }
        catalog.pool.sort_unstable();
        Ok(catalog)
    }
}

pub(crate) fn segment_path(directory: &dyn Directory, number: SegmentNumber) -> PathBuf {
    directory.path().join(SegmentName::of(number).as_str())
}
