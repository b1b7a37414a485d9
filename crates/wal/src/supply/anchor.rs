//! Writes the anchor: at once, soon, or when the thread has been idle for a while.

use std::sync::Arc;
use std::time::Duration;

use wal_format::Anchor;
use wal_segment::{AnchorFile, Error as SegmentError, Operation};
use wal_sync::primitives::Mutex;

use super::names::NameWatch;
use super::{Kind, guarded};
use crate::report::event::note;

/// After this time without other work the thread writes the anchor, so that an idle log does not leave its last frames in doubt.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// The anchor file, and what is still to be written to it.
#[derive(Debug)]
pub(crate) struct AnchorWriter {
    kind: Arc<Kind>,
    names: Arc<NameWatch>,
    file: Mutex<AnchorFile>,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    /// To be written at once.
    soon: Option<Anchor>,
    /// To be written once the thread is idle.
    idle: Option<Anchor>,
    /// The thread sleeps without a limit: it wakes up by the bell alone.
    asleep: bool,
    /// Why the last attempt has failed, if it has.
    failure: Option<SegmentError>,
}

impl AnchorWriter {
    pub(super) fn new(kind: Arc<Kind>, names: Arc<NameWatch>, file: AnchorFile) -> AnchorWriter {
        AnchorWriter { kind, names, file: Mutex::new(file), wanted: Mutex::new(Wanted::default()) }
    }

    /// Writes the anchor now, durably.
    pub(super) fn write(&self, anchor: Anchor) -> Result<(), SegmentError> {
        let written = self.names.check().and_then(|()| self.file.lock_whole().write(anchor));
        self.wanted.lock_whole().failure = written.as_ref().err().cloned();
        note!(when Err(error) = &written => &self.kind.listener, AnchorFailed { error: error.clone().into() });
        written
    }

    /// Writes the anchor for a caller that does not wait. If that fails it is written once the thread is idle, unless a newer one
    /// comes first.
    pub(super) fn write_behind(&self, anchor: Anchor) {
        let written = guarded(self.kind.directory.as_ref(), Operation::Write, || self.write(anchor));
        if let Err(error) = written {
            let mut wanted = self.wanted.lock_whole();
            wanted.failure = Some(error);
            wanted.idle.get_or_insert(anchor);
        }
    }

    /// Makes the file anew if its name may not be durable, before a first segment stands on it.
    pub(super) fn prove(&self) -> Result<(), SegmentError> {
        let mut file = self.file.lock_whole();
        if file.is_proven() {
            return Ok(());
        }
        self.names.set_anchor(None);
        file.prove(self.kind.directory.as_ref())?;
        self.names.set_anchor(Some(file.held()?));
        Ok(())
    }

    /// The thread is to write it at once.
    pub(super) fn want_soon(&self, anchor: Anchor) {
        self.wanted.lock_whole().soon = Some(anchor);
    }

    pub(super) fn take_soon(&self) -> Option<Anchor> {
        self.wanted.lock_whole().soon.take()
    }

    /// The thread is to write it once it is idle. Returns whether it has to be woken for that.
    pub(super) fn want_when_idle(&self, anchor: Anchor) -> bool {
        let mut wanted = self.wanted.lock_whole();
        wanted.idle = Some(anchor);
        std::mem::take(&mut wanted.asleep)
    }

    /// The thread is about to sleep. Returns whether an anchor waits for it to be idle.
    pub(super) fn sleep(&self) -> bool {
        let mut wanted = self.wanted.lock_whole();
        wanted.asleep = wanted.idle.is_none();
        !wanted.asleep
    }

    pub(super) fn take_idle(&self) -> Option<Anchor> {
        self.wanted.lock_whole().idle.take()
    }

    /// Why the last attempt has failed, if it has.
    pub(super) fn failure(&self) -> Option<SegmentError> {
        self.wanted.lock_whole().failure.clone()
    }
}
