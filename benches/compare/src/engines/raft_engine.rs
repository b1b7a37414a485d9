//! raft-engine: the log of many raft groups in one.
//!
//! Each thread is a group of its own, because the entries of a group have to come in order. The stamp at the front of
//! a payload says which group and which index.

use std::cell::RefCell;
use std::path::Path;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine as Log, LogBatch, MessageExt};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::payload::Stamp;
use crate::run::Load;
use crate::tally::Tally;

pub(super) const CANDIDATE: Candidate = Candidate {
    name: "raft-engine",
    package: Some("raft-engine"),
    role: Role::Peer,
    promise: "an fdatasync that began after the write covers the entry; concurrent writes share it; an index of all \
              entries is kept in memory",
    configuration: "`Config::default` (files of 128 MiB, reserved 2 MiB at a time), no features; one entry of one \
                    raft group a thread in a batch that the thread keeps, `Engine::write` with `sync` true",
    act: Act::Append(open),
};

struct RaftEngine {
    log: Log,
    config: Config,
}

fn open(directory: &Path, _: &Load) -> Result<Box<dyn Engine>, String> {
    let directory = directory.join("log");
    let name = directory.to_str().ok_or("the directory's name is not UTF-8")?;
    let config = Config { dir: name.to_owned(), ..Config::default() };
    let log = Log::open(config.clone()).map_err(because("open"))?;
    Ok(Box::new(RaftEngine { log, config }))
}

thread_local! {
    /// A batch is emptied by the write and keeps its buffers, so a thread makes one and uses it again.
    static BATCH: RefCell<(LogBatch, [BytesValue; 1])> = RefCell::default();
}

impl Engine for RaftEngine {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let Stamp { writer, .. } = Stamp::read(payload).ok_or("a payload without a stamp")?;
        BATCH.with_borrow_mut(|(batch, entries)| {
            entries[0].value.clear();
            entries[0].value.extend_from_slice(payload);
            batch.add_entries::<Stamped>(group(writer), entries).map_err(because("add_entries"))?;
            self.log.write(batch, true).map(drop).map_err(because("write"))
        })
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let RaftEngine { log, config } = *self;
        drop(log);
        let log = Log::open(config).map_err(because("open again"))?;
        let mut entries = Vec::new();
        for group in log.raft_groups() {
            let (Some(first), Some(last)) = (log.first_index(group), log.last_index(group)) else { continue };
            let mut next = first;
            while next <= last {
                let end = (last + 1).min(next + FETCHED_ENTRIES);
                log.fetch_entries_to::<Stamped>(group, next, end, None, &mut entries)
                    .map_err(because("fetch"))?;
                entries.drain(..).for_each(|entry| tally.entry(&entry.value));
                next = end;
            }
        }
        Ok(())
    }
}

const FETCHED_ENTRIES: u64 = 1024;

/// Groups are numbered from 1.
fn group(writer: u64) -> u64 {
    writer + 1
}

/// How raft-engine is told the index of an entry.
struct Stamped;

impl MessageExt for Stamped {
    type Entry = BytesValue;

    /// Indices are dense and begin at 1.
    fn index(entry: &BytesValue) -> u64 {
        Stamp::read(&entry.value).expect("every entry is made from a payload with a stamp").number + 1
    }
}
