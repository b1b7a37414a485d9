//! Appending: one entry or a batch, at once or with a [`Commit`], also under a number that the caller expects.
//!
//! ```text
//!  append(payload)
//!    digest                      outside any lock
//!    join the open frame         under the lock of the group commit: number, copy
//!    lead, or wait               one write and one sync for all who joined
//! ```
//!
//! Under an expected number nothing is appended twice:
//!
//! ```text
//!  writer A   append_at(7) ─▶ 7                         of two who expect the same number,
//!  writer B   append_at(7) ─▶ Conflict, next is 8       at most one appends
//! ```
//!
//! Invariant: the comparison and the giving of the number are one step, under the lock in which all numbers
//! are given.

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

/// Batches up to here need no allocation.
const SMALL_BATCH: usize = 64;

impl Wal {
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
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
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
    /// As [`Wal::submit`]; [`ErrorKind::Backpressure`] when too much is in flight, or while the log is being truncated,
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

    /// Appends an entry if it gets the `expected` number, and returns that, when the policy's promise holds for
    /// it. For writers that must not both append, and for one who does not know whether an earlier try has
    /// appended.
    ///
    /// On [`ErrorKind::Conflict`], [`Error::next_sequence`] is the number that comes next. If it is beyond
    /// `expected`, that number was given: to this entry by an earlier try, or to another one. It may still be in
    /// flight, so that its write can fail: [`Wal::sync`] decides that, and then [`Wal::read`] shows it, or says
    /// [`ErrorKind::OutOfRange`], and the number is free again. If it is in front of `expected`, an entry that the
    /// caller knows of is not there: its write has failed, a truncation dropped it, or it is yet to come.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`]: nothing was appended. Else as [`Wal::append`]: a number whose write has failed is
    /// the next one again.
    pub fn append_at(&self, expected: u64, payload: &[u8]) -> Result<u64, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
        self.append_frame(Some(expected), batch, self.core().commits.promise(), fill)
    }

    /// As [`Wal::append_at`], for entries of which a crash leaves all or none: appends them if the first one
    /// gets the `expected` number. An empty batch appends nothing, and says whether that number is next.
    ///
    /// # Errors
    /// As [`Wal::append_at`], for all of them together.
    pub fn append_batch_at<P: AsRef<[u8]>>(
        &self,
        expected: u64,
        payloads: impl AsRef<[P]>,
    ) -> Result<Range<u64>, Error> {
        let asked = self.core().commits.promise();
        let appended = self.with_batch(payloads.as_ref(), |batch, fill| {
            let first = self.append_frame(Some(expected), batch, asked, fill)?;
            Ok(first..first + batch.entries)
        });
        appended.unwrap_or_else(|| {
            self.core().commits.check_next(expected)?;
            Ok(expected..expected)
        })
    }

    /// As [`Wal::append_at`], and returns when the entry is numbered: the next one can be submitted under
    /// the next number before this one is written. If this one's write then fails, so do those behind it. Waits for
    /// room as [`Wal::submit`] does.
    ///
    /// # Errors
    /// As [`Wal::append_at`], for what is known at once.
    pub fn submit_at(&self, expected: u64, payload: &[u8]) -> Result<Commit, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuilder| frame.push(payload, digest);
        let asked = self.at_least(self.core().commits.promise());
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
        let core = self.core();
        let appended = core.commits.append_at(expected, batch, asked, fill);
        core.call_back();
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
        act: impl FnOnce(Batch, &mut dyn FnMut(&mut FrameBuilder)) -> Result<T, Error>,
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
        act: impl FnOnce(Batch, &mut dyn FnMut(&mut FrameBuilder)) -> Result<T, Error>,
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
