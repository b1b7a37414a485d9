//! What the file system has left. The question may hang with the disk, so the thread asks it, and a health check reads the
//! last answer.

use std::sync::Arc;

use wal_segment::io::Directory;
use wal_sync::primitives::{AtomicBool, Instant, Mutex, Ordering, now};

use crate::error::{Error, ErrorKind};
use crate::report::probe::SyncMark;

/// An answer of the file system, and when it was asked.
#[derive(Clone, Debug)]
pub(crate) struct KnownSpace {
    pub(crate) free_bytes: Option<u64>,
    pub(crate) failure: Option<Error>,
    pub(crate) asked: Instant,
}

/// The free space as it was asked for last.
#[derive(Debug)]
pub(crate) struct FreeSpace {
    directory: Arc<dyn Directory>,
    known: Mutex<KnownSpace>,
    /// A health check wants to know it anew.
    wanted: AtomicBool,
    mark: SyncMark,
}

impl FreeSpace {
    /// Asks once. Takes as long as the file system does.
    pub(super) fn new(directory: Arc<dyn Directory>) -> FreeSpace {
        FreeSpace {
            known: Mutex::new(ask(directory.as_ref())),
            wanted: AtomicBool::new(false),
            mark: SyncMark::new(),
            directory,
        }
    }

    /// What is known. It is to be asked for again before long. Waits for no file system.
    pub(super) fn known(&self) -> KnownSpace {
        self.wanted.store(true, Ordering::Relaxed);
        self.known.lock_whole().clone()
    }

    /// Asks if a health check wants to know. Returns whether it did.
    pub(super) fn ask_if_wanted(&self) -> bool {
        let asks = self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed);
        if asks {
            self.mark.set(now());
            let known = ask(self.directory.as_ref());
            self.mark.clear();
            *self.known.lock_whole() = known;
        }
        asks
    }

    /// The question that is in hand.
    pub(crate) fn mark(&self) -> &SyncMark {
        &self.mark
    }
}

fn ask(directory: &dyn Directory) -> KnownSpace {
    let asked = now();
    match directory.free_bytes() {
        Ok(free_bytes) => KnownSpace { free_bytes, failure: None, asked },
        Err(error) => {
            let path = directory.path().display();
            let message = format!("{path}: cannot ask for free space: {error}");
            KnownSpace { free_bytes: None, failure: Some(Error::new(ErrorKind::Io, message)), asked }
        }
    }
}
