//! The floor: what the disk gives when every append pays for itself, and what the operating system gives without a sync.
//!
//! ```text
//!  one file, reserved ahead
//!  ├────────┬────────┬────────┬─── ─ ─
//!  │ thread │ thread │ thread │          an atomic hands out offsets; no lock anywhere
//!  │   2    │   0    │   1    │
//!  └────────┴────────┴────────┴─── ─ ─
//!  each thread: claim, pwrite, and for durable appends fdatasync
//! ```
//!
//! There is no header, no checksum and no end mark: it is a measure, not a log.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::because;
use crate::engine::{Act, Candidate, Engine, Role};
use crate::run::Load;
use crate::tally::Tally;

pub(super) const DURABLE: Candidate = Candidate {
    name: "floor",
    package: None,
    role: Role::Floor,
    promise: "one fdatasync of its own covers the entry; nothing could find it again",
    configuration: "one pwrite and one fdatasync by each thread, into one file that was reserved with fallocate \
                    and synced; offsets from an atomic, no lock",
    act: Act::Append(|directory, load| {
        let reserved_bytes = RESERVED_ENTRIES * load.entry_bytes as u64 * load.batch as u64;
        open(directory, load, reserved_bytes.min(MOST_RESERVED_BYTES), true)
    }),
};

pub(super) const RAW: Candidate = Candidate {
    name: "raw",
    package: None,
    role: Role::Floor,
    promise: "a pwrite of its own covers the entry, or the batch; nothing could find it again",
    configuration: "as the floor of durable appends, without the fdatasync",
    act: Act::Append(|directory, load| open(directory, load, reserved_bytes(load), false)),
};

/// More than a minute's worth: a disk that gives 25,000 of these a second is a fast one.
const RESERVED_ENTRIES: u64 = 2 << 20;

/// More than a pwrite into fresh pages gives.
const RESERVED_BYTES_A_MILLISECOND: u64 = 4 << 20;

/// So that large entries do not ask for more than a disk has.
const MOST_RESERVED_BYTES: u64 = 16 << 30;

struct Floor {
    file: File,
    entry_bytes: usize,
    reserved_bytes: u64,
    is_durable: bool,
    claimed: AtomicU64,
}

fn open(
    directory: &Path,
    load: &Load,
    reserved_bytes: u64,
    is_durable: bool,
) -> Result<Box<dyn Engine>, String> {
    let file = reserve(directory, "floor", reserved_bytes)?;
    let entry_bytes = load.entry_bytes;
    Ok(Box::new(Floor { file, entry_bytes, reserved_bytes, is_durable, claimed: AtomicU64::new(0) }))
}

/// What is reserved for appends that wait for no sync.
pub(super) fn reserved_bytes(load: &Load) -> u64 {
    let milliseconds = u64::try_from((load.warm_up + load.measured).as_millis()).unwrap_or(u64::MAX);
    milliseconds.saturating_mul(RESERVED_BYTES_A_MILLISECOND).min(MOST_RESERVED_BYTES)
}

/// A new file of so many bytes, none of which was written.
pub(super) fn reserve(directory: &Path, name: &str, reserved_bytes: u64) -> Result<File, String> {
    let path = directory.join(name);
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(because("create"))?;
    fallocate(&file, FallocateFlags::empty(), 0, reserved_bytes).map_err(because("fallocate"))?;
    // Its length and its extents are settled before anybody looks at a clock.
    file.sync_all().map_err(because("fsync"))?;
    Ok(file)
}

impl Engine for Floor {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let payload_bytes = payload.len() as u64;
        let offset = self.claimed.fetch_add(payload_bytes, Ordering::Relaxed);
        if offset + payload_bytes > self.reserved_bytes {
            return Err(format!("the {} bytes that were reserved are used up", self.reserved_bytes));
        }
        self.file.write_all_at(payload, offset).map_err(because("pwrite"))?;
        if self.is_durable { self.file.sync_data().map_err(because("fdatasync")) } else { Ok(()) }
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        let claimed = self.claimed.into_inner();
        let mut file = self.file;
        file.rewind().map_err(because("seek"))?;
        let mut reader = BufReader::new(file.take(claimed));
        let mut payload = vec![0; self.entry_bytes];
        for _ in 0..claimed / self.entry_bytes as u64 {
            reader.read_exact(&mut payload).map_err(because("read"))?;
            tally.entry(&payload);
        }
        Ok(())
    }
}
