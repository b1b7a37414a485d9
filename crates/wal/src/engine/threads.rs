//! The background threads of one log: named, and joined when it ends.
//!
//! | thread | exists, unless the log does without threads | does |
//! |---|---|---|
//! | `wal-files` | while the log is open | prepares and zeroes segments, writes the anchor |
//! | `wal-sync` | while the log is open | the flusher: writes and fsyncs for callers that do not wait |
//! | `wal-retention` | when retention, `roll_after` or `WhenFull::Wait` is set | ends old segments, drops what retention lets go |
//! | `wal-events` | when there is a callback, or with the feature `tracing` | calls it, and subscribers |

use wal_sync::primitives::{Mutex, ThreadHandle, is_current, spawn};

use crate::error::{Error, ErrorKind};

/// The threads that run.
#[derive(Debug)]
pub(crate) struct Threads {
    threads: Mutex<Vec<ThreadHandle>>,
}

impl Threads {
    /// None yet.
    pub(crate) fn new() -> Threads {
        Threads { threads: Mutex::new(Vec::new()) }
    }

    /// Starts a thread.
    pub(crate) fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let started = spawn(name, run);
        let thread = started.map_err(|error| {
            Error::new(ErrorKind::Io, format!("the thread {name} cannot be started: {error}"))
        })?;
        self.threads.lock_whole().push(thread);
        Ok(())
    }

    /// Waits until all have ended, but for the one that calls this.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock_whole());
        for thread in threads {
            if !is_current(&thread) {
                // A panic on one of them was caught, or has failed the log: it was reported already.
                thread.join().ok();
            }
        }
    }
}
