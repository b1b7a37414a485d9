//! open-wal: a log for one writer. Threads take turns at it under a lock.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use open_wal::{Lsn, Wal, WalConfig};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const DURABLE: Candidate = Candidate {
    name: "open-wal",
    package: Some("open-wal"),
    role: Role::Peer,
    promise: "one fdatasync of its own covers the entry; it has one writer by design, so several threads gain nothing",
    configuration: "`WalConfig::default` (segments of 128 MiB, reserved with fallocate); `append` and `commit` under \
                    one mutex",
    act: Act::Append(|directory, load| open(directory, load, true)),
};

pub(super) const BUFFERED: Candidate = Candidate {
    name: "open-wal",
    package: Some("open-wal"),
    role: Role::Peer,
    promise: "the entry is in memory: all of the log is, until a `commit`, which the measurement does not have",
    configuration: "`WalConfig::default`; `append` under one mutex, without `commit`",
    act: Act::Append(open_buffered),
};

pub(super) const REPLAY: Candidate = Candidate {
    name: "open-wal",
    package: Some("open-wal"),
    role: Role::Peer,
    promise: "each entry has matched its checksum and is lent",
    configuration: "`Wal::reader_from`; it has read all of the log once before, to open it; it has no batches",
    act: Act::Replay { open: open_buffered, read },
};

struct OpenWal {
    wal: Mutex<Wal>,
    directory: PathBuf,
    entry_bytes: usize,
    is_durable: bool,
}

fn open_buffered(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    open(directory, load, false)
}

fn open(directory: &Path, load: &Load, is_durable: bool) -> Result<Box<dyn Engine>, String> {
    let (wal, _) = Wal::open(directory, WalConfig::default()).map_err(because("open"))?;
    let (directory, entry_bytes) = (directory.to_owned(), load.entry_bytes);
    Ok(Box::new(OpenWal { wal: Mutex::new(wal), directory, entry_bytes, is_durable }))
}

fn commit(wal: &mut Wal) -> Result<(), String> {
    let (appended, durable) = (wal.last_lsn(), wal.commit().map_err(because("commit"))?);
    if durable < appended { Err(format!("commit: durable up to {durable}, not {appended}")) } else { Ok(()) }
}

impl Engine for OpenWal {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut wal = self.wal.lock().map_err(because("lock"))?;
        for entry in payload.chunks(self.entry_bytes) {
            wal.append(entry).map_err(because("append"))?;
        }
        if self.is_durable { commit(&mut wal) } else { Ok(()) }
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let OpenWal { wal, directory, .. } = *self;
        let mut wal = wal.into_inner().map_err(because("lock"))?;
        commit(&mut wal)?;
        drop(wal);
        read(&directory, tally).map(drop)
    }
}

fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    let (wal, _) = Wal::open(directory, WalConfig::default()).map_err(because("open again"))?;
    let began = Instant::now();
    let mut reader = wal.reader_from(Lsn(0)).map_err(because("read"))?;
    while let Some(record) = reader.next() {
        tally.entry(record.map_err(because("read"))?.1);
    }
    Ok(began.elapsed())
}
