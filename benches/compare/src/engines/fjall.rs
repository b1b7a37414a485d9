//! fjall: a key-value store, whose journal is the log. An append is an insert.
//!
//! The journal cannot be used alone: each insert goes to the memtable, too, and memtables are flushed and compacted
//! in the background. What is read back is the store, so it takes no part in the replay.

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::payload::Stamp;
use crate::run::Load;
use crate::tally::Tally;

pub(super) const DURABLE: Candidate = Candidate {
    name: "fjall",
    package: Some("fjall"),
    role: Role::Peer,
    promise: "an fdatasync of its own, which began after the write, covers the entry; it is also in a sorted store",
    configuration: "defaults, without features; `Keyspace::insert` and `Database::persist` with `SyncData`; 16 bytes \
                    of key before each entry; memtables of 64 MiB are flushed and compacted in the background",
    act: Act::Append(|directory, load| open(directory, load, Durability::Durable)),
};

pub(super) const NONE: Candidate = Candidate {
    name: "fjall",
    package: Some("fjall"),
    role: Role::Peer,
    promise: "a write that covers the entry, or the batch, has returned; it is also in a sorted store",
    configuration: "as for durable appends, without `persist`; a batch is one `WriteBatch`, all of it or nothing after \
                    a crash",
    act: Act::Append(|directory, load| open(directory, load, Durability::Written)),
};

pub(super) const BUFFERED: Candidate = Candidate {
    name: "fjall",
    package: Some("fjall"),
    role: Role::Peer,
    promise: "the entry is in a buffer of 8 KiB, or written; it is also in a sorted store",
    configuration: "as without a buffer, with `manual_journal_persist`",
    act: Act::Append(|directory, load| open(directory, load, Durability::Buffered)),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Durable,
    Written,
    Buffered,
}

struct Store {
    database: Database,
    keyspace: Keyspace,
    directory: PathBuf,
    entry_bytes: usize,
    durability: Durability,
}

fn open(directory: &Path, load: &Load, durability: Durability) -> Result<Box<dyn Engine>, String> {
    let (database, keyspace) = open_store(directory, durability)?;
    let (directory, entry_bytes) = (directory.to_owned(), load.entry_bytes);
    Ok(Box::new(Store { database, keyspace, directory, entry_bytes, durability }))
}

fn open_store(directory: &Path, durability: Durability) -> Result<(Database, Keyspace), String> {
    let is_manual = durability == Durability::Buffered;
    let database = Database::builder(directory).manual_journal_persist(is_manual).open();
    let database = database.map_err(because("open"))?;
    let options = || KeyspaceCreateOptions::default().manual_journal_persist(is_manual);
    let keyspace = database.keyspace("log", options).map_err(because("keyspace"))?;
    Ok((database, keyspace))
}

impl Engine for Store {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        if payload.len() == self.entry_bytes {
            self.keyspace.insert(key(payload)?, payload).map_err(because("insert"))?;
        } else {
            let mut batch = self.database.batch();
            for entry in payload.chunks(self.entry_bytes) {
                batch.insert(&self.keyspace, key(entry)?, entry);
            }
            batch.commit().map_err(because("commit"))?;
        }
        if self.durability == Durability::Durable {
            self.database.persist(PersistMode::SyncData).map_err(because("persist"))?;
        }
        Ok(())
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let Store { database, keyspace, directory, durability, .. } = *self;
        drop((keyspace, database));
        let (_database, keyspace) = open_store(&directory, durability)?;
        for entry in keyspace.iter() {
            tally.entry(&entry.value().map_err(because("read"))?);
        }
        Ok(())
    }
}

/// Sorts by the writer and then by the number, so that each writer's entries come back in its order.
#[expect(clippy::big_endian_bytes, reason = "keys are sorted by their bytes")]
fn key(entry: &[u8]) -> Result<[u8; 16], String> {
    let Stamp { writer, number } = Stamp::read(entry).ok_or("a payload without a stamp")?;
    Ok(((u128::from(writer) << 64) | u128::from(number)).to_be_bytes())
}
