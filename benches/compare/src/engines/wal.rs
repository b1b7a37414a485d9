//! This log, once for each policy and once for each way to read it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wal::{Options, SyncPolicy, Wal};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const IMMEDIATE: Candidate = Candidate {
    name: "wal-immediate",
    package: Some("wal"),
    role: Role::Ours,
    promise: "a sync that succeeded covers the entry; what is damaged later is reported",
    configuration: "defaults, `SyncPolicy::Immediate`; segments of up to 64 MiB, zeroed ahead while syncs are small",
    act: Act::Append(|directory, load| open(directory, load, &sync(SyncPolicy::Immediate))),
};

pub(super) const GROUPED: Candidate = Candidate {
    name: "wal-grouped",
    package: Some("wal"),
    role: Role::Ours,
    promise: "as wal-immediate; an append may wait for others to share its sync, for at most the window",
    configuration: "defaults, `SyncPolicy::grouped` with its default window of 1 ms; segments as wal-immediate",
    act: Act::Append(|directory, load| open(directory, load, &sync(grouped()))),
};

pub(super) const NONE: Candidate = Candidate {
    name: "wal",
    package: Some("wal"),
    role: Role::Ours,
    promise: "a write that covers the entry has returned: it survives the death of the process",
    configuration: "defaults, `SyncPolicy::None`: one sync a segment, in the background; a batch by `append_batch`",
    act: Act::Append(open_none),
};

pub(super) const BUFFERED: Candidate = Candidate {
    name: "wal",
    package: Some("wal"),
    role: Role::Ours,
    promise: "the entry is in a buffer of this process, of which at most 64 KiB are not written",
    configuration: "`SyncPolicy::None` and `buffered(64 KiB)`, otherwise defaults",
    act: Act::Append(|directory, load| open(directory, load, &sync(SyncPolicy::None).buffered(64 << 10))),
};

pub(super) const REPLAY: Candidate = Candidate {
    name: "wal",
    package: Some("wal"),
    role: Role::Ours,
    promise: "each entry has matched its checksum, and the frame that it came in too",
    configuration: "defaults; `Wal::range(..)`, an iterator whose entries are owned",
    act: Act::Replay { open: open_none, read },
};

pub(super) const LENT: Candidate = Candidate {
    name: "wal-lent",
    package: Some("wal"),
    role: Role::Ours,
    promise: "as wal; an entry is valid until the next one is read",
    configuration: "defaults; `Wal::reader(..)`, a batch at a time",
    act: Act::Replay { open: open_none, read: read_lent },
};

fn open_none(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    open(directory, load, &sync(SyncPolicy::None))
}

fn sync(policy: SyncPolicy) -> Options {
    Options::new().sync(policy)
}

/// The policy `grouped` with the window that is its default.
pub(crate) fn grouped() -> SyncPolicy {
    SyncPolicy::default()
}

struct Log {
    wal: Wal,
    directory: PathBuf,
    entry_bytes: usize,
}

fn open(directory: &Path, load: &Load, options: &Options) -> Result<Box<dyn Engine>, String> {
    let wal = options.open(directory.join(LOG)).map_err(because("open"))?;
    Ok(Box::new(Log { wal, directory: directory.to_owned(), entry_bytes: load.entry_bytes }))
}

/// The log's name in the directory of a measurement.
pub(crate) const LOG: &str = "log";

impl Engine for Log {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        if payload.len() == self.entry_bytes {
            return self.wal.append(payload).map(drop).map_err(because("append"));
        }
        let batch: Vec<&[u8]> = payload.chunks(self.entry_bytes).collect();
        self.wal.append_batch(batch).map(drop).map_err(because("append_batch"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        self.wal.close().map_err(because("close"))?;
        read(&self.directory, tally).map(drop)
    }
}

pub(crate) fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    replay(&directory.join(LOG), |wal| {
        for entry in wal.range(..).map_err(because("read"))? {
            tally.entry(entry.map_err(because("read"))?.payload());
        }
        Ok(())
    })
}

fn read_lent(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    replay(&directory.join(LOG), |wal| {
        let mut reader = wal.reader(..).map_err(because("read"))?;
        while let Some(batch) = reader.next_batch().map_err(because("read"))? {
            batch.for_each(|entry| tally.entry(entry.payload()));
        }
        Ok(())
    })
}

/// Opens a log that was closed, lets `read` read it, and says how long that took.
fn replay(log: &Path, read: impl FnOnce(&Wal) -> Result<(), String>) -> Result<Duration, String> {
    let wal = Options::new().open(log).map_err(because("open again"))?;
    let began = Instant::now();
    read(&wal)?;
    let took = began.elapsed();
    wal.close().map_err(because("close"))?;
    Ok(took)
}
