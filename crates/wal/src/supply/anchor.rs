//! Writing the anchor: at once, soon, or when a period has passed without anything else to do.

use wal_format::Anchor;
use wal_segment::{Error as SegmentError, Operation, SpareSource};

use crate::report::event::note;
use crate::supply::Stores;

impl Stores {
    pub(super) fn write_anchor_soon(&self, anchor: Anchor) {
        if self.bell.is_none() {
            self.write_behind(anchor);
            return;
        }
        self.wanted.lock_whole().anchor = Some(anchor);
        self.ring();
    }

    pub(super) fn write_anchor_at_leisure(&self, anchor: Anchor) {
        let mut wanted = self.wanted.lock_whole();
        wanted.leisurely = Some(anchor);
        if std::mem::take(&mut wanted.asleep) {
            drop(wanted);
            self.ring();
        }
    }

    pub(super) fn prove_anchor(&self) -> Result<(), SegmentError> {
        let mut anchor = self.anchor.lock_whole();
        if anchor.is_proven() {
            return Ok(());
        }
        self.names.lock_whole().set_anchor(None);
        anchor.prove(self.directory.as_ref())?;
        let held = anchor.held()?;
        self.names.lock_whole().set_anchor(Some(held));
        Ok(())
    }

    /// An anchor that could not be written is written at leisure, unless a newer one comes first.
    pub(super) fn write_behind(&self, anchor: Anchor) {
        let written = self.guarded(Operation::Write, || self.write(anchor));
        if let Err(error) = written {
            let mut wanted = self.wanted.lock_whole();
            wanted.anchor_failure = Some(error);
            wanted.leisurely.get_or_insert(anchor);
        }
    }

    pub(super) fn write(&self, anchor: Anchor) -> Result<(), SegmentError> {
        let written = self.check_names().and_then(|()| self.anchor.lock_whole().write(anchor));
        self.wanted.lock_whole().anchor_failure = written.as_ref().err().cloned();
        note!(when Err(error) = &written => &self.listener, AnchorFailed { error: error.clone().into() });
        written
    }
}
