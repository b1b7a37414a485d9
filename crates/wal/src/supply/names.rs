//! Watches whether the names of the files still lead to the files that the log has open.

use std::sync::Arc;

use wal_segment::{Error as SegmentError, WatchedFile, WatchedNames};
use wal_sync::primitives::{AtomicBool, Mutex, Ordering};

use super::Kind;
use crate::report::event::note;

/// The names that an open log stands on, and what the last look at them has found.
#[derive(Debug)]
pub(crate) struct NameWatch {
    kind: Arc<Kind>,
    names: Mutex<WatchedNames>,
    /// The path of the directory leads elsewhere.
    displaced: AtomicBool,
    /// A file was removed or replaced under the log: nothing more may be accepted. The flag is read without the lock.
    has_exchanged: AtomicBool,
    exchanged: Mutex<Option<SegmentError>>,
}

impl NameWatch {
    pub(super) fn new(kind: Arc<Kind>, names: WatchedNames) -> NameWatch {
        NameWatch {
            kind,
            names: Mutex::new(names),
            displaced: AtomicBool::new(false),
            has_exchanged: AtomicBool::new(false),
            exchanged: Mutex::new(None),
        }
    }

    /// Looks where the names lead. Asks the system once for each name.
    pub(crate) fn check(&self) -> Result<(), SegmentError> {
        if let Some(exchanged) = self.exchanged() {
            return Err(exchanged);
        }
        let checked = loop {
            // No lock is held while the system is asked: an append goes on in the next segment meanwhile.
            let names = self.names.lock_whole().clone();
            let checked = names.check(self.kind.directory.as_ref());
            if checked.is_ok() || self.names.lock_whole().is_current(&names) {
                break checked;
            }
        };
        match checked {
            Ok(at_path) => {
                if !self.displaced.swap(!at_path, Ordering::Relaxed) && !at_path {
                    note!(&self.kind.listener, Displaced {});
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, SegmentError::Exchanged { .. }) {
                    *self.exchanged.lock_whole() = Some(error.clone());
                    self.has_exchanged.store(true, Ordering::Release);
                }
                Err(error)
            }
        }
    }

    /// The log goes on in this segment.
    pub(super) fn enter(&self, segment: WatchedFile) {
        self.names.lock_whole().enter(segment);
    }

    /// The anchor was made anew; or it is about to be, and its name may lead anywhere.
    pub(super) fn set_anchor(&self, anchor: Option<WatchedFile>) {
        self.names.lock_whole().set_anchor(anchor);
    }

    /// Whether the path of the directory led elsewhere at the last look.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Why nothing more may be accepted: a file was exchanged under the log. Costs a load where none was.
    pub(crate) fn exchanged(&self) -> Option<SegmentError> {
        if self.has_exchanged.load(Ordering::Acquire) { self.exchanged.lock_whole().clone() } else { None }
    }
}
