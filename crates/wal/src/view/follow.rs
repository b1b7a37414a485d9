//! Reading that goes on as the log grows, beside a writer in another process: without its lock.
//!
//! ```text
//!  poll ─▶ there is more? ── no ──▶ Directory::wait(interval) ──▶ poll …
//!            │ yes: what the disk states to be durable; or what is written, as far as its bytes are whole
//!            ▼
//!          entry
//! ```
//!
//! What is looked at, and how it is known that nothing was taken back, is `wal-segment`'s scout.

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
use crate::read::cache::Library;
use crate::read::counted::Tally;
use crate::read::entry::Entry;
use crate::view::View;

/// How often a follower looks that was not told: beside a sync of a disk it is soon.
const INTERVAL: Duration = Duration::from_millis(10);
const SHORTEST_INTERVAL: Duration = Duration::from_micros(100);

/// How often it is found out why an entry could not be read.
const EXPLANATIONS: u32 = 3;

impl View {
    /// Reads the entries from `first` on and goes on as the writer appends, in whatever process it is, also when
    /// it is started again: those that are durable, so that none of them is taken back by a crash. To see those that are
    /// only written, ask for [`follow_with`](View::follow_with) and [`Mark::Written`].
    ///
    /// What is durable is known from the disk alone, where a writer states it with the next frame, the next segment, or the
    /// anchor. So an entry is handed out when something follows it, or about a second after its sync; under
    /// [`SyncPolicy::None`](crate::SyncPolicy::None) after a sync, a rollover or a close.
    ///
    /// `first` may be the number of the next entry: then the follower begins with what comes. Looks for more every 10 ms
    /// unless [told otherwise](ViewFollower::every).
    ///
    /// # Errors
    /// As [`View::read_from`].
    pub fn follow(&self, first: u64) -> Result<ViewFollower, Error> {
        self.follow_with(first, Mark::Durable)
    }

    /// As [`View::follow`], up to this watermark. What is [`Mark::Written`] and not durable may be gone after
    /// the next crash of the machine, and other entries get its numbers.
    ///
    /// # Errors
    /// As [`View::read_from`].
    pub fn follow_with(&self, first: u64, mark: Mark) -> Result<ViewFollower, Error> {
        self.library().check_start(self.snapshot(), "follow", first)?;
        let next = Sequence::try_from(first).unwrap_or(Sequence::MAX);
        let durable = Sequence::try_from(self.durable()).unwrap_or(Sequence::MAX);
        let scout = Tailer::new(self.snapshot().clone(), durable);
        Ok(ViewFollower {
            tally: Tally::new(Arc::clone(self.library())),
            library: Arc::clone(self.library()),
            scout: if mark == Mark::Durable { scout.durable_only() } else { scout },
            mark,
            cursor: Cursor::new(),
            is_stale: true,
            next,
            interval: INTERVAL,
            ended: false,
        })
    }
}

/// Entries in order, from one on, as a writer in another process makes them durable or writes them. Made by
/// [`View::follow`] and [`View::follow_with`]. Takes no lock and changes nothing; read-only media and directories will do.
///
/// What is only *written* may be taken away by a loss of power, and by a failed sync or write of the
/// writer's; [`ViewFollower::durable`] says which of it is certain to stay.
///
/// As an iterator it waits for the next entry. It never ends by itself: a log that is closed may be opened
/// again. After an error it has ended:
///
/// - [`Truncated`](crate::ErrorKind::Truncated): entries that were handed out were taken back, by
///   [`Wal::truncate_after`](crate::Wal::truncate_after), a failed write, a failed sync or a crash of the machine. Also when that
///   cannot be told: the front was dropped, with all that it knew, up to the entry that comes next.
/// - [`OutOfRange`](crate::ErrorKind::OutOfRange): entries that were not handed out yet were dropped from the
///   front of the log. No lease keeps their files, so a follower that is slow has to be started again.
/// - damage, and what the system reports.
///
/// Where nothing has come, a look costs two reads of 32 bytes, a read of the anchor and a list of the directory. What has
/// come is read twice, once to check that it is whole. A segment is walked from its start only after a failed sync has
/// taken frames back, and once where its last frame is longer than 1 MiB. While files change under
/// it, a call may take 40 ms to find out how, and up to a second while a writer truncates again and again.
pub struct ViewFollower {
    library: Arc<Library>,
    scout: Tailer,
    mark: Mark,
    cursor: Cursor,
    /// The scout has looked since the cursor was told where the log is.
    is_stale: bool,
    /// The number of the entry that comes next.
    next: Sequence,
    interval: Duration,
    tally: Tally,
    ended: bool,
}

impl ViewFollower {
    /// Looks for more every `interval` while it waits, at least 100 us. A hundred looks a second cost a thousandth of a
    /// core.
    #[must_use]
    pub fn every(self, interval: Duration) -> ViewFollower {
        ViewFollower { interval: interval.max(SHORTEST_INTERVAL), ..self }
    }

    /// Which entries it sees.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The number of the entry that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next.value()
    }

    /// The number of the first entry that nothing on disk states to be durable, as far as this follower has
    /// looked. More may be durable than that: a writer states it with what it writes later.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.scout.durable().value()
    }

    /// The next entry, if it is there: [`Poll::Pending`] when there is none yet. `Ready(None)` behind an error.
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

    /// The next entry, waited for for at most `limit`: [`Poll::Pending`] when that has passed.
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
            self.library.directory().wait(left.min(self.interval));
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
                    let there_is_more = self.scout.look(self.library.directory(), self.next)?;
                    if self.scout.take_rewound() {
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
                    self.scout.explain(self.library.directory(), self.next, error)?;
                }
            }
        }
    }

    /// The next entry, as far as the log is known.
    fn read(&mut self) -> Result<Option<wal_segment::Entry>, SegmentError> {
        if self.next >= self.scout.limit() {
            return Ok(None);
        }
        let segments = self.library.as_ref();
        // Behind a cut the cursor may hold entries that are no part of the log any more.
        if !self.is_stale
            && let Some(entry) = self.cursor.read(segments, self.next)?
        {
            return Ok(Some(entry));
        }
        let before = self.cursor.life();
        self.cursor.renew(segments, self.scout.snapshot(), self.next)?;
        self.is_stale = false;
        if self.cursor.life() != before {
            // A file that was removed takes space for as long as it is open.
            self.library.keep(self.scout.snapshot());
        }
        self.cursor.read(segments, self.next)
    }
}

impl Iterator for ViewFollower {
    type Item = Result<Entry, Error>;

    /// Waits for the next entry; `None` only behind an error.
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
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
