//! Appending an entry or a batch: blocking, with a [`Commit`], or at an expected sequence number.
//!
//! ```text
//!  append(payload)
//!    checksum                    outside any lock
//!    append to the open group    under the group-commit lock: assign the number, copy
//!    lead, or wait               one write and one sync for the whole group
//! ```
//!
//! At an expected number nothing is appended twice:
//!
//! ```text
//!  writer A   append_at(7) ─▶ 7                         of two writers that expect the same number,
//!  writer B   append_at(7) ─▶ Conflict, next is 8       at most one appends
//! ```
//!
//! Invariant: the number is compared and assigned in one step, under the lock that assigns all numbers.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wal_format::{MAX_FRAME_ENTRIES, TableEntry};
use wal_segment::FrameBuilder;
use wal_sync::primitives::now;
use wal_sync::{Batch, Durability, Patience};

use crate::error::{Error, ErrorKind};
use crate::log::Wal;
use crate::log::commit::Commit;
#[cfg(doc)]
use crate::options::Options;

/// A batch is one frame.
const MAX_BATCH_ENTRIES: u64 = MAX_FRAME_ENTRIES as u64;

/// A payload and its checksum.
type Digested<'a> = (&'a [u8], u64);

thread_local! {
    /// An empty list of a batch's payloads, whose memory is used again.
    static DIGESTED: Cell<Vec<Digested<'static>>> = const { Cell::new(Vec::new()) };
}

/// The list of a longer batch is freed.
const KEPT_ENTRIES: usize = 16 << 10;

