//! `group3`: group commit with one futex word a group.
//!
//! ```text
//!  append:  lock, add the entry to the open group
//!           no leader?  lead: yield until the group is as large as the last one, at most a third of a sync,
//!                             close the group, unlock, pwrite, fdatasync, lock,
//!                             pass the lead to one thread of the next group, wake all of this one
//!           a leader?   sleep on the word of the group
//! ```
//!
//! Threads that wake because their group is durable take no lock. The file was written with zeros, and is used from its
//! beginning again when its end is reached: an fdatasync over blocks that were written before is the cheapest.

use std::fs::File;
use std::mem::{replace, take};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::record;
use super::word::Word;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::engines::because;
use crate::run::Load;
use crate::tally::Tally;

pub(in crate::engines) const GROUP3: Candidate = Candidate {
    name: "group3",
    package: None,
    role: Role::ThrowAway,
    promise: "an fdatasync that began after the write covers the entry, until it is written over; recovers nothing",
    configuration: "length, CRC-32 and entry into a group under one mutex; its leader yields until it is as large as \
                    the last one, at most a third of a sync; one futex word a group; 256 MiB of zeros, written over \
                    again and again",
    act: Act::Append(open),
};

const FILE_BYTES: u64 = 256 << 20;

/// At most two groups wait at a time: the one that is being synced, and the open one. With more words than that, a group
/// rarely meets threads of an earlier one that have not woken yet.
const WORDS: usize = 4;

struct Group3 {
    file: File,
    directory: PathBuf,
    entry_bytes: usize,
    state: Mutex<State>,
    words: [Word; WORDS],
    /// The last group that is durable. Groups are numbered from 1.
    durable: AtomicU32,
    failed: AtomicBool,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    open_group: u32,
    entries_of_group: u64,
    calls: u64,
    calls_of_last_group: u64,
    has_leader: bool,
    /// How long a write and its sync take, on the average of the last few.
    sync: Duration,
    /// Where the next group is written.
    offset: u64,
    /// Entries of this pass over the file, and of the passes before.
    entries: u64,
    overwritten: u64,
}

const FILE: &str = "group3";

fn open(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    let file = File::create_new(directory.join(FILE)).map_err(because("create"))?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset).map_err(because("fill with zeros"))?;
    }
    file.sync_all().map_err(because("fsync"))?;
    Ok(Box::new(Group3 {
        file,
        directory: directory.to_owned(),
        entry_bytes: load.entry_bytes,
        state: Mutex::new(State { open_group: 1, ..State::default() }),
        words: Default::default(),
        durable: AtomicU32::new(0),
        failed: AtomicBool::new(false),
    }))
}

impl Engine for Group3 {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut state = self.state.lock();
        let entries = record::push(&mut state.buffer, payload, self.entry_bytes);
        state.entries_of_group += entries;
        state.calls += 1;
        let group = state.open_group;
        while state.has_leader {
            let word = self.word(group);
            let seen = word.value();
            drop(state);
            if !self.is_durable(group) {
                word.sleep(seen);
            }
            if self.is_durable(group) {
                return self.outcome();
            }
            state = self.state.lock();
            if self.is_durable(group) {
                return self.outcome();
            }
        }
        state.has_leader = true;
        let state = gather(state);
        self.lead(state)
    }

    /// What was written over cannot be read, so its entries are counted.
    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let state = self.state.into_inner();
        if state.overwritten == 0 {
            return record::show_file(&self.directory, FILE, Some(state.offset), |entry| tally.entry(entry))
                .map(drop);
        }
        let mut found = 0;
        record::show_file(&self.directory, FILE, Some(state.offset), |_| found += 1)?;
        tally.counted(state.overwritten + found);
        Ok(())
    }
}

impl Group3 {
    fn word(&self, group: u32) -> &Word {
        &self.words[group as usize % WORDS]
    }

    fn is_durable(&self, group: u32) -> bool {
        self.durable.load(Ordering::Acquire) >= group
    }

    fn outcome(&self) -> Result<(), String> {
        if self.failed.load(Ordering::Acquire) { Err("the leader's sync failed".to_owned()) } else { Ok(()) }
    }

    fn lead(&self, mut state: MutexGuard<'_, State>) -> Result<(), String> {
        let group = state.open_group;
        let (mut buffer, offset) = state.close_group();
        drop(state);

        let began = Instant::now();
        let written = self.file.write_all_at(&buffer, offset).and_then(|()| self.file.sync_data());
        let took = began.elapsed();
        buffer.clear();
        if written.is_err() {
            self.failed.store(true, Ordering::Release);
        }

        let mut state = self.state.lock();
        state.sync = (state.sync * 7 + took) / 8;
        state.spare = buffer;
        state.has_leader = false;
        self.durable.store(group, Ordering::Release);
        let (own, next) = (self.word(group), self.word(group + 1));
        own.change();
        // Under the lock: an appender that found this leader took the old value, and does not sleep on the new one.
        next.change();
        drop(state);
        next.wake_one();
        own.wake_all();
        written.map_err(because("pwrite and fdatasync"))
    }
}

/// Waits for the threads that were there last time, for at most a third of a sync.
fn gather(mut state: MutexGuard<'_, State>) -> MutexGuard<'_, State> {
    let (calls, limit, began) = (state.calls_of_last_group, state.sync / 3, Instant::now());
    while state.calls < calls && began.elapsed() < limit {
        MutexGuard::unlocked(&mut state, yield_now);
    }
    state
}

impl State {
    /// Returns what has to be written, and where.
    fn close_group(&mut self) -> (Vec<u8>, u64) {
        let spare = take(&mut self.spare);
        let buffer = replace(&mut self.buffer, spare);
        let len = buffer.len() as u64;
        if self.offset + len > FILE_BYTES {
            self.overwritten += take(&mut self.entries);
            self.offset = 0;
        }
        let offset = self.offset;
        self.offset += len;
        self.entries += take(&mut self.entries_of_group);
        self.calls_of_last_group = take(&mut self.calls);
        self.open_group += 1;
        (buffer, offset)
    }
}
