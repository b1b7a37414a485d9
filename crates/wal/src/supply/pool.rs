//! The files that wait to become segments: how many there may be, and which is the next.
//!
//! ```text
//!  left by a truncation ──▶ ┌──────┐
//!  made in the background ─▶│ pool │ ──▶ a spare, when one is wanted
//!  found by an open ───────▶└──────┘ ──▶ removed at close, and when space is short
//! ```
//!
//! Invariant: no two files get the same name, also while one of them is worked at outside of the pool.

use wal_format::PoolName;
use wal_segment::io::Directory;
use wal_segment::{PoolFile, Rules};

/// How many files are kept ready ahead of the log, of which kind, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supply {
    /// So many, the prepared segment included, are made.
    pub(crate) spares: usize,
    /// The files of segments that a truncation has left are used again.
    pub(crate) recycle: bool,
    /// Files are filled with zeros while there is time.
    pub(crate) zero_ahead: bool,
    /// A thread makes them.
    pub(crate) background: bool,
    pub(crate) rules: Rules,
}

impl Supply {
    /// How many files are made that wait beside the prepared segment.
    fn made(self) -> usize {
        self.spares.saturating_sub(1)
    }

    /// How many files wait at most. One that a truncation has left costs no space that the log did not
    /// have, so there is room for one of these beside those that are made: or they would never be used up.
    fn waiting(self) -> usize {
        self.made() + usize::from(self.recycle)
    }
}

/// Files that wait, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Pool {
    supply: Supply,
    waiting: Vec<PoolFile>,
    next_place: u16,
}

impl Pool {
    /// Takes over what an earlier process has left waiting, as far as there is room. The others are removed.
    pub(crate) fn adopt(directory: &dyn Directory, found: &[PoolName], supply: Supply) -> Pool {
        let next_place = found.iter().map(|name| name.place() + 1).max().unwrap_or(0);
        let mut pool = Pool { supply, waiting: Vec::with_capacity(supply.waiting()), next_place };
        for &name in found {
            let Some(waiting) = PoolFile::adopt(directory, name) else { continue };
            if let Some(surplus) = pool.put(waiting) {
                // What cannot be removed is found by the next open.
                surplus.discard(directory).ok();
            }
        }
        pool
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.supply.waiting()
    }

    /// Whether another one should be made.
    pub(crate) fn is_low(&self) -> bool {
        self.waiting.len() < self.supply.made()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A name that no file of this pool has. After a thousand names it may be that of one that could not be
    /// removed: then whoever uses it fails, and the next one gets another.
    pub(crate) fn name(&mut self) -> PoolName {
        let name = PoolName::of(self.next_place);
        self.next_place = name.place() + 1;
        name
    }

    /// Lets a file wait; returns it when there is no room.
    pub(crate) fn put(&mut self, waiting: PoolFile) -> Option<PoolFile> {
        if self.has_room() {
            self.waiting.push(waiting);
            None
        } else {
            Some(waiting)
        }
    }

    /// The next one: best one that was a segment, whose space is in use already.
    pub(crate) fn take(&mut self) -> Option<PoolFile> {
        let was_a_segment = self.waiting.iter().position(PoolFile::is_recycled);
        let next = was_a_segment.or_else(|| self.waiting.len().checked_sub(1))?;
        Some(self.waiting.swap_remove(next))
    }

    /// One that zeros would make better.
    pub(crate) fn take_unwritten(&mut self) -> Option<PoolFile> {
        let next = self.waiting.iter().position(PoolFile::is_unwritten)?;
        Some(self.waiting.swap_remove(next))
    }

    /// All of them.
    pub(crate) fn take_all(&mut self) -> Vec<PoolFile> {
        std::mem::take(&mut self.waiting)
    }

    /// How many wait, and how long their files are together.
    pub(crate) fn holds(&self) -> (usize, u64) {
        (self.waiting.len(), self.waiting.iter().map(PoolFile::file_bytes).sum())
    }
}
