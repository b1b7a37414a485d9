//! open-wal: a log for one writer. Threads take turns at it under a lock.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use open_wal::{Lsn, Wal, WalConfig};

use super::because;
use crate::engine::{Candidate, Engine, Role};
use crate::tally::Tally;

pub(super) const CANDIDATE: Candidate = Candidate {
    name: "open-wal",
    package: Some("open-wal"),
    role: Role::Peer,
    promise: "one fdatasync of its own covers the entry; it has one writer by design, so several threads gain nothing",
    configuration: "`WalConfig::default` (segments of 128 MiB, reserved with fallocate); `append` and `commit` under \
                    one mutex",
    open,
};

struct OpenWal {
    wal: Mutex<Wal>,
    directory: PathBuf,
}

fn open(directory: &Path, _entry_bytes: usize) -> Result<Box<dyn Engine>, String> {
    let directory = directory.join("log");
    std::fs::create_dir(&directory).map_err(because("create"))?;
    let (wal, _) = Wal::open(&directory, WalConfig::default()).map_err(because("open"))?;
    Ok(Box::new(OpenWal { wal: Mutex::new(wal), directory }))
}

impl Engine for OpenWal {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut wal = self.wal.lock().map_err(because("lock"))?;
        let sequence = wal.append(payload).map_err(because("append"))?;
        let durable = wal.commit().map_err(because("commit"))?;
        if durable < sequence {
            Err(format!("commit: durable up to {durable}, not {sequence}"))
        } else {
            Ok(())
        }
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let OpenWal { wal, directory } = *self;
        drop(wal);
        let (wal, _) = Wal::open(&directory, WalConfig::default()).map_err(because("open again"))?;
        let mut reader = wal.reader_from(Lsn(0)).map_err(because("read"))?;
        while let Some(record) = reader.next() {
            tally.entry(record.map_err(because("read"))?.1);
        }
        Ok(())
    }
}
