//! What the file system has left, as it was asked last: a question that may hang with the disk, so the background asks
//! it, and a probe reads the answer.

use wal_segment::io::Directory;
use wal_sync::primitives::{Instant, Ordering, now};

use super::Stores;
use crate::error::{Error, ErrorKind};
use crate::report::probe::SyncMark;

/// An answer of the file system, and when it was asked.
#[derive(Clone, Debug)]
pub(crate) struct KnownSpace {
    pub(crate) free_bytes: Option<u64>,
    pub(crate) failure: Option<Error>,
    pub(crate) asked: Instant,
}

impl KnownSpace {
    /// Asks now. Takes as long as the file system does.
    pub(super) fn ask(directory: &dyn Directory) -> KnownSpace {
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
}

impl Stores {
    /// What is known of the space. It is asked for again before long. Waits for no file system.
    pub(crate) fn known_space(&self) -> KnownSpace {
        self.wants_space.store(true, Ordering::Relaxed);
        self.ring();
        self.space.lock_whole().clone()
    }

    /// Asks for the space if a probe wants to know it and no thread is there to ask.
    pub(crate) fn ask_space_if_wanted(&self) {
        if self.bell.is_none() && self.takes_question() {
            self.ask_space();
        }
    }

    /// The question that is in hand.
    pub(crate) fn space_mark(&self) -> &SyncMark {
        &self.space_mark
    }

    /// Whether a probe wants to know; it is answered from here on.
    pub(super) fn takes_question(&self) -> bool {
        self.wants_space.load(Ordering::Relaxed) && self.wants_space.swap(false, Ordering::Relaxed)
    }

    pub(super) fn ask_space(&self) {
        self.space_mark.set(now());
        let known = KnownSpace::ask(self.directory.as_ref());
        self.space_mark.clear();
        *self.space.lock_whole() = known;
    }
}
