//! Files of dropped segments, used again for segments to come ([`recycle`](crate::Options::recycle)).
//!
//! ```text
//!  dropped by a truncation ─▶ ┌──────┐
//!  found by an open ────────▶ │ pool │ ─▶ the next segment
//!                             └──────┘ ─▶ removed at close, when space is short, when there is one already
//! ```
//!
//! Invariant: no two files get the same name, also while one of them is worked at outside of the pool. The pool is not locked
//! while a file is renamed or removed.

use std::sync::Arc;

use wal_format::{PoolName, SegmentNumber};
use wal_segment::{Order, PoolFile, Spare, remove_obsolete};
use wal_sync::primitives::Mutex;

use super::Kind;
use super::names::NameWatch;

/// The used file that waits, if one does: one is enough, because each rollover takes one and leaves one.
#[derive(Debug)]
pub(crate) struct UsedFiles {
    kind: Arc<Kind>,
    names: Arc<NameWatch>,
    pool: Mutex<Pool>,
}

#[derive(Debug)]
struct Pool {
    waiting: Option<PoolFile>,
    next_place: u16,
    /// The log is closing: nothing waits any more.
    over: bool,
}

impl UsedFiles {
    /// Takes over the file that an earlier process has left. Others are removed.
    pub(super) fn adopt(kind: Arc<Kind>, names: Arc<NameWatch>, found: &[PoolName]) -> UsedFiles {
        let next_place = found.iter().map(|name| name.place() + 1).max().unwrap_or(0);
        let pool = Mutex::new(Pool { waiting: None, next_place, over: false });
        let files = UsedFiles { kind, names, pool };
        for &name in found {
            if let Some(file) = PoolFile::adopt(files.kind.directory.as_ref(), name) {
                files.put(file);
            }
        }
        files
    }

    /// Takes the files of segments that neither the log nor a reader needs: one waits to be used again, the others are removed.
    /// Where the names lead elsewhere all stay, because another log may have files of these names by now; the next open finds
    /// what was left.
    pub(crate) fn retire(&self, segments: &[SegmentNumber]) {
        if segments.is_empty() || self.names.check().is_err() {
            return;
        }
        for &segment in segments {
            let name = self.name_for_one_more();
            match name.and_then(|name| PoolFile::retire(self.kind.directory.as_ref(), segment, name)) {
                Some(file) => self.put(file),
                None => remove_obsolete(self.kind.directory.as_ref(), &[segment]),
            }
        }
    }

    /// Removes the files of segments that neither the log nor a reader needs.
    pub(crate) fn remove(&self, segments: &[SegmentNumber]) {
        if !segments.is_empty() && self.names.check().is_ok() {
            remove_obsolete(self.kind.directory.as_ref(), segments);
        }
    }

    /// A segment made of a used file, if there is one that serves. One that does not is removed, and its space is free.
    pub(super) fn prepare(&self, order: Order) -> Option<Spare> {
        let directory = self.kind.directory.as_ref();
        let mut next = self.reclaim(order).or_else(|| self.take());
        while let Some(file) = next {
            if let Ok(spare) = file.prepare(directory, order, self.kind.rules) {
                return Some(spare);
            }
            next = self.take();
        }
        None
    }

    /// Gives back the space of the file that waits.
    pub(crate) fn give_up(&self) {
        self.take().into_iter().for_each(|file| self.discard(file));
    }

    /// From now on no file waits.
    pub(super) fn stop(&self) {
        self.pool.lock_whole().over = true;
    }

    /// How long the file is that waits.
    pub(super) fn waiting_bytes(&self) -> Option<u64> {
        self.pool.lock_whole().waiting.as_ref().map(PoolFile::file_bytes)
    }

    /// The file that has the name of the ordered segment already: prepared before, and never linked.
    fn reclaim(&self, order: Order) -> Option<PoolFile> {
        if !self.kind.recycle {
            return None;
        }
        let name = self.pool.lock_whole().name();
        PoolFile::reclaim(self.kind.directory.as_ref(), order, name, self.kind.rules)
    }

    fn take(&self) -> Option<PoolFile> {
        self.pool.lock_whole().waiting.take()
    }

    fn put(&self, file: PoolFile) {
        let surplus = {
            let mut pool = self.pool.lock_whole();
            if self.kind.recycle && pool.waiting.is_none() {
                pool.waiting = Some(file);
                None
            } else {
                Some(file)
            }
        };
        surplus.into_iter().for_each(|file| self.discard(file));
    }

    fn discard(&self, file: PoolFile) {
        if self.names.exchanged().is_none() {
            // What cannot be removed is found by the next open.
            file.discard(self.kind.directory.as_ref()).ok();
        }
    }

    fn name_for_one_more(&self) -> Option<PoolName> {
        let mut pool = self.pool.lock_whole();
        let wants = self.kind.recycle && !pool.over && pool.waiting.is_none();
        wants.then(|| pool.name())
    }
}

impl Pool {
    /// A name that no file of this pool has. After a thousand names it may be that of a file that could not be removed: the
    /// rename to it fails then, and the next file gets another.
    fn name(&mut self) -> PoolName {
        let name = PoolName::of(self.next_place);
        self.next_place = name.place() + 1;
        name
    }
}
