//! A consumer that tails the log of a writer in another process, without the log's lock.
//!
//! ```text
//!  poll ─▶ more entries? ── no ──▶ Directory::wait(interval) ──▶ poll …
//!            │ yes: entries recorded on disk as durable; or written ones, as far as their frames are complete
//!            ▼
//!          entry
//! ```
//!
//! [`Tailer`] in `wal-segment` polls the files, and detects entries that were taken back.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wal_format::Sequence;
use wal_segment::{Cursor, Error as SegmentError, SegmentSource, Tailer};
use wal_sync::Mark;
use wal_sync::primitives::{Instant, now};

use crate::error::Error;
use crate::read::cache::SegmentCache;
use crate::read::entry::Entry;
use crate::read::read_counter::ReadCounter;
use crate::view::View;

/// The default polling interval: short compared with a disk's fsync.
const INTERVAL: Duration = Duration::from_millis(10);
const SHORTEST_INTERVAL: Duration = Duration::from_micros(100);

/// How often one call looks for the reason why an entry could not be read.
const EXPLANATIONS: u32 = 3;

impl View {
    /// Tails the log of a writer in another process: a consumer that returns the durable entries from `first` on, and
    /// waits for new ones, also across restarts of the writer. No crash takes them back.
    /// [`follow_with`](View::follow_with) and [`Mark::Written`] also return entries that are only written.
    ///
    /// The follower learns what is durable only from the disk, where the writer records it with the next frame, the next
    /// segment, or the anchor. So it returns an entry when another one follows, or about a second after its sync; under
    /// [`SyncPolicy::None`](crate::SyncPolicy::None) after a sync, a rollover or a close.
    ///
    /// `first` may be the number of the next entry: then the follower begins with the next append. It polls every 10 ms,
    /// or at another [interval](ViewFollower::every).
    ///
    /// # Errors
    /// As [`View::read_from`].
    pub fn follow(&self, first: u64) -> Result<ViewFollower, Error> {
        self.follow_with(first, Mark::Durable)
    }

    /// As [`View::follow`], up to this watermark. Entries that are [`Mark::Written`] and not durable may be lost in a
    /// crash of the machine, and other entries then get their numbers.
    ///
    /// # Errors
    /// As [`View::read_from`].
    pub fn follow_with(&self, first: u64, mark: Mark) -> Result<ViewFollower, Error> {
        self.cache.check_start(&self.snapshot, "follow", first)?;
        let next = Sequence::try_from(first).unwrap_or(Sequence::MAX);
        let durable = Sequence::try_from(self.durable_end()).unwrap_or(Sequence::MAX);
        let tailer = Tailer::new(self.snapshot.clone(), durable);
        Ok(ViewFollower {
            tally: ReadCounter::new(Arc::clone(&self.cache)),
            cache: Arc::clone(&self.cache),
            tailer: if mark == Mark::Durable { tailer.durable_only() } else { tailer },
            mark,
            cursor: Cursor::default(),
            is_stale: true,
            next,
            interval: INTERVAL,
            ended: false,
        })
    }
}

/// A consumer that tails the log of a writer in another process: it returns entries in order as they become durable, or
/// written. Created by [`View::follow`] and [`View::follow_with`]. It takes no lock and changes nothing, so read-only media
/// and directories will do.
///
/// An entry that is only *written* may be lost in a power loss, or by a failed sync or write of the
/// writer. Entries before [`ViewFollower::durable_end`] stay.
///
/// As an iterator it blocks until the next entry. It never ends without an error: a closed log may be opened
/// again. It ends after one:
///
/// - [`Truncated`](crate::ErrorKind::Truncated): entries that were returned are no longer in the log, after
///   [`Wal::truncate_after`](crate::Wal::truncate_after), a failed write, a failed sync or a crash of the machine. Also when
///   it cannot know: everything before the next entry was dropped, with the files that it would compare.
/// - [`OutOfRange`](crate::ErrorKind::OutOfRange): the writer dropped entries that were not returned yet. A view holds no
///   files, so a consumer that is too slow has to follow again.
/// - damage, or an error of the system.
///
/// A poll without new entries costs two reads of 32 bytes, a read of the anchor and a directory listing. New entries are
/// read twice, once to verify that their frames are complete. A segment is scanned from its start only after a failed sync
/// has taken frames back, and once where its last frame is longer than 1 MiB. While the writer changes files, a
/// call may take 40 ms to find out what happened, and up to a second while the writer truncates again and again.
pub struct ViewFollower {
    cache: Arc<SegmentCache>,
    tailer: Tailer,
    mark: Mark,
    cursor: Cursor,
    /// The tailer has polled since the cursor was renewed.
    is_stale: bool,
    /// The number of the next entry to return.
    next: Sequence,
    interval: Duration,
    tally: ReadCounter,
    ended: bool,
}

