//! How the pool is filled, drawn from and given up: by `wal-files`, and by whoever has dropped segments.
//!
//! No lock is held while a file is made, renamed or removed: a name is taken under the lock first, and what came
//! of it is put back under the lock.

use wal_format::{PoolName, SegmentNumber};
use wal_segment::{Operation, Order, PoolFile, SpareSource, remove_obsolete};

use super::pool::Supply;
use super::{Stores, Wanted};

/// What the pool lacks.
pub(super) enum PoolTask {
    /// A file of this name and length.
    Make(PoolName, u64),
    /// Zeros in this one.
    Zero(PoolFile),
}

impl Stores {
    /// Gives back the space of the files that wait.
    pub(crate) fn give_up_pool(&self) {
        let all = {
            let mut wanted = self.wanted.lock_whole();
            wanted.refill = None;
            wanted.pool.take_all()
        };
        all.into_iter().for_each(|waiting| self.discard(waiting));
    }

    /// Takes the files of segments that neither the log nor a reader needs: they wait to be used again, or are removed.
    /// Where the names lead
    /// elsewhere they stay, because another log may have files of these names by now; the next open finds what was left.
    pub(crate) fn retire(&self, segments: &[SegmentNumber]) {
        if segments.is_empty() || self.check_names().is_err() {
            return;
        }
        for &segment in segments {
            let name = self.wanted.lock_whole().name_to_retire(self.supply);
            match name.and_then(|name| PoolFile::retire(self.directory.as_ref(), segment, name)) {
                Some(waiting) => self.put_back(waiting),
                None => remove_obsolete(self.directory.as_ref(), &[segment]),
            }
        }
    }

    /// Removes the files of segments that neither the log nor a reader needs, where [`Stores::retire`] would take them.
    pub(crate) fn remove(&self, segments: &[SegmentNumber]) {
        if !segments.is_empty() && self.check_names().is_ok() {
            remove_obsolete(self.directory.as_ref(), segments);
        }
    }

    /// The file that has the name of the ordered segment already, if there is one that serves.
    pub(super) fn reclaim(&self, order: Order) -> Option<PoolFile> {
        if !self.supply.recycle {
            return None;
        }
        let name = self.wanted.lock_whole().pool.name();
        PoolFile::reclaim(self.directory.as_ref(), order, name, self.supply.rules)
    }

    fn put_back(&self, waiting: PoolFile) {
        let surplus = self.wanted.lock_whole().pool.put(waiting);
        surplus.into_iter().for_each(|waiting| self.discard(waiting));
    }

    fn discard(&self, waiting: PoolFile) {
        if self.exchanged().is_some() {
            return;
        }
        // What cannot be removed is found by the next open.
        waiting.discard(self.directory.as_ref()).ok();
    }

    /// One step towards a pool that is full. One that fails ends them until the next order: nobody waits
    /// for this.
    pub(super) fn fill(&self, task: PoolTask) {
        let directory = self.directory.as_ref();
        let done = match task {
            PoolTask::Make(name, bytes) => {
                self.guarded(Operation::Create, || PoolFile::reserve(directory, name, bytes))
            }
            PoolTask::Zero(mut waiting) => {
                match self.guarded(Operation::Write, || waiting.zero_some(directory)) {
                    Ok(()) => Ok(waiting),
                    Err(error) => {
                        self.discard(waiting);
                        Err(error)
                    }
                }
            }
        };
        match done {
            Ok(waiting) => self.put_back(waiting),
            Err(_) => self.wanted.lock_whole().refill = None,
        }
    }
}

impl Wanted {
    pub(super) fn pool_task(&mut self, supply: Supply) -> Option<PoolTask> {
        let order = self.refill?;
        if self.pool.is_low() {
            return Some(PoolTask::Make(self.pool.name(), order.file_bytes()));
        }
        let zeroes = supply.zero_ahead && order.wants_zeros();
        let unwritten = if zeroes { self.pool.take_unwritten() } else { None };
        if unwritten.is_none() {
            self.refill = None;
        }
        unwritten.map(PoolTask::Zero)
    }

    /// A name for a file that is used again, if it is to be.
    fn name_to_retire(&mut self, supply: Supply) -> Option<PoolName> {
        let wants = supply.recycle && !self.over && self.pool.has_room();
        wants.then(|| self.pool.name())
    }
}
