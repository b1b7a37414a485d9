//! wal-db: one file, offsets from an atomic, one thread syncs for all that wait.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wal_db::{FileStore, Wal};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const DURABLE: Candidate = Candidate {
    name: "wal-db",
    package: Some("wal-db"),
    role: Role::Peer,
    promise: "an fdatasync that began after the write covers the entry; concurrent appends share it; the name of the \
              file in its directory is never synced",
    configuration: "`Wal::open` (one file that grows with each append), `append_and_sync`",
    act: Act::Append(|directory, load| open(directory, load, true)),
};

pub(super) const NONE: Candidate = Candidate {
    name: "wal-db",
    package: Some("wal-db"),
    role: Role::Peer,
    promise: "a write that covers the entry has returned",
    configuration: "`Wal::open` (one file that grows with each append), `append`, for a batch once an entry",
    act: Act::Append(open_none),
};

pub(super) const REPLAY: Candidate = Candidate {
    name: "wal-db",
    package: Some("wal-db"),
    role: Role::Peer,
    promise: "each entry has matched its checksum",
    configuration: "`Wal::iter`; it has read all of the log once before, to open it",
    act: Act::Replay { open: open_none, read },
};

struct WalDb {
    wal: Wal<FileStore>,
    directory: PathBuf,
    entry_bytes: usize,
    is_durable: bool,
}

const LOG: &str = "log";

fn open_none(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    open(directory, load, false)
}

fn open(directory: &Path, load: &Load, is_durable: bool) -> Result<Box<dyn Engine>, String> {
    let wal = Wal::open(directory.join(LOG)).map_err(because("open"))?;
    Ok(Box::new(WalDb { wal, directory: directory.to_owned(), entry_bytes: load.entry_bytes, is_durable }))
}

impl Engine for WalDb {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        for entry in payload.chunks(self.entry_bytes) {
            if self.is_durable {
                self.wal.append_and_sync(entry).map(drop).map_err(because("append_and_sync"))?;
            } else {
                self.wal.append(entry).map(drop).map_err(because("append"))?;
            }
        }
        Ok(())
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let WalDb { wal, directory, .. } = *self;
        drop(wal);
        read(&directory, tally).map(drop)
    }
}

fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    let wal = Wal::open(directory.join(LOG)).map_err(because("open again"))?;
    let began = Instant::now();
    for record in wal.iter().map_err(because("read"))? {
        tally.entry(record.map_err(because("read"))?.data());
    }
    Ok(began.elapsed())
}
