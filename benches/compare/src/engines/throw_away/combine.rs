//! `combine`: one thread writes for all.
//!
//! ```text
//!  append:  lock, add the entry to the buffer
//!           no writer?  become it:  take the buffer, unlock, pwrite, publish, lock; again, until the buffer is empty
//!           a writer?   unlock, spin, and then sleep, until what is published covers the entry
//! ```

use std::fs::File;
use std::hint::spin_loop;
use std::mem::{replace, take};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::yield_now;

use parking_lot::{Mutex, MutexGuard};

use super::record;
use super::word::Word;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::engines::because;
use crate::engines::floor::{reserve, reserved_bytes};
use crate::run::Load;
use crate::tally::Tally;

pub(in crate::engines) const COMBINE: Candidate = Candidate {
    name: "combine",
    package: None,
    role: Role::ThrowAway,
    promise: "a pwrite that covers the entry has returned; recovers nothing",
    configuration: "length, CRC-32 and entry into a buffer under one mutex; an append that finds no writer writes the \
                    buffers of all until there is none, the others spin and then sleep on a futex; one file that was \
                    reserved with fallocate and synced",
    act: Act::Append(open),
};

/// A write of a few entries takes less than a sleep and a wake-up.
const SPINS: u32 = 40;
const YIELDS: u32 = 20;

struct Combine {
    file: File,
    directory: PathBuf,
    entry_bytes: usize,
    state: Mutex<State>,
    /// Calls whose entries are written.
    written: AtomicU64,
    failed: AtomicBool,
    sleepers: AtomicU32,
    word: Word,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    calls: u64,
    taken_bytes: u64,
    has_writer: bool,
}

const FILE: &str = "combine";

fn open(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    Ok(Box::new(Combine {
        file: reserve(directory, FILE, reserved_bytes(load))?,
        directory: directory.to_owned(),
        entry_bytes: load.entry_bytes,
        state: Mutex::default(),
        written: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        sleepers: AtomicU32::new(0),
        word: Word::default(),
    }))
}

impl Engine for Combine {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut state = self.state.lock();
        record::push(&mut state.buffer, payload, self.entry_bytes);
        state.calls += 1;
        if !state.has_writer {
            state.has_writer = true;
            return self.write_for_all(state);
        }
        let own = state.calls;
        drop(state);
        self.wait_for(own);
        if self.failed.load(Ordering::SeqCst) {
            Err("another thread's pwrite failed".to_owned())
        } else {
            Ok(())
        }
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let written_bytes = self.state.into_inner().taken_bytes;
        record::show_file(&self.directory, FILE, Some(written_bytes), |entry| tally.entry(entry)).map(drop)
    }
}

impl Combine {
    fn write_for_all<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<(), String> {
        loop {
            let spare = take(&mut state.spare);
            let mut buffer = replace(&mut state.buffer, spare);
            let (calls, offset) = (state.calls, state.taken_bytes);
            state.taken_bytes += buffer.len() as u64;
            drop(state);

            if let Err(error) = self.file.write_all_at(&buffer, offset) {
                // There is a writer for good, so every later append fails.
                self.failed.store(true, Ordering::SeqCst);
                self.publish(u64::MAX);
                return Err(because("pwrite")(error));
            }
            self.publish(calls);
            buffer.clear();

            state = self.state.lock();
            state.spare = buffer;
            if state.buffer.is_empty() {
                state.has_writer = false;
                return Ok(());
            }
        }
    }

    /// A sleeper counts itself before it looks at `written`, and this looks at the count after it has set that, so one
    /// of the two sees the other.
    fn publish(&self, calls: u64) {
        self.written.store(calls, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.word.change();
            self.word.wake_all();
        }
    }

    fn wait_for(&self, call: u64) {
        let is_written = || self.written.load(Ordering::SeqCst) >= call;
        for spin in 0..SPINS + YIELDS {
            if is_written() {
                return;
            }
            if spin < SPINS { spin_loop() } else { yield_now() }
        }
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        loop {
            let seen = self.word.value();
            if is_written() {
                break;
            }
            self.word.sleep(seen);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}
