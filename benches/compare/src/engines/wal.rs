//! This log, once for each policy that waits for the disk.

use std::path::{Path, PathBuf};

use wal::{Options, SyncPolicy, Wal};

use super::because;
use crate::engine::{Candidate, Engine, Role};
use crate::tally::Tally;

pub(super) const IMMEDIATE: Candidate = Candidate {
    name: "wal-immediate",
    package: Some("wal"),
    role: Role::Ours,
    promise: "a sync that succeeded covers the entry; what is damaged later is reported",
    configuration: "defaults, `SyncPolicy::Immediate`; segments of up to 64 MiB, zeroed ahead while syncs are small",
    open: |directory, _| open(directory, SyncPolicy::Immediate),
};

pub(super) const GROUPED: Candidate = Candidate {
    name: "wal-grouped",
    package: Some("wal"),
    role: Role::Ours,
    promise: "as wal-immediate; an append may wait for others to share its sync, for at most the window",
    configuration: "defaults, `SyncPolicy::grouped` with its default window of 1 ms; segments as wal-immediate",
    open: |directory, _| open(directory, grouped()),
};

/// The policy `grouped` with the window that is its default.
pub(crate) fn grouped() -> SyncPolicy {
    SyncPolicy::default()
}

struct Log {
    wal: Wal,
    directory: PathBuf,
}

fn open(directory: &Path, policy: SyncPolicy) -> Result<Box<dyn Engine>, String> {
    let directory = directory.join("log");
    let wal = Options::new().sync(policy).open(&directory).map_err(because("open"))?;
    Ok(Box::new(Log { wal, directory }))
}

impl Engine for Log {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        self.wal.append(payload).map(drop).map_err(because("append"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        self.wal.close().map_err(because("close"))?;
        replay(&self.directory, tally)
    }
}

/// Opens a log that was closed, and shows `tally` all of it.
pub(crate) fn replay(directory: &Path, tally: &mut Tally) -> Result<(), String> {
    let wal = Options::new().open(directory).map_err(because("open again"))?;
    for entry in wal.read_from(wal.first()).map_err(because("read"))? {
        tally.entry(entry.map_err(because("read"))?.payload());
    }
    wal.close().map_err(because("close"))
}
