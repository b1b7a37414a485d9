//! What an application calls: a log that is open, and what is done with it. A handle is cheap to clone; what handles share is
//! in `engine/`, what they wait for in `wal-sync`.

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

use crate::engine::Core;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::log::commit::Reached;
use crate::options::Options;
use crate::report::health::Health;
#[cfg(feature = "prometheus")]
use crate::report::prometheus::Metrics;
use crate::report::stats::Stats;

/// An open log: a handle of it, cheap to clone and to send. All are equal, and may be used by any number
/// of threads without a lock around them.
///
/// The log is open until [`Wal::close`], whoever calls that, or until the last handle is dropped. Then the
/// lock is given up. Dropping the last one without a close is like a kill of the process: what was
/// submitted is handed to the operating system, nothing is synced, nothing is lost that was promised, and
/// the next open looks for the end of the log. It waits for a write or sync that is in flight.
#[derive(Clone)]
pub struct Wal {
    handle: Arc<Handle>,
}

/// Ends the log with the last handle.
struct Handle {
    core: Arc<Core>,
    checksum: ChecksumKind,
    max_entry_bytes: u64,
    max_batch_bytes: u64,
    /// The largest batch with its rows for which the cap has room, if there is a cap.
    most_batch_bytes: Option<u64>,
}

impl Wal {
    pub(crate) fn open(
        options: &Options,
        directory: Arc<dyn Directory>,
        at_least: u64,
    ) -> Result<Wal, Error> {
        let (core, checksum) = Core::open(options, directory, at_least)?;
        let handle = Handle {
            core,
            checksum,
            max_entry_bytes: options.max_entry_bytes,
            max_batch_bytes: options.batch_bytes(),
            most_batch_bytes: options.most_batch_bytes(),
        };
        Ok(Wal { handle: Arc::new(handle) })
    }

    /// Makes everything durable that was appended or submitted before, whatever the policy.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`] when a sync failed, now or earlier; there is no second try.
    /// [`ErrorKind::Closed`]. [`ErrorKind::Truncated`] when some of it was dropped meanwhile. What had gathered
    /// in a [buffered](Options::buffered) log and cannot be written is an error, too.
    pub fn sync(&self) -> Result<(), Error> {
        self.core().owner().check()?;
        let synced = self.core().commits.sync();
        self.core().call_back();
        synced.map_err(Error::from)
    }

    /// Hands everything to the operating system that was appended or submitted before.
    ///
    /// # Errors
    /// As [`Wal::sync`].
    pub fn flush(&self) -> Result<(), Error> {
        self.core().owner().check()?;
        let flushed = self.core().commits.flush();
        self.core().call_back();
        flushed.map_err(Error::from)
    }

    /// Ends the segment that is being written, as when it is full: the next append begins another. For whoever
    /// wants to copy, archive or drop what there is by whole files. Everything that was appended or submitted
    /// before is durable when this returns. When the last segment has no entry, or has ended already, nothing
    /// is done.
    ///
    /// Takes a sync; the append behind it prepares its segment itself if none is prepared yet. Space that
    /// was reserved in the file is given back.
    ///
    /// # Errors
    /// What kept the segment from being ended, as on a full disk: the log stays whole. When the SEAL could not be written
    /// it goes on in another segment, after a cut; when the anchor could not, in the same one. [`Poisoned`](crate::ErrorKind::Poisoned) when the sync failed;
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn roll(&self) -> Result<(), Error> {
        let rolled = self.core().roll();
        self.core().call_back();
        rolled
    }

    /// The number of the next entry that the operating system does not have yet.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.core().commits.written()
    }

    /// The number of the next entry that is not durable yet. Entries in front of it survive a power cut.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.core().commits.durable()
    }

    /// Waits until the operating system has this entry, which need not exist yet.
    pub fn until_written(&self, sequence: u64) -> Reached {
        Reached::new(Arc::clone(self.core()), Mark::Written, sequence)
    }

    /// Waits until this entry, which need not exist yet, is durable.
    pub fn until_durable(&self, sequence: u64) -> Reached {
        Reached::new(Arc::clone(self.core()), Mark::Durable, sequence)
    }

    /// The number of the first entry that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.core().commits.target().first()
    }

    /// The number of the last entry that is written; `None` in an empty log.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.written() - 1)
    }

    /// Whether there is no entry that is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written() == self.first()
    }

    /// Which log this is: drawn at random when it was made, and kept by copies of it. An application that supply it beside its
    /// own state notices a directory with another log.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.recovery().log.expect("an open for writing has an anchor")
    }

    /// What the open found.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.core().recovery
    }

    /// The options that are in force, to be shown: what was left to the log is filled in. `buffered_bytes` alone
    /// stays absent when nothing gathers. They have no callbacks.
    #[cfg(feature = "config")]
    pub fn options(&self) -> &Options {
        &self.core().options
    }

    /// What the log has done since it was opened, and how it stands. Costs microseconds and allocates.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Whether the log can do its work. For a probe: costs a few microseconds, makes no call to the file system, and waits
    /// for no write and no sync, so it also answers while one of them hangs; any thread may ask, and a log that was closed
    /// answers, too.
    ///
    /// A write that hangs shows when it was asked for twice, far enough apart: ask about once a second.
    #[must_use]
    pub fn health(&self) -> Health {
        self.core().health()
    }

    /// The same numbers as a collector for a Prometheus registry. It keeps neither the log open nor its
    /// lock; of a log that was closed it shows the last numbers.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let core = Arc::clone(self.core());
        Metrics::new(self.core().library.directory().path(), Arc::new(move || core.stats()))
    }

    /// Makes everything durable, marks the end so that the next open is quick, and gives up the lock. A log to which nothing
    /// was appended since its open stays as it is. The last segment keeps its length.
    ///
    /// This closes the log for all handles: appends that have begun are finished first, later calls get
    /// [`ErrorKind::Closed`], and so does a second close. Readers go on with what they have.
    ///
    /// # Errors
    /// What failed. [`ErrorKind::Poisoned`] means that entries which were not durable may be lost; any
    /// other error leaves everything durable and costs the next open some time. The log is closed all the
    /// same.
    pub fn close(self) -> Result<(), Error> {
        self.core().close()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        self.core().commits.check()?;
        Ok(self.core().commits.target().snapshot())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.end();
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("directory", &self.core().library.directory().path())
            .field("first", &self.first())
            .field("written", &self.written())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