/// The same memory, for other payloads. Collected in place, as the allocation test holds.
fn emptied(mut digested: Vec<Digested<'_>>) -> Vec<Digested<'static>> {
    digested.clear();
    digested.into_iter().map(|_| -> Digested<'static> { (&[], 0) }).collect()
}

impl Wal {
    /// Appends an entry, waits until it is as durable as the sync policy guarantees, and returns its sequence number.
    /// Concurrent appends share one write and one fsync (group commit).
    ///
    /// # Errors
    /// - [`ErrorKind::TooLarge`]: nothing was written.
    /// - [`ErrorKind::NoSpace`], [`ErrorKind::Io`]: the entry is not in the log, its number is assigned
    ///   again, and the log accepts further appends. If the log is closed or the process dies before it
    ///   accepts one, the next open may still find the entry. (In a [buffered](Options::buffered) log the
    ///   error is that of writing the entries buffered before; they stay, and the next call tries again.)
    /// - [`ErrorKind::Poisoned`]: a sync failed. The next open may or may not find the entry.
    /// - [`ErrorKind::Truncated`]: [`Wal::truncate_after`] dropped the entry before it was durable.
    /// - [`ErrorKind::Closed`], [`ErrorKind::Forked`]: nothing was written.
    pub fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        self.append_with(payload, self.engine().commits.promise())
    }

    /// Appends an entry, waits until it has this durability, whatever the sync policy, and returns its sequence number.
    ///
    /// In a [buffered](Options::buffered) log an error means that the entry does not have it yet: it may
    /// be buffered, and become part of the log later.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub fn append_with(&self, payload: &[u8], durability: Durability) -> Result<u64, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
        self.append_frame(None, batch, self.at_least(durability), fill)
    }

    /// Appends a batch atomically: after a crash all of its entries are in the log or none. Returns their sequence
    /// numbers, once the batch is as durable as the sync policy guarantees. An empty batch writes nothing.
    ///
    /// # Errors
    /// As [`Wal::append`], for the batch as a whole.
    pub fn append_batch<P: AsRef<[u8]>>(&self, payloads: impl AsRef<[P]>) -> Result<Range<u64>, Error> {
        let asked = self.engine().commits.promise();
        self.with_batch(payloads.as_ref(), |batch, fill| {
            let first = self.append_frame(None, batch, asked, fill)?;
            Ok(first..first + batch.entries)
        })
        .unwrap_or_else(|| self.nothing())
    }

    /// Appends an entry without waiting for its fsync: returns once it has a sequence number. Wait for the [`Commit`] to
    /// get the durability that the sync policy guarantees.
    ///
    /// The call may write to the disk: at most one frame, with a rollover and its syncs if the segment is full. It
    /// waits (back-pressure) while the bytes in flight have reached
    /// [`max_in_flight_bytes`](Options::max_in_flight_bytes).
    ///
    /// # Errors
    /// As [`Wal::append`], for failures that are known at once; the [`Commit`] returns the others.
    pub fn submit(&self, payload: &[u8]) -> Result<Commit, Error> {
        self.submit_with(payload, self.engine().commits.promise())
    }

    /// As [`Wal::submit`], for this durability instead of the sync policy's.
    ///
    /// # Errors
    /// As [`Wal::submit`].
    pub fn submit_with(&self, payload: &[u8], durability: Durability) -> Result<Commit, Error> {
        self.submit_one(payload, durability, Patience::Endless)
    }

    /// As [`Wal::submit`], but fails with [`ErrorKind::Backpressure`] instead of waiting. It may still write one frame and
    /// begin one segment, so it is not for a thread that must never wait for the disk. Without [`Options::background`]
    /// threads another call has to write what is in flight: a submit or a commit that waits, or [`Wal::sync`].
    ///
    /// # Errors
    /// As [`Wal::submit`]; [`ErrorKind::Backpressure`] when too many bytes are in flight, or while the log is being
    /// truncated, and then nothing was appended.
    pub fn try_submit(&self, payload: &[u8]) -> Result<Commit, Error> {
        self.submit_one(payload, self.engine().commits.promise(), Patience::None)
    }

    /// As [`Wal::try_submit`], but waits for back-pressure to end for at most `limit`.
    ///
    /// # Errors
    /// As [`Wal::try_submit`].
    pub fn submit_timeout(&self, payload: &[u8], limit: Duration) -> Result<Commit, Error> {
        let patience = now().checked_add(limit).map_or(Patience::Endless, Patience::Until);
        self.submit_one(payload, self.engine().commits.promise(), patience)
    }

    /// As [`Wal::submit`], for an atomic batch: after a crash all of its entries are in the log or none.
    ///
    /// # Errors
    /// As [`Wal::submit`]; [`ErrorKind::InvalidOptions`] for an empty batch.
    pub fn submit_batch<P: AsRef<[u8]>>(&self, payloads: impl AsRef<[P]>) -> Result<Commit, Error> {
        let asked = self.engine().commits.promise();
        self.with_batch(payloads.as_ref(), |batch, fill| {
            self.submit_frame(None, batch, asked, Patience::Endless, fill)
        })
        .unwrap_or_else(|| Err(Error::new(ErrorKind::InvalidOptions, "a batch to submit has no entry")))
    }

    /// Appends an entry only if its sequence number is `expected` (compare-and-append); otherwise as [`Wal::append`]. For
    /// writers of which only one may append, and for a writer that does not know whether an earlier try succeeded.
    ///
    /// On [`ErrorKind::Conflict`], [`Error::next_sequence`] is the next number of the log. If it is greater than
    /// `expected`, the number was already assigned: to this entry by an earlier try, or to another one. That entry may
    /// still be in flight, and its write can fail. Call [`Wal::sync`] to decide; then [`Wal::read`] returns the entry, or
    /// fails with [`ErrorKind::OutOfRange`] and the number is free again. If it is less than `expected`, an entry that
    /// the caller knows of is not there: its write failed, a truncation dropped it, or it is not appended yet.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`]: nothing was appended. Otherwise as [`Wal::append`]: a number whose write failed is
    /// the next one again.
    pub fn append_at(&self, expected: u64, payload: &[u8]) -> Result<u64, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
        self.append_frame(Some(expected), batch, self.engine().commits.promise(), fill)
    }

    /// As [`Wal::append_at`], for an atomic batch whose first entry gets the `expected` number. An empty batch appends
    /// nothing, and fails with [`ErrorKind::Conflict`] if that number is not next.
    ///
    /// # Errors
    /// As [`Wal::append_at`], for the batch as a whole.
    pub fn append_batch_at<P: AsRef<[u8]>>(
        &self,
        expected: u64,
        payloads: impl AsRef<[P]>,
    ) -> Result<Range<u64>, Error> {
        let asked = self.engine().commits.promise();
        let appended = self.with_batch(payloads.as_ref(), |batch, fill| {
            let first = self.append_frame(Some(expected), batch, asked, fill)?;
            Ok(first..first + batch.entries)
        });
        appended.unwrap_or_else(|| {
            self.engine().commits.check_next(expected)?;
            Ok(expected..expected)
        })
    }

    /// As [`Wal::append_at`], without waiting for the fsync: the next entry can be submitted at the next number before
    /// this one is written. If the write of this one fails, so do the later ones. Waits under back-pressure as
    /// [`Wal::submit`] does.
    ///
    /// # Errors
    /// As [`Wal::append_at`], for failures that are known at once.
    pub fn submit_at(&self, expected: u64, payload: &[u8]) -> Result<Commit, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
        let asked = self.at_least(self.engine().commits.promise());
        self.submit_frame(Some(expected), batch, asked, Patience::Endless, fill)
    }

    fn submit_one(
        &self,
        payload: &[u8],
        durability: Durability,
        patience: Patience,
    ) -> Result<Commit, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
        self.submit_frame(None, batch, self.at_least(durability), patience, fill)
    }

    pub(crate) fn append_frame(
        &self,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        fill: impl FnOnce(&mut FrameBuilder),
    ) -> Result<u64, Error> {
        let engine = self.engine();
        let appended = engine.commits.append_at(expected, batch, asked, fill);
        engine.run_due_work();
        appended.map_err(Error::from)
    }

    #[expect(clippy::too_many_arguments, reason = "as of the call of the group commit below it")]
    pub(crate) fn submit_frame(
        &self,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        patience: Patience,
        fill: impl FnOnce(&mut FrameBuilder),
    ) -> Result<Commit, Error> {
        let engine = self.engine();
        let submitted = engine.commits.submit_at(expected, batch, asked, patience, fill);
        engine.run_due_work();
        let fork_guard = engine.fork_guard().clone();
        let driver = engine.is_driven_by_waiters().then(|| Arc::clone(engine));
        Ok(Commit { ticket: submitted?, entries: batch.entries, engine: driver, fork_guard })
    }

    /// Raises the durability to written, unless the log is buffered.
    pub(crate) fn at_least(&self, durability: Durability) -> Durability {
        durability.max(self.engine().commits.promise().min(Durability::Written))
    }

    /// The empty range that an empty batch returns.
    fn nothing(&self) -> Result<Range<u64>, Error> {
        self.engine().commits.check()?;
        let next = self.engine().commits.next();
        Ok(next..next)
    }

    pub(crate) fn measure(&self, payload: &[u8]) -> Result<(Batch, u64), Error> {
        self.check_entry(payload.len() as u64)?;
        let batch = Batch { entries: 1, bytes: (payload.len() + self.row_bytes()) as u64 };
        self.check_batch(batch)?;
        Ok((batch, self.handle.checksum.digest(payload)))
    }

    /// Checks a batch, computes its checksums outside any lock, and calls `act` with it; `None` when it is empty.
    pub(crate) fn with_batch<P: AsRef<[u8]>, T>(
        &self,
        payloads: &[P],
        act: impl FnOnce(Batch, &mut dyn FnMut(&mut FrameBuilder)) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if payloads.is_empty() {
            return None;
        }
        let mut digested: Vec<Digested<'_>> = DIGESTED.take();
        let done = self.with_digested(payloads, &mut digested, act);
        if digested.capacity() <= KEPT_ENTRIES {
            DIGESTED.set(emptied(digested));
        }
        Some(done)
    }

    fn with_digested<'a, P: AsRef<[u8]>, T>(
        &self,
        payloads: &'a [P],
        digested: &mut Vec<Digested<'a>>,
        act: impl FnOnce(Batch, &mut dyn FnMut(&mut FrameBuilder)) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (count, most) = (payloads.len() as u64, self.handle.max_batch_bytes);
        if count > MAX_BATCH_ENTRIES {
            let message = format!("a batch of {count} entries is above {MAX_BATCH_ENTRIES}");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        // `as_ref` is called once a payload, so that the bytes counted, digested and written are the same.
        let mut payload_bytes = 0;
        digested.reserve(payloads.len());
        for payload in payloads {
            let payload = payload.as_ref();
            self.check_entry(payload.len() as u64)?;
            payload_bytes += payload.len() as u64;
            if payload_bytes > most {
                let message =
                    format!("a batch of {count} entries has more bytes than max_batch_bytes ({most}) allows");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            digested.push((payload, self.handle.checksum.digest(payload)));
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
