//! The log: append, submit, sync, read, close.
//!
//! ```text
//!  append(payload)
//!    digest                      outside any lock
//!    join the open frame         under the lock of the group commit: number, copy
//!    lead, or wait               one write and one sync for all who joined
//! ```
//!
//! A handle is cheap to clone; what they share is in `engine/`, what they wait for in `wal-sync`.

mod append;
mod close;
pub(crate) mod commit;
mod copy;
pub(crate) mod follow;
pub(crate) mod hold;
mod open;
mod truncate;
#[cfg(feature = "serde")]
pub(crate) mod typed;

use std::fmt;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use wal_format::{ChecksumKind, LogId, MAX_FRAME_ENTRIES, TableEntry};
use wal_segment::io::Directory;
use wal_segment::{FrameBuffer, Recovery, Shelf, Snapshot};
use wal_sync::primitives::now;
use wal_sync::{Batch, Durability, Mark, Patience};

use crate::engine::Core;
use crate::error::{Error, ErrorKind};
use crate::log::commit::{Commit, Reached};
use crate::options::Options;
use crate::read::entries::Entries;
use crate::read::entry::Entry;
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

    /// Appends an entry and returns its number, when the policy's promise holds for it.
    ///
    /// # Errors
    /// - [`ErrorKind::TooLarge`]: nothing was written.
    /// - [`ErrorKind::NoSpace`], [`ErrorKind::Io`]: the entry is not part of the log, its number is used
    ///   again, and the log takes further appends. If the log is closed, or the process dies, before it
    ///   takes one, the entry may be found by the next open all the same. (In a
    ///   [buffered](Options::buffered) log it is what had gathered before that cannot be written; that
    ///   stays, and the next call tries again.)
    /// - [`ErrorKind::Poisoned`]: a sync failed. The entry may or may not be found after the next open.
    /// - [`ErrorKind::Truncated`]: [`Wal::truncate_after`] dropped the entry before it was durable.
    /// - [`ErrorKind::Closed`], [`ErrorKind::Forked`]: nothing was written.
    pub fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        self.append_with(payload, self.core().commits.promise())
    }

    /// Appends an entry and returns its number, when this is true of it, whatever the policy.
    ///
    /// In a [buffered](Options::buffered) log an error says that this is not true yet: the entry may
    /// have gathered, and become part of the log later.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub fn append_with(&self, payload: &[u8], durability: Durability) -> Result<u64, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuffer| frame.push(payload, digest);
        self.append_frame(None, batch, self.at_least(durability), fill)
    }

    /// Appends entries of which a crash leaves all or none, and returns their numbers, when the policy's
    /// promise holds for them. An empty batch writes nothing.
    ///
    /// # Errors
    /// As [`Wal::append`], for all of them together.
    pub fn append_batch<P: AsRef<[u8]>>(&self, payloads: impl AsRef<[P]>) -> Result<Range<u64>, Error> {
        let asked = self.core().commits.promise();
        self.with_batch(payloads.as_ref(), |batch, fill| {
            let first = self.append_frame(None, batch, asked, fill)?;
            Ok(first..first + batch.entries)
        })
        .unwrap_or_else(|| self.nothing())
    }

    /// Appends an entry and returns when it is numbered. What the policy promises is true once the [`Commit`] says so.
    ///
    /// A call may write to the disk: at most one frame, and it may begin one segment for that, with the syncs that this
    /// takes. It waits while as much is in flight as
    /// [`max_in_flight_bytes`](Options::max_in_flight_bytes) allows.
    ///
    /// # Errors
    /// As [`Wal::append`], for what is known at once.
    pub fn submit(&self, payload: &[u8]) -> Result<Commit, Error> {
        self.submit_with(payload, self.core().commits.promise())
    }

    /// As [`Wal::submit`], with a promise of its own.
    ///
    /// # Errors
    /// As [`Wal::submit`].
    pub fn submit_with(&self, payload: &[u8], durability: Durability) -> Result<Commit, Error> {
        self.submit_one(payload, durability, Patience::Endless)
    }

    /// As [`Wal::submit`], and never waits for room; as there, a call may write one frame and begin one segment, so it is not
    /// for a thread that must never wait for the disk. Without [`Options::background`] threads another call has to make
    /// room: one that waits, for room or for a commit, or [`Wal::sync`].
    ///
    /// # Errors
    /// As [`Wal::submit`]; [`ErrorKind::Full`] when too much is in flight, or while the log is being truncated,
    /// and then nothing was appended.
    pub fn try_submit(&self, payload: &[u8]) -> Result<Commit, Error> {
        self.submit_one(payload, self.core().commits.promise(), Patience::None)
    }

    /// As [`Wal::submit`], and waits for room for at most `limit`; else as [`Wal::try_submit`].
    ///
    /// # Errors
    /// As [`Wal::try_submit`].
    pub fn submit_timeout(&self, payload: &[u8], limit: Duration) -> Result<Commit, Error> {
        let patience = now().checked_add(limit).map_or(Patience::Endless, Patience::Until);
        self.submit_one(payload, self.core().commits.promise(), patience)
    }

    /// As [`Wal::submit`], for entries of which a crash leaves all or none.
    ///
    /// # Errors
    /// As [`Wal::submit`]; [`ErrorKind::InvalidOptions`] for an empty batch.
    pub fn submit_batch<P: AsRef<[u8]>>(&self, payloads: impl AsRef<[P]>) -> Result<Commit, Error> {
        let asked = self.core().commits.promise();
        self.with_batch(payloads.as_ref(), |batch, fill| {
            self.submit_frame(None, batch, asked, Patience::Endless, fill)
        })
        .unwrap_or_else(|| Err(Error::new(ErrorKind::InvalidOptions, "a batch to submit has no entry")))
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

    /// Which log this is: drawn at random when it was made, and kept by copies of it. An application that stores it beside its
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

    /// The entry with this number, if it is written, found without reading what lies in front of it. In a
    /// closed segment that is mapped nothing is copied and nothing allocated.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when the log does not hold it, or only in memory yet;
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::Missing`] when it is damaged; [`ErrorKind::Poisoned`],
    /// [`ErrorKind::Closed`].
    pub fn read(&self, sequence: u64) -> Result<Entry, Error> {
        self.core().library.read(&self.snapshot()?, sequence)
    }

    /// The entries from `first` on, as the log is now: those that are written.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `first` is in front of the first entry that is kept, or beyond the
    /// next one; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn read_from(&self, first: u64) -> Result<Entries, Error> {
        Entries::from(&self.core().library, self.snapshot()?, first)
    }

    /// The entries whose numbers lie in `range`, as far as there are any now; backwards with
    /// [`rev`](Iterator::rev).
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<Entries, Error> {
        Ok(Entries::range(&self.core().library, self.snapshot()?, range))
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

    #[cfg(feature = "serde")]
    pub(crate) fn max_entry_bytes(&self) -> u64 {
        self.handle.max_entry_bytes
    }

    #[cfg(feature = "serde")]
    pub(crate) fn max_batch_bytes(&self) -> u64 {
        self.handle.max_batch_bytes
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        self.core().commits.check()?;
        Ok(self.core().commits.target().snapshot())
    }

    fn submit_one(
        &self,
        payload: &[u8],
        durability: Durability,
        patience: Patience,
    ) -> Result<Commit, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuffer| frame.push(payload, digest);
        self.submit_frame(None, batch, self.at_least(durability), patience, fill)
    }

    pub(crate) fn append_frame(
        &self,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        fill: impl FnOnce(&mut FrameBuffer),
    ) -> Result<u64, Error> {
        let core = self.core();
        let appended = core.commits.append_at(expected, batch, asked, fill);
        core.call_back();
        appended.map_err(Error::from)
    }

    pub(crate) fn submit_frame(
        &self,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        patience: Patience,
        fill: impl FnOnce(&mut FrameBuffer),
    ) -> Result<Commit, Error> {
        let core = self.core();
        let submitted = core.commits.submit_at(expected, batch, asked, patience, fill);
        core.call_back();
        let driver = core.is_driven_by_waiters().then(|| Arc::clone(core));
        Ok(Commit::new(submitted?, batch.entries, driver, core.owner().clone()))
    }

    /// Without a buffer nothing is less than written.
    pub(crate) fn at_least(&self, durability: Durability) -> Durability {
        durability.max(self.core().commits.promise().min(Durability::Written))
    }

    /// What an empty batch appends.
    fn nothing(&self) -> Result<Range<u64>, Error> {
        self.core().commits.check()?;
        let next = self.core().commits.next();
        Ok(next..next)
    }

    pub(crate) fn measure(&self, payload: &[u8]) -> Result<(Batch, u64), Error> {
        self.check_entry(payload.len() as u64)?;
        let batch = Batch { entries: 1, bytes: (payload.len() + self.row_bytes()) as u64 };
        self.check_batch(batch)?;
        Ok((batch, self.handle.checksum.digest(payload)))
    }

    /// Checks and digests a batch, outside any lock, and goes on with it; `None` when it is empty.
    pub(crate) fn with_batch<P: AsRef<[u8]>, T>(
        &self,
        payloads: &[P],
        act: impl FnOnce(Batch, &mut dyn FnMut(&mut FrameBuffer)) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if payloads.is_empty() {
            return None;
        }
        if payloads.len() > SMALL_BATCH {
            let mut digested = vec![(&[][..], 0); payloads.len()];
            return Some(self.with_digested(payloads, &mut digested, act));
        }
        let mut digested = [(&[][..], 0); SMALL_BATCH];
        Some(self.with_digested(payloads, &mut digested[..payloads.len()], act))
    }

    fn with_digested<'a, P: AsRef<[u8]>, T>(
        &self,
        payloads: &'a [P],
        digested: &mut [(&'a [u8], u64)],
        act: impl FnOnce(Batch, &mut dyn FnMut(&mut FrameBuffer)) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Each payload is asked for its bytes once: they are counted, digested and written as one.
        let count = payloads.len() as u64;
        let mut payload_bytes = 0;
        for (place, payload) in digested.iter_mut().zip(payloads) {
            let payload = payload.as_ref();
            self.check_entry(payload.len() as u64)?;
            payload_bytes += payload.len() as u64;
            *place = (payload, 0);
        }
        if payload_bytes > self.handle.max_batch_bytes || count > MAX_BATCH_ENTRIES {
            let message = format!(
                "a batch of {count} entries and {payload_bytes} bytes is above max_batch_bytes ({}) or {MAX_BATCH_ENTRIES} entries",
                self.handle.max_batch_bytes
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        for (payload, digest) in digested.iter_mut() {
            *digest = self.handle.checksum.digest(payload);
        }
        let batch = Batch { entries: count, bytes: payload_bytes + count * self.row_bytes() as u64 };
        self.check_batch(batch)?;
        act(batch, &mut |frame| {
            for (payload, digest) in digested.iter() {
                frame.push(payload, *digest);
            }
        })
    }

    fn row_bytes(&self) -> usize {
        TableEntry::bytes(self.handle.checksum)
    }

    fn check_batch(&self, batch: Batch) -> Result<(), Error> {
        match self.handle.most_batch_bytes {
            Some(most) if batch.bytes > most => {
                let message = format!(
                    "{} bytes with their rows need a segment longer than half of max_log_bytes; at most {most} do not",
                    batch.bytes
                );
                Err(Error::new(ErrorKind::TooLarge, message))
            }
            _ => Ok(()),
        }
    }

    fn check_entry(&self, payload_bytes: u64) -> Result<(), Error> {
        if payload_bytes <= self.handle.max_entry_bytes {
            return Ok(());
        }
        let most = self.handle.max_entry_bytes;
        let message = format!("an entry of {payload_bytes} bytes is above max_entry_bytes ({most})");
        Err(Error::new(ErrorKind::TooLarge, message))
    }
}

/// A batch is one frame.
const MAX_BATCH_ENTRIES: u64 = MAX_FRAME_ENTRIES as u64;

/// Batches up to here need no allocation.
const SMALL_BATCH: usize = 64;

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
