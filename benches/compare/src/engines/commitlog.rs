//! commitlog: a log for one writer, with an index of every entry beside each segment. It never syncs a segment.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const NONE: Candidate = Candidate {
    name: "commitlog",
    package: Some("commitlog"),
    role: Role::Peer,
    promise: "a write that covers the entry, or the batch, has returned, and its place is in a mapped index; nothing \
              makes it durable, because its flush does not sync the file of the entries",
    configuration: "`LogOptions::new` (segments of 1 GB), without its limit of 1 MB on a call; `append` of a \
                    `MessageBuf` under one mutex, because it has one writer by design",
    act: Act::Append(open),
};

pub(super) const REPLAY: Candidate = Candidate {
    name: "commitlog",
    package: Some("commitlog"),
    role: Role::Peer,
    promise: "each entry has matched its CRC-32C; where it begins and how many there are is taken from the index, \
              which has no checksum",
    configuration: "`CommitLog::read`, up to 2 MiB a call",
    act: Act::Replay { open, read },
};

/// More than the longest entry with its header, and otherwise of no account.
const READ_BYTES: usize = 2 << 20;

struct OneWriter {
    log: Mutex<(CommitLog, MessageBuf)>,
    directory: PathBuf,
    entry_bytes: usize,
}

fn open(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    let log = Mutex::new((open_log(directory)?, MessageBuf::default()));
    Ok(Box::new(OneWriter { log, directory: directory.to_owned(), entry_bytes: load.entry_bytes }))
}

fn open_log(directory: &Path) -> Result<CommitLog, String> {
    let mut options = LogOptions::new(directory);
    options.message_max_bytes(usize::MAX);
    CommitLog::new(options).map_err(because("open"))
}

impl Engine for OneWriter {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let (log, messages) = &mut *self.log.lock().map_err(because("lock"))?;
        messages.clear();
        for entry in payload.chunks(self.entry_bytes) {
            messages.push(entry).map_err(|error| format!("push: {error:?}"))?;
        }
        log.append(messages).map(drop).map_err(because("append"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let OneWriter { log, directory, .. } = *self;
        drop(log);
        read(&directory, tally).map(drop)
    }
}

fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    let log = open_log(directory)?;
    let began = Instant::now();
    let mut next = 0;
    while next < log.next_offset() {
        let messages = log.read(next, ReadLimit::max_bytes(READ_BYTES)).map_err(because("read"))?;
        if messages.is_empty() {
            return Err(format!("read: nothing at offset {next}, before the end"));
        }
        messages.iter().for_each(|message| tally.entry(message.payload()));
        next += messages.len() as u64;
    }
    Ok(began.elapsed())
}
