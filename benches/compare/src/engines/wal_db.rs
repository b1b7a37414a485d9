//! wal-db: one file, offsets from an atomic, one thread syncs for all that wait.

use std::path::{Path, PathBuf};

use wal_db::{FileStore, Wal};

use super::because;
use crate::engine::{Candidate, Engine, Role};
use crate::tally::Tally;

pub(super) const CANDIDATE: Candidate = Candidate {
    name: "wal-db",
    package: Some("wal-db"),
    role: Role::Peer,
    promise: "an fdatasync that began after the write covers the entry; concurrent appends share it; the name of the \
              file in its directory is never synced",
    configuration: "`Wal::open` (one file that grows with each append), `append_and_sync`",
    open,
};

struct WalDb {
    wal: Wal<FileStore>,
    file: PathBuf,
}

fn open(directory: &Path, _entry_bytes: usize) -> Result<Box<dyn Engine>, String> {
    let file = directory.join("log");
    let wal = Wal::open(&file).map_err(because("open"))?;
    Ok(Box::new(WalDb { wal, file }))
}

impl Engine for WalDb {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        self.wal.append_and_sync(payload).map(drop).map_err(because("append_and_sync"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let WalDb { wal, file } = *self;
        drop(wal);
        let wal = Wal::open(&file).map_err(because("open again"))?;
        for record in wal.iter().map_err(because("read"))? {
            tally.entry(record.map_err(because("read"))?.data());
        }
        Ok(())
    }
}
