//! okaywal: a log in front of another store, to which it hands its segments over.
//!
//! A segment that was handed over (checkpointed) is used again, so most of what was appended is gone at the end. Ids
//! are dense, so the entries are counted by them: up to the last id that was handed over, and then one by one what a
//! recovery finds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use super::because;
use crate::engine::{Candidate, Engine, Role};
use crate::tally::Tally;

pub(super) const CANDIDATE: Candidate = Candidate {
    name: "okaywal",
    package: Some("okaywal"),
    role: Role::Peer,
    promise: "an fdatasync that began after the write covers the entry; concurrent commits share it",
    configuration: "`Configuration::default_for` (segments of 1 MiB, written with zeros, used again after a \
                    checkpoint at 768 KiB); one chunk an entry, `EntryWriter::commit`; checkpoints cost nothing",
    open,
};

struct OkayWal {
    log: WriteAheadLog,
    directory: PathBuf,
    checkpointed: Arc<AtomicU64>,
}

fn open(directory: &Path, _entry_bytes: usize) -> Result<Box<dyn Engine>, String> {
    let directory = directory.join("log");
    let checkpointed = Arc::new(AtomicU64::new(0));
    let manager = Checkpoints { last: Arc::clone(&checkpointed) };
    let log = Configuration::default_for(&directory).open(manager).map_err(because("open"))?;
    Ok(Box::new(OkayWal { log, directory, checkpointed }))
}

impl Engine for OkayWal {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut entry = self.log.begin_entry().map_err(because("begin_entry"))?;
        entry.write_chunk(payload).map_err(because("write_chunk"))?;
        entry.commit().map(drop).map_err(because("commit"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        // Waits for the checkpoints that are under way.
        self.log.shutdown().map_err(because("shutdown"))?;
        let checkpointed = self.checkpointed.load(Ordering::Acquire);
        let recovered = Arc::new(AtomicU64::new(0));
        let manager = Recount { checkpointed, recovered: Arc::clone(&recovered) };
        let log = Configuration::default_for(&self.directory).open(manager).map_err(because("open again"))?;
        log.shutdown().map_err(because("shutdown"))?;
        tally.counted(checkpointed + recovered.load(Ordering::Acquire));
        Ok(())
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
