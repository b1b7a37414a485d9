//! The log: append, sync, read, close.
//!
//! ```text
//!  append(payload)
//!    digest                      outside any lock
//!    ┌ writer ─────────────────┐
//!    │ number, frame, one write│  a rollover happens in here
//!    └─────────────────────────┘
//!    syncer.wrote(next)          by the policy: nothing, or a sync that covers the entry
//! ```
//!
//! Locks, in the order in which they are taken: the syncer's turn, then the writer. The writer's lock is
//! not held while a policy's sync runs; the sync between two segments happens under it.

use std::fmt;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use wal_format::{ChecksumKind, Sequence};
use wal_segment::io::Directory;
use wal_segment::{Error as SegmentError, Recovery, Shelf, Snapshot, Writer};
use wal_sync::primitives::{Guard, Mutex};
use wal_sync::{SyncTarget, Syncer};

use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::reader::{Entries, Library};

/// An open log. Holds its lock until it is closed or dropped.
///
/// Dropping it without [`Wal::close`] is like a kill: nothing is lost that was promised, nothing is
/// synced, and the next open looks for the end of the log.
pub struct Wal {
    /// `None` once closed.
    writer: Mutex<Option<Writer>>,
    syncer: Syncer<Error>,
    library: Arc<Library>,
    recovery: Recovery,
    checksum: ChecksumKind,
    max_entry_bytes: u64,
    max_batch_bytes: u64,
}

impl Wal {
    pub(crate) fn open(options: &Options, directory: Arc<dyn Directory>) -> Result<Wal, Error> {
        let (writer, recovery) = wal_segment::open(Arc::clone(&directory), options.wanted())?;
        Ok(Wal {
            syncer: Syncer::new(options.sync, writer.next().value()),
            checksum: writer.checksum(),
            writer: Mutex::new(Some(writer)),
            library: options.library(directory),
            recovery,
            max_entry_bytes: options.max_entry_bytes,
            max_batch_bytes: options.batch_bytes(),
        })
    }

