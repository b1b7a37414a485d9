//! `group`: a buffer of 64 KiB under a mutex. The append that fills it writes it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::record;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::engines::because;
use crate::engines::floor::{reserve, reserved_bytes};
use crate::run::Load;
use crate::tally::Tally;

pub(in crate::engines) const GROUP: Candidate = Candidate {
    name: "group",
    package: None,
    role: Role::ThrowAway,
    promise: "the entry is in a buffer of this process, or written; recovers nothing",
    configuration: "length, CRC-32 and entry into 64 KiB under one mutex; the append that fills it writes it, into one \
                    file that was reserved with fallocate and synced",
    act: Act::Append(open),
};

const BUFFER_BYTES: usize = 64 << 10;

struct Group {
    file: File,
    directory: PathBuf,
    entry_bytes: usize,
    state: Mutex<State>,
}

struct State {
    buffer: Vec<u8>,
    written_bytes: u64,
}

/// A file of records that is as long as what was appended, once it was closed.
pub(in crate::engines) const FILE: &str = "group";

pub(in crate::engines) fn open(directory: &Path, load: &Load) -> Result<Box<dyn Engine>, String> {
    let file = reserve(directory, FILE, reserved_bytes(load))?;
    let buffer = Vec::with_capacity(2 * BUFFER_BYTES);
    Ok(Box::new(Group {
        file,
        directory: directory.to_owned(),
        entry_bytes: load.entry_bytes,
        state: Mutex::new(State { buffer, written_bytes: 0 }),
    }))
}

impl Engine for Group {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let mut state = self.state.lock();
        record::push(&mut state.buffer, payload, self.entry_bytes);
        if state.buffer.len() < BUFFER_BYTES { Ok(()) } else { state.write(&self.file) }
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let mut state = self.state.into_inner();
        state.write(&self.file)?;
        self.file.set_len(state.written_bytes).map_err(because("truncate"))?;
        record::show_file(&self.directory, FILE, None, |entry| tally.entry(entry)).map(drop)
    }
}

impl State {
    fn write(&mut self, file: &File) -> Result<(), String> {
        file.write_all_at(&self.buffer, self.written_bytes).map_err(because("pwrite"))?;
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