impl ViewFollower {
    /// Sets the polling interval while it waits, at least 100 us. The default of 10 ms, a hundred polls a second, costs a
    /// thousandth of a core.
    #[must_use]
    pub fn every(self, interval: Duration) -> ViewFollower {
        ViewFollower { interval: interval.max(SHORTEST_INTERVAL), ..self }
    }

    /// The watermark up to which it reads: durable or written.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The consumer's position: the sequence number of the next entry that it returns.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next.value()
    }

    /// The end of the log that is recorded on disk as durable, as of the last poll: every entry before this number is.
    /// More may be durable: the writer records it with what it writes next.
    #[must_use]
    pub fn durable_end(&self) -> u64 {
        self.tailer.durable().value()
    }

    /// Returns the next entry without waiting for the writer: [`Poll::Pending`] when there is none yet, `Ready(None)`
    /// after an error.
    pub fn try_next(&mut self) -> Poll<Option<Result<Entry, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.step() {
            Ok(Some(entry)) => Poll::Ready(Some(Ok(entry))),
            Ok(None) => {
                self.tally.count();
                Poll::Pending
            }
            Err(error) => {
                self.ended = true;
                self.cursor.leave();
                self.tally.count();
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    /// Waits for the next entry for at most `limit`: [`Poll::Pending`] when that has passed.
    pub fn next_timeout(&mut self, limit: Duration) -> Poll<Option<Result<Entry, Error>>> {
        self.wait_until(now().checked_add(limit))
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Poll<Option<Result<Entry, Error>>> {
        loop {
            let polled = self.try_next();
            if polled.is_ready() {
                return polled;
            }
            let left = deadline.map_or(self.interval, |deadline| deadline.saturating_duration_since(now()));
            if left.is_zero() {
                return Poll::Pending;
            }
            self.cache.directory().wait(left.min(self.interval));
        }
    }

    fn step(&mut self) -> Result<Option<Entry>, SegmentError> {
        let mut explained = 0;
        loop {
            match self.read() {
                Ok(Some(entry)) => {
                    self.next = self.next.advance(1).unwrap_or(Sequence::MAX);
                    return Ok(Some(self.tally.counted(entry)));
                }
                Ok(None) => {
                    self.is_stale = true;
                    let there_is_more = self.tailer.look(self.cache.directory(), self.next)?;
                    if self.tailer.take_rewound() {
                        self.cursor.leave();
                    }
                    if !there_is_more {
                        return Ok(None);
                    }
                }
                Err(error) if explained == EXPLANATIONS => return Err(error),
                Err(error) => {
                    explained += 1;
                    self.cursor.leave();
                    self.is_stale = true;
                    self.tailer.explain(self.cache.directory(), self.next, error)?;
                }
            }
        }
    }

    /// The next entry, up to the limit of the last poll.
    fn read(&mut self) -> Result<Option<wal_segment::Entry>, SegmentError> {
        if self.next >= self.tailer.limit() {
            return Ok(None);
        }
        // After a truncation the cursor may hold entries that are no longer in the log.
        if !self.is_stale
            && let Some(entry) = self.cursor.read(self.next)?
        {
            return Ok(Some(entry));
        }
        let before = self.cursor.life();
        self.cursor.renew(self.cache.as_ref(), self.tailer.snapshot(), self.next)?;
        self.is_stale = false;
        if self.cursor.life() != before {
            // A removed file takes disk space as long as it is open.
            self.cache.segments.keep(self.tailer.snapshot());
        }
        self.cursor.read(self.next)
    }
}

impl Iterator for ViewFollower {
    type Item = Result<Entry, Error>;

    /// Blocks until the next entry; `None` only after an error.
    fn next(&mut self) -> Option<Result<Entry, Error>> {
        match self.wait_until(None) {
            Poll::Ready(item) => item,
            Poll::Pending => unreachable!("without a deadline it waits"),
        }
    }
}

impl FusedIterator for ViewFollower {}

impl fmt::Debug for ViewFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewFollower")
            .field("mark", &self.mark)
            .field("position", &self.position())
            .field("durable", &self.durable_end())
            .finish_non_exhaustive()
    }
}