    /// Appends an entry and returns its number, when the policy's promise holds for it.
    ///
    /// # Errors
    /// - [`ErrorKind::TooLarge`]: nothing was written.
    /// - [`ErrorKind::NoSpace`], [`ErrorKind::Io`]: the entry is not part of the log, its number is used
    ///   again, and the log takes further appends. If the log is closed, or the process dies, before it
    ///   takes one, the entry may be found by the next open all the same.
    /// - [`ErrorKind::Poisoned`]: a sync failed. The entry may or may not be found after the next open.
    pub fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        let payload_bytes = payload.len() as u64;
        self.check_entry(payload_bytes)?;
        let digest = self.checksum.digest(payload);
        let first =
            self.write(|writer| writer.append(std::iter::once((payload, digest)), 1, payload_bytes))?;
        self.syncer.wrote(first + 1, self)?;
        Ok(first)
    }

    /// Appends entries of which a crash leaves all or none, and returns their numbers, when the policy's
    /// promise holds for them. An empty batch writes nothing.
    ///
    /// # Errors
    /// As [`Wal::append`], for all of them together.
    pub fn append_batch<P: AsRef<[u8]>>(&self, payloads: impl AsRef<[P]>) -> Result<Range<u64>, Error> {
        // Each payload is asked for its bytes once: they are counted, digested and written as one.
        let payloads: Vec<&[u8]> = payloads.as_ref().iter().map(AsRef::as_ref).collect();
        let mut payload_bytes = 0;
        for payload in &payloads {
            let entry_bytes = payload.len() as u64;
            self.check_entry(entry_bytes)?;
            payload_bytes += entry_bytes;
        }
        let count = payloads.len() as u64;
        if payload_bytes > self.max_batch_bytes || count > MAX_BATCH_ENTRIES {
            let message = format!(
                "a batch of {count} entries and {payload_bytes} bytes is above max_batch_bytes ({}) or {MAX_BATCH_ENTRIES} entries",
                self.max_batch_bytes
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if payloads.is_empty() {
            let next = self.write(|writer| Ok(writer.next()))?;
            return Ok(next..next);
        }
        let entries: Vec<(&[u8], u64)> =
            payloads.into_iter().map(|payload| (payload, self.checksum.digest(payload))).collect();
        let first = self.write(|writer| writer.append(entries.iter().copied(), count, payload_bytes))?;
        self.syncer.wrote(first + count, self)?;
        Ok(first..first + count)
    }

    /// Makes everything durable that was appended before, whatever the policy.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`] when a sync failed, now or earlier; there is no second try.
    pub fn sync(&self) -> Result<(), Error> {
        self.check_open()?;
        self.syncer.sync_to(self.syncer.written(), self)
    }

    /// The number of the next entry that the operating system does not have yet: of the next append.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.syncer.written()
    }

    /// The number of the next entry that is not durable yet. Entries in front of it survive a power cut.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.syncer.durable()
    }

    /// The number of the first entry that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.recovery.first
    }

    /// The number of the last entry; `None` in an empty log.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.written() - 1)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written() == self.first()
    }

    /// What the open found.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The entries from `first` on, as the log is now.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `first` is in front of the first entry that is kept, or beyond the
    /// next one; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn read_from(&self, first: u64) -> Result<Entries, Error> {
        Entries::from(&self.library, self.snapshot()?, first)
    }

    /// The entries whose numbers lie in `range`, as far as there are any now.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<Entries, Error> {
        Ok(Entries::range(&self.library, self.snapshot()?, range))
    }

    /// Makes everything durable, marks the end so that the next open is quick, and gives up the lock.
    ///
    /// # Errors
    /// What failed. [`ErrorKind::Poisoned`] means that entries which were not durable may be lost; any
    /// other error leaves everything durable and costs the next open some time.
    pub fn close(self) -> Result<(), Error> {
        if let Some(failure) = self.syncer.failure() {
            return Err(failure);
        }
        let writer = self.lock()?.take().ok_or_else(closed)?;
        writer.close().map_err(Error::from)
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        self.check_open()?;
        let guard = self.lock()?;
        Ok(guard.as_ref().ok_or_else(closed)?.snapshot())
    }

    /// Runs `act` on the writer, and tells the syncer what became durable, or failed, on the way.
    fn write(&self, act: impl Fn(&mut Writer) -> Result<Sequence, SegmentError>) -> Result<u64, Error> {
        loop {
            self.check_open()?;
            let mut guard = self.lock()?;
            let writer = guard.as_mut().ok_or_else(closed)?;
            let done = act(writer);
            self.syncer.passed(writer.next().value(), writer.durable().value());
            drop(guard);
            return match done {
                Ok(first) => Ok(first.value()),
                Err(SegmentError::SyncInFlight) => {
                    self.syncer.wait_for_turn()?;
                    continue;
                }
                Err(error @ SegmentError::Poisoned(_)) => Err(self.syncer.fail(error.into())),
                Err(error) => Err(error.into()),
            };
        }
    }

    fn lock(&self) -> Result<Guard<'_, Option<Writer>>, Error> {
        self.writer.lock().map_err(|panicked| self.syncer.fail(panicked.into()))
    }

    fn check_open(&self) -> Result<(), Error> {
        self.syncer.failure().map_or(Ok(()), Err)
    }

    fn check_entry(&self, payload_bytes: u64) -> Result<(), Error> {
        if payload_bytes <= self.max_entry_bytes {
            return Ok(());
        }
        let most = self.max_entry_bytes;
        let message = format!("an entry of {payload_bytes} bytes is above max_entry_bytes ({most})");
        Err(Error::new(ErrorKind::TooLarge, message))
    }
}

/// A frame counts its entries in 32 bits.
const MAX_BATCH_ENTRIES: u64 = u32::MAX as u64;

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the log is closed")
}

impl SyncTarget for Wal {
    type Error = Error;

    fn sync(&self) -> Result<u64, Error> {
        let job = {
            let mut guard = self.lock()?;
            let writer = guard.as_mut().ok_or_else(closed)?;
            match writer.sync_job()? {
                None => return Ok(writer.durable().value()),
                Some(job) => job,
            }
        };
        let ran = job.run();
        let mut guard = self.lock()?;
        let writer = guard.as_mut().ok_or_else(closed)?;
        match ran {
            Ok(()) => {
                writer.synced(job.point());
                Ok(job.point().next.value())
            }
            Err(error) => Err(writer.poison(error).into()),
        }
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("directory", &self.library.directory().path())
            .field("first", &self.first())
            .field("written", &self.written())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
