//! [`Wal`], the open log, and its methods. The state that handles share is in `engine/`, the group commit that they wait
//! for in `wal-sync`.

mod append;
mod close;
pub(crate) mod commit;
mod copy;
pub(crate) mod follow;
pub(crate) mod hold;
mod open;
mod read;
mod truncate;

use std::fmt;
use std::sync::Arc;

use wal_format::{ChecksumKind, LogId};
use wal_segment::io::Directory;
use wal_segment::{Recovery, SegmentSource, Snapshot};
use wal_sync::Mark;

use crate::engine::Engine;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::log::commit::Reached;
use crate::options::Options;
use crate::report::health::Health;
#[cfg(feature = "prometheus")]
use crate::report::prometheus::Metrics;
use crate::report::stats::Stats;

/// A handle of an open write-ahead log, cheap to clone and to send. All handles are equal, and any number of threads
/// may use them without a lock around them.
///
/// The log stays open and locked until [`Wal::close`] on any handle, or until the last handle is dropped. Dropping the
/// last handle without a close is like a kill of the process: submitted entries are handed to the operating system,
/// nothing is synced, no durability guarantee is broken, and the next open has to look for the end of the log. The drop
/// waits for a write or sync that is in flight.
#[derive(Clone)]
pub struct Wal {
    handle: Arc<Handle>,
}

/// Ends the log when the last handle is dropped.
struct Handle {
    engine: Arc<Engine>,
    checksum: ChecksumKind,
    max_entry_bytes: u64,
    max_batch_bytes: u64,
    /// The largest batch, with its table rows, that fits under `max_log_bytes`, if that is set.
    most_batch_bytes: Option<u64>,
}

impl Wal {
    pub(crate) fn open(
        options: &Options,
        directory: Arc<dyn Directory>,
        at_least: u64,
    ) -> Result<Wal, Error> {
        let (engine, checksum) = Engine::open(options, directory, at_least)?;
        let handle = Handle {
            engine,
            checksum,
            max_entry_bytes: options.max_entry_bytes,
            max_batch_bytes: options.batch_bytes(),
            most_batch_bytes: options.most_batch_bytes(),
        };
        Ok(Wal { handle: Arc::new(handle) })
    }

    /// Writes and fsyncs everything that was appended or submitted before, whatever the sync policy.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`] when a sync failed, now or earlier; it is never tried again.
    /// [`ErrorKind::Closed`]. [`ErrorKind::Truncated`] when some of the entries were dropped meanwhile. The
    /// error of the write, when entries not yet written cannot be written. [`ErrorKind::Forked`].
    pub fn sync(&self) -> Result<(), Error> {
        self.engine().fork_guard().check()?;
        let synced = self.engine().commits.sync();
        self.engine().run_due_work();
        synced.map_err(Error::from)
    }

    /// Writes everything that was appended or submitted before to the operating system, without an fsync.
    ///
    /// # Errors
    /// As [`Wal::sync`].
    pub fn flush(&self) -> Result<(), Error> {
        self.engine().fork_guard().check()?;
        let flushed = self.engine().commits.flush();
        self.engine().run_due_work();
        flushed.map_err(Error::from)
    }

    /// Seals the active segment, as a rollover does, so that the next append begins a new one: to copy, archive or drop
    /// whole files. Everything that was appended or submitted before is durable when this returns. Does nothing when the
    /// last segment is empty or already sealed.
    ///
    /// Costs a sync. The next append creates its segment itself if none is prepared yet. Space preallocated in the
    /// sealed file is given back.
    ///
    /// # Errors
    /// The error that kept the segment from being sealed, as on a full disk: the log stays whole. When the SEAL could not
    /// be written, the log goes on in another segment, after a cut; when the anchor could not, in the same one.
    /// [`Poisoned`](crate::ErrorKind::Poisoned) when the sync failed; [`Closed`](crate::ErrorKind::Closed),
    /// [`Forked`](crate::ErrorKind::Forked).
    pub fn roll(&self) -> Result<(), Error> {
        let rolled = self.engine().roll();
        self.engine().run_due_work();
        rolled
    }

    /// The end of the written log: the sequence number of the next entry that the operating system does not have yet.
    #[must_use]
    pub fn written_end(&self) -> u64 {
        self.engine().commits.written()
    }

    /// The end of the durable log: the sequence number of the next entry that is not durable yet. Every entry before it
    /// survives a power loss.
    #[must_use]
    pub fn durable_end(&self) -> u64 {
        self.engine().commits.durable()
    }

    /// Waits until this entry, which need not exist yet, is written to the operating system.
    pub fn until_written(&self, sequence: u64) -> Reached {
        Reached::new(Arc::clone(self.engine()), Mark::Written, sequence)
    }

    /// Waits until this entry, which need not exist yet, is durable.
    pub fn until_durable(&self, sequence: u64) -> Reached {
        Reached::new(Arc::clone(self.engine()), Mark::Durable, sequence)
    }

    /// The start of the log: the sequence number of the oldest entry that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.engine().commits.target().first()
    }

    /// The sequence number of the last written entry; `None` in an empty log.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.written_end() - 1)
    }

    /// Whether the log has no written entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written_end() == self.first()
    }

    /// The identity of the log: drawn at random when it was created, and the same in its copies. An application that
    /// stores it beside its own state notices a directory with another log.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.recovery().log.expect("an open for writing has an anchor")
    }

    /// The report of the crash recovery that the open performed.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.engine().recovery
    }

    /// The options in force, for display, with every default filled in; limits that are not set, `first_sequence`
    /// and `buffered_bytes` stay absent. They have no callbacks.
    #[cfg(feature = "config")]
    pub fn options(&self) -> &Options {
        self.engine().options()
    }

    /// Counters since the open, and the current state of the log. Costs microseconds and allocates.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Whether the log can do its work, for a health probe. Costs a few microseconds, makes no file system call, and waits
    /// for no write or sync, so it returns while one of them hangs. Any thread may call it, also after a close.
    ///
    /// A hanging write shows only in the second of two calls far enough apart: probe about once a second.
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine().health()
    }

    /// [`Wal::stats`] as a collector for a Prometheus registry. It keeps neither the log open nor its lock; after a close
    /// it shows the last values.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let engine = Arc::clone(self.engine());
        Metrics::new(self.engine().cache.directory().path(), Arc::new(move || engine.stats()))
    }

    /// Closes the log cleanly: makes everything durable, marks the end so that the next open is quick, and gives up the
    /// lock. A log to which nothing was appended since its open is left unchanged. The last segment keeps its length.
    ///
    /// This closes the log for all handles: appends that have begun finish first, later calls fail with
    /// [`ErrorKind::Closed`], and so does a second close. Readers keep what they have.
    ///
    /// # Errors
    /// The log is closed also after an error. [`ErrorKind::Poisoned`] means that entries which were not durable may be
    /// lost; after any other error everything that was written is durable, and the next open takes longer. The error may be
    /// that of the last write: its entries, of a buffered log or waiting for space, are lost. [`ErrorKind::Forked`]: nothing
    /// was closed.
    pub fn close(self) -> Result<(), Error> {
        self.engine().close()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        self.engine().commits.check()?;
        Ok(self.engine().commits.target().snapshot())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.engine.end();
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("directory", &self.engine().cache.directory().path())
            .field("first", &self.first())
            .field("written", &self.written_end())
            .field("durable", &self.durable_end())
            .finish_non_exhaustive()
    }
}
