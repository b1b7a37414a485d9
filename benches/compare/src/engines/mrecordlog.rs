//! mrecordlog: the log of many queues in one, for one writer, all of which it keeps in memory as well. It never syncs.
//!
//! Its calls are futures. Each write goes through a thread of the runtime, and the caller waits for it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mrecordlog::{MultiRecordLog, SyncPolicy};
use tokio::runtime::{Builder, Runtime};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const NONE: Candidate = Candidate {
    name: "mrecordlog",
    package: Some("mrecordlog"),
    role: Role::Peer,
    promise: "a write that covers the entry, or the batch, has returned; nothing makes it durable, because its \
              `sync` does not sync the file; all entries are kept in memory",
    configuration: "`SyncPolicy::OnAppend`, its default: files of 128 MiB, whose length is set ahead; one queue, \
                    `append_records` in a runtime of one thread, under one mutex, because it has one writer by design",
    act: Act::Append(|directory, load| open(directory, load, SyncPolicy::OnAppend)),
};

pub(super) const BUFFERED: Candidate = Candidate {
    name: "mrecordlog",
    package: Some("mrecordlog"),
    role: Role::Peer,
    promise: "the entry is in a buffer of 32 KiB, or written; all entries are kept in memory",
    configuration: "`SyncPolicy::OnDelay` of a day; otherwise as without a buffer",
    act: Act::Append(open_buffered),
};

pub(super) const REPLAY: Candidate = Candidate {
    name: "mrecordlog",
    package: Some("mrecordlog"),
    role: Role::Peer,
    promise: "each frame has matched its CRC-32; a frame that does not is skipped with a warning",
    configuration: "`MultiRecordLog::open` reads everything into memory, so opening is the replay; then `range`, which \
                    goes through memory",
    act: Act::Replay { open: open_buffered, read },
};

const QUEUE: &str = "compare";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct OneWriter {
    log: Mutex<(Runtime, MultiRecordLog)>,
    directory: PathBuf,
    entry_bytes: usize,
}

fn open_buffered(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    open(directory, load, SyncPolicy::OnDelay(DAY))
}

fn open(directory: &Path, load: &Load, policy: SyncPolicy) -> Result<Box<dyn Engine>, String> {
    let runtime = runtime()?;
    let mut log =
        runtime.block_on(MultiRecordLog::open_with_prefs(directory, policy)).map_err(because("open"))?;
    runtime.block_on(log.create_queue(QUEUE)).map_err(because("create_queue"))?;
    let (directory, entry_bytes) = (directory.to_owned(), load.entry_bytes);
    Ok(Box::new(OneWriter { log: Mutex::new((runtime, log)), directory, entry_bytes }))
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().build().map_err(because("runtime"))
}

impl Engine for OneWriter {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let (runtime, log) = &mut *self.log.lock().map_err(because("lock"))?;
        let entries = payload.chunks(self.entry_bytes);
        let appended = runtime.block_on(log.append_records(QUEUE, None, entries));
        appended.map(drop).map_err(because("append_records"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let OneWriter { log, directory, .. } = *self;
        let (runtime, mut log) = log.into_inner().map_err(because("lock"))?;
        runtime.block_on(log.sync()).map_err(because("sync"))?;
        drop(log);
        read(&directory, tally).map(drop)
    }
}

fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    let runtime = runtime()?;
    let began = Instant::now();
    let log = runtime.block_on(MultiRecordLog::open(directory)).map_err(because("open again"))?;
    let records = log.range(QUEUE, ..).map_err(|error| format!("range: {error:?}"))?;
    records.for_each(|(_, payload)| tally.entry(&payload));
    Ok(began.elapsed())
}
