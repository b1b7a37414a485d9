//! Files that are no part of the log any more, and that a reader of this process may still open: they linger until it is gone.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use wal_format::SegmentNumber;

use super::Writer;
use super::segments::Dropped;
use crate::segment::snapshot::Lease;

/// Segments that are no part of the log any more. A reader of this process that came before may still open
/// their files.
#[derive(Debug, Default)]
pub(super) struct Obsolete {
    /// Of the snapshots that are taken now.
    lease: Option<Arc<Lease>>,
    /// By age. What readers of the first may need, nobody of the others does without.
    pending_deletion: VecDeque<(Weak<Lease>, Vec<SegmentNumber>, u64)>,
}

/// Files that are no part of the log any more, and not removed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingDeletion {
    /// How many there are.
    pub files: u64,
    /// How long they are together.
    pub bytes: u64,
}

impl Obsolete {
    /// A new one, whose lease the snapshots hold.
    pub(super) fn new() -> Obsolete {
        Obsolete { lease: Some(Arc::new(Lease)), pending_deletion: VecDeque::new() }
    }

    pub(super) fn lease(&self) -> Option<Arc<Lease>> {
        self.lease.clone()
    }

    /// Snapshots to come do not have these, whose files are so long together.
    pub(super) fn add(&mut self, dropped: Dropped) {
        let Dropped { segments, bytes } = dropped;
        if segments.is_empty() {
            return;
        }
        let before = self.lease.replace(Arc::new(Lease));
        self.pending_deletion.push_back((
            before.as_ref().map(Arc::downgrade).unwrap_or_default(),
            segments,
            bytes,
        ));
    }

    fn pending_deletion(&self) -> PendingDeletion {
        self.pending_deletion.iter().fold(PendingDeletion::default(), |sum, (_, segments, bytes)| {
            PendingDeletion { files: sum.files + segments.len() as u64, bytes: sum.bytes + bytes }
        })
    }

    /// Those that no reader of this process can come to any more.
    fn take_free(&mut self) -> Vec<SegmentNumber> {
        let mut free = Vec::new();
        while self.pending_deletion.front().is_some_and(|(lease, ..)| lease.strong_count() == 0) {
            free.extend(self.pending_deletion.pop_front().into_iter().flat_map(|(_, segments, _)| segments));
        }
        free
    }
}

impl Writer {
    /// Segments that linger: no snapshot to come has them, and they are still to be [taken](Writer::take_obsolete).
    #[must_use]
    pub fn pending_deletion(&self) -> PendingDeletion {
        self.obsolete.pending_deletion()
    }

    /// Segments that no reader of this process needs any more. They are to be
    /// [removed](crate::remove_obsolete); those that are still needed are given out later.
    pub fn take_obsolete(&mut self) -> Vec<SegmentNumber> {
        self.obsolete.take_free()
    }
}
