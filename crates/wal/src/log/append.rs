//! Appending under a number that the caller expects, so that nothing is appended twice.
//!
//! ```text
//!  writer A   append_at(7) ─▶ 7                         of two who expect the same number,
//!  writer B   append_at(7) ─▶ Conflict, next is 8       at most one appends
//! ```
//!
//! Invariant: the comparison and the giving of the number are one step, under the lock in which all numbers
//! are given.

use std::ops::Range;

use wal_segment::FrameBuffer;
use wal_sync::Patience;

use crate::error::Error;
use crate::log::Wal;
use crate::log::commit::Commit;

impl Wal {
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
    ///
    /// [`ErrorKind::Conflict`]: crate::ErrorKind::Conflict
    /// [`ErrorKind::OutOfRange`]: crate::ErrorKind::OutOfRange
    pub fn append_at(&self, expected: u64, payload: &[u8]) -> Result<u64, Error> {
        let (batch, digest) = self.measure(payload)?;
        let fill = |frame: &mut FrameBuffer| frame.push(payload, digest);
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
        let fill = |frame: &mut FrameBuffer| frame.push(payload, digest);
        let asked = self.at_least(self.core().commits.promise());
        self.submit_frame(Some(expected), batch, asked, Patience::Endless, fill)
    }
}
