//! Obsolete segments pending deletion: a reader of this process may still open their files. The owner of the writer
//! deletes or recycles them.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Weak};

use wal_format::SegmentNumber;

use super::Writer;
use super::segments::Dropped;
use crate::segment::snapshot::Lease;

/// Obsolete segments. A reader of this process with an older snapshot may still open their files.
#[derive(Debug, Default)]
pub(super) struct Obsolete {
    /// For the snapshots from now on.
    pub(super) lease: Arc<Lease>,
    /// Oldest first. While a reader holds the lease of an entry, it may also need the later ones.
    pending_deletion: VecDeque<(Weak<Lease>, Vec<SegmentNumber>, u64)>,
}

/// Obsolete files that are not removed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingDeletion {
    /// How many files.
    pub files: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
}

impl Obsolete {
    pub(super) fn add(&mut self, dropped: Dropped) {
        let Dropped { segments, bytes } = dropped;
        if !segments.is_empty() {
            let before = mem::take(&mut self.lease);
            self.pending_deletion.push_back((Arc::downgrade(&before), segments, bytes));
        }
    }
}

impl Writer {
    /// The segments pending deletion: no new snapshot has them, and they are still to be
    /// [taken](Writer::take_obsolete).
    #[must_use]
    pub fn pending_deletion(&self) -> PendingDeletion {
        self.obsolete.pending_deletion.iter().fold(PendingDeletion::default(), |sum, (_, segments, bytes)| {
            PendingDeletion { files: sum.files + segments.len() as u64, bytes: sum.bytes + bytes }
        })
    }

    /// The obsolete segments that no reader of this process needs any more, to be
    /// [removed](crate::remove_obsolete). Later calls return the others.
    pub fn take_obsolete(&mut self) -> Vec<SegmentNumber> {
        let pending = &mut self.obsolete.pending_deletion;
        let held = pending.iter().position(|(lease, ..)| lease.strong_count() > 0);
        let free = pending.drain(..held.unwrap_or(pending.len()));
        free.flat_map(|(_, segments, _)| segments).collect()
    }
}
