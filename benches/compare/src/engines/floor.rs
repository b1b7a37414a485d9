//! The floor: what the disk gives when every append pays for itself.
//!
//! ```text
//!  one file, reserved ahead
//!  ├────────┬────────┬────────┬─── ─ ─
//!  │ thread │ thread │ thread │          an atomic hands out offsets; no lock anywhere
//!  │   2    │   0    │   1    │
//!  └────────┴────────┴────────┴─── ─ ─
//!  each thread: claim, pwrite, fdatasync
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
use crate::engine::{Candidate, Engine, Role};
use crate::tally::Tally;

pub(super) const CANDIDATE: Candidate = Candidate {
    name: "floor",
    package: None,
    role: Role::Floor,
    promise: "one fdatasync of its own covers the entry; nothing could find it again",
    configuration: "one pwrite and one fdatasync by each thread, into one file that was reserved with fallocate \
                    and synced; offsets from an atomic, no lock",
    open,
};

/// More than a minute's worth: a disk that gives 25,000 of these a second is a fast one.
const RESERVED_ENTRIES: u64 = 2 << 20;

/// So that large entries do not ask for more than a disk has.
const MOST_RESERVED_BYTES: u64 = 16 << 30;

struct Floor {
    file: File,
    entry_bytes: usize,
    reserved_bytes: u64,
    claimed: AtomicU64,
}

fn open(directory: &Path, entry_bytes: usize) -> Result<Box<dyn Engine>, String> {
    let path = directory.join("floor");
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(because("create"))?;
    let reserved_bytes = (RESERVED_ENTRIES * entry_bytes as u64).min(MOST_RESERVED_BYTES);
    fallocate(&file, FallocateFlags::empty(), 0, reserved_bytes).map_err(because("fallocate"))?;
    // Its length and its extents are settled before anybody looks at a clock.
    file.sync_all().map_err(because("fsync"))?;
    Ok(Box::new(Floor { file, entry_bytes, reserved_bytes, claimed: AtomicU64::new(0) }))
}

impl Engine for Floor {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        let payload_bytes = payload.len() as u64;
        let offset = self.claimed.fetch_add(payload_bytes, Ordering::Relaxed);
        if offset + payload_bytes > self.reserved_bytes {
            return Err(format!("the {} bytes that were reserved are used up", self.reserved_bytes));
        }
        self.file.write_all_at(payload, offset).map_err(because("pwrite"))?;
        self.file.sync_data().map_err(because("fdatasync"))
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
