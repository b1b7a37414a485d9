//! okaywal: a log in front of another store, to which it hands its segments over.
//!
//! A segment that was handed over (checkpointed) is used again, so most of what was appended is gone at the end. Ids
//! are dense, so the entries are counted by them: up to the last id that was handed over, and then one by one what a
//! recovery finds.

use std::io;
use std::mem::replace;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use parking_lot::Mutex;

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const DURABLE: Candidate = Candidate {
    name: "okaywal",
    package: Some("okaywal"),
    role: Role::Peer,
    promise: "an fdatasync that began after the write covers the entry; concurrent commits share it",
    configuration: "`Configuration::default_for` (segments of 1 MiB, written with zeros, used again after a \
                    checkpoint at 768 KiB); one chunk an entry, `EntryWriter::commit`; checkpoints cost nothing",
    act: Act::Append(open),
};

pub(super) const REPLAY: Candidate = Candidate {
    name: "okaywal",
    package: Some("okaywal"),
    role: Role::Peer,
    promise: "each chunk has matched its checksum, and each entry is whole",
    configuration: "no checkpoints, so one segment that grows; a batch is one entry with a chunk for each of ours; \
                    `LogManager::recover` with `read_all_chunks`, so opening is the replay; every commit waits for an \
                    fdatasync, so the log is short",
    act: Act::Replay { open: open_kept, read },
};

struct OkayWal {
    log: WriteAheadLog,
    directory: PathBuf,
    entry_bytes: usize,
    checkpointed: Arc<AtomicU64>,
    is_kept: bool,
}

fn open(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    open_with(Configuration::default_for(directory), load, false)
}

fn open_kept(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    open_with(kept(directory), load, true)
}

/// Without checkpoints all of a log is there to be read.
fn kept(directory: &Path) -> Configuration {
    Configuration::default_for(directory).checkpoint_after_bytes(u64::MAX)
}

fn open_with(configuration: Configuration, load: &Load, is_kept: bool) -> Result<Box<dyn Engine>, String> {
    let (directory, entry_bytes) = (configuration.directory.clone(), load.entry_bytes);
    let checkpointed = Arc::new(AtomicU64::new(0));
    let manager = Checkpoints { last: Arc::clone(&checkpointed) };
    let log = configuration.open(manager).map_err(because("open"))?;
    Ok(Box::new(OkayWal { log, directory, entry_bytes, checkpointed, is_kept }))
}

impl Engine for OkayWal {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut entry = self.log.begin_entry().map_err(because("begin_entry"))?;
        for chunk in payload.chunks(self.entry_bytes) {
            entry.write_chunk(chunk).map_err(because("write_chunk"))?;
        }
        entry.commit().map(drop).map_err(because("commit"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        // Waits for the checkpoints that are under way.
        self.log.shutdown().map_err(because("shutdown"))?;
        if self.is_kept {
            return read(&self.directory, tally).map(drop);
        }
        let checkpointed = self.checkpointed.load(Ordering::Acquire);
        let recovered = Arc::new(AtomicU64::new(0));
        let manager = Recount { checkpointed, recovered: Arc::clone(&recovered) };
        let log = Configuration::default_for(&self.directory).open(manager).map_err(because("open again"))?;
        log.shutdown().map_err(because("shutdown"))?;
        tally.counted(checkpointed + recovered.load(Ordering::Acquire));
        Ok(())
    }
}

fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    let shared = Arc::new(Mutex::new(replace(tally, Tally::new(0))));
    let manager = Replay { tally: Arc::clone(&shared) };
    let began = Instant::now();
    let log = kept(directory).open(manager).map_err(because("open again"))?;
    let took = began.elapsed();
    *tally = replace(&mut *shared.lock(), Tally::new(0));
    log.shutdown().map_err(because("shutdown"))?;
    Ok(took)
}

/// The store behind a log that is replayed.
#[derive(Debug)]
struct Replay {
    tally: Arc<Mutex<Tally>>,
}

impl LogManager for Replay {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            let mut tally = self.tally.lock();
            chunks.iter().for_each(|chunk| tally.entry(chunk));
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Err(io::Error::other("a log without checkpoints has one"))
    }
}

/// The store behind a log that is measured: takes every segment at once, and remembers how far they went.
#[derive(Debug)]
struct Checkpoints {
    last: Arc<AtomicU64>,
}

impl LogManager for Checkpoints {
    fn recover(&mut self, _: &mut Entry<'_>) -> io::Result<()> {
        Err(io::Error::other("a new log has an entry"))
    }

    fn checkpoint_to(&mut self, last: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        self.last.store(last.0, Ordering::Release);
        Ok(())
    }
}

/// The store behind a log that was opened again: counts what had not been handed over.
#[derive(Debug)]
struct Recount {
    checkpointed: u64,
    recovered: Arc<AtomicU64>,
}

impl LogManager for Recount {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        // To the end and with its checksum: of a chunk that is not read, 0.3.1 skips four bytes too many, and takes
        // the rest of the segment for torn.
        let whole = entry.read_all_chunks()?.is_some();
        if whole && entry.id().0 > self.checkpointed {
            self.recovered.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}
