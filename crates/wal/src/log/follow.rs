//! A consumer that tails the log in the writer's process.
//!
//! ```text
//!              next          limit
//!  0 ─────────┬┴─────────────┴┬──────────────
//!  returned   │ available     │ waited for: woken by the write or the sync
//!             └─ cursor ──────┘
//!  look: watermark ─▶ snapshot ─▶ no cut since? ─▶ limit
//! ```
//!
//! Invariant: an entry is returned only if it was before the watermark at the last look, and no truncation had
//! dropped it by then. Sequence numbers are consecutive, without gaps or repetitions.
//!
//! A look holds a snapshot, and so its lease, only while it opens a segment. The thread that moves the watermark,
//! truncates the log or ends it wakes the waiting followers, in `wal-sync`.

use std::fmt;
use std::future::poll_fn;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wal_format::Sequence;
use wal_segment::{Cursor, Snapshot};
use wal_sync::primitives::block_on;
use wal_sync::{Mark, Standing, Watch};

use crate::engine::Engine;
use crate::error::Error;
use crate::log::Wal;
use crate::read::entry::Entry;
use crate::read::read_counter::ReadCounter;

impl Wal {
    /// Tails the log: a consumer that returns the durable entries from `first` on, and waits for new ones. No crash takes
    /// them back. [`follow_with`](Wal::follow_with) and [`Mark::Written`] also return entries that are only written.
    ///
    /// `first` may be the number of the next entry: then the follower begins with the next append.
    ///
    /// # Errors
    /// As [`Wal::read_from`].
    pub fn follow(&self, first: u64) -> Result<Follower, Error> {
        self.follow_with(first, Mark::Durable)
    }

    /// As [`Wal::follow`], up to this watermark. Entries that are [`Mark::Written`] and not durable may be lost in a
    /// crash of the machine, and other entries then get their numbers.
    ///
    /// # Errors
    /// As [`Wal::read_from`].
    pub fn follow_with(&self, first: u64, mark: Mark) -> Result<Follower, Error> {
        Follower::new(Arc::clone(self.engine()), first, mark)
    }
}

/// A consumer that tails the log: it returns entries in order as they become durable, or written. Created by
/// [`Wal::follow`] and [`Wal::follow_with`].
///
/// It triggers no write and no sync: an appender, or the sync policy, has to. The thread that wrote or synced calls a
/// task's waker, under no lock, as for a [`Commit`](crate::Commit).
///
/// As an iterator it blocks until the next entry. It ends with `None` once the log was closed, or its last
/// handle dropped, and every entry before the watermark was returned. It keeps neither the log open nor
/// its lock. It also ends after an error:
///
/// - [`Truncated`](crate::ErrorKind::Truncated): [`Wal::truncate_after`] dropped entries before the next one, so that some
///   that were returned, or skipped by `first`, are no longer in the log. A truncation at or after the next entry is
///   no error: the follower goes on with the new entries.
/// - [`OutOfRange`](crate::ErrorKind::OutOfRange): [`Wal::truncate_before`] dropped entries that were not returned
///   yet. A consumer that does not need them follows again from [`Wal::first`].
/// - [`Poisoned`](crate::ErrorKind::Poisoned): a sync failed. Entries durable, or written, before it were returned.
/// - the error of reading an entry that is damaged or unreadable.
///
/// Every entry is verified against its checksum. From a sealed segment that is memory-mapped an entry is neither copied
/// nor allocated; at the end of the log each stretch is read once, up to 256 KiB at a time. The follower
/// holds open the one segment that it reads, and no file of earlier entries that a truncation dropped. A wait
/// costs one allocation, and a wake-up by the thread that writes or syncs.
pub struct Follower {
    engine: Arc<Engine>,
    mark: Mark,
    /// The number of the next entry to return.
    next: Sequence,
    /// Entries before this can be returned.
    limit: Sequence,
    /// The number of truncations at the last look.
    cuts: u64,
    cursor: Cursor,
    /// The wait for the watermark, while one is pending.
    watch: Option<Watch>,
    tally: ReadCounter,
    ended: bool,
}

/// The next entry, or why there is none.
enum Step {
    Entry(Entry),
    /// There is none yet; wait until the watermark has passed this number.
    Wait(u64),
    End,
}

impl Follower {
    fn new(engine: Arc<Engine>, first: u64, mark: Mark) -> Result<Follower, Error> {
        engine.commits.check()?;
        let cuts = engine.commits.cuts();
        let snapshot = engine.commits.target().snapshot();
        engine.cache.check_start(&snapshot, "follow", first)?;
        let next = Sequence::try_from(first).unwrap_or(Sequence::MAX);
        Ok(Follower {
            tally: ReadCounter::new(Arc::clone(&engine.cache)),
            engine,
            mark,
            next,
            limit: next,
            cuts,
            cursor: Cursor::default(),
            watch: None,
            ended: false,
        })
    }

    /// The consumer's position: the sequence number of the next entry that it returns.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next.value()
    }

    /// The watermark up to which it reads: durable or written.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The end of the durable log, as [`Wal::durable_end`]. A follower of written entries learns from it which of those that
    /// it returned survive a power loss.
    #[must_use]
    pub fn durable_end(&self) -> u64 {
        self.engine.commits.durable()
    }

    /// Returns the next entry without waiting: [`Poll::Pending`] when there is none yet, `Ready(None)` at the end.
    pub fn try_next(&mut self) -> Poll<Option<Result<Entry, Error>>> {
        match self.advance() {
            Ok(item) => Poll::Ready(item),
            Err(_) => Poll::Pending,
        }
    }

    /// Waits for the next entry for at most `limit`: [`Poll::Pending`] when that has passed.
    pub fn next_timeout(&mut self, limit: Duration) -> Poll<Option<Result<Entry, Error>>> {
        self.wait(Some(limit)).map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits for the next entry asynchronously; no runtime is needed. It is cancel-safe: after the future is dropped, the
    /// next call returns the entry.
    ///
    /// # Errors
    /// As the iterator's.
    pub async fn next_entry(&mut self) -> Option<Result<Entry, Error>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Follower::next_entry`], to implement a stream: after `Pending` the waker is called once there is more.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Entry, Error>>> {
        loop {
            let sequence = match self.advance() {
                Ok(item) => {
                    self.give_up_watch();
                    return Poll::Ready(item);
                }
                Err(sequence) => sequence,
            };
            let (mark, cuts) = (self.mark, self.cuts);
            let watch = self.watch.get_or_insert_with(|| Watch::since(mark, sequence, cuts));
            match self.engine.commits.poll_watch(watch, context) {
                Poll::Pending => return Poll::Pending,
                // The next `advance` finds out what happened.
                Poll::Ready(_) => self.give_up_watch(),
            }
        }
    }

    fn wait(&mut self, limit: Option<Duration>) -> Option<Option<Result<Entry, Error>>> {
        // The common case: an entry is available, and no allocation is needed to sleep on.
        if let Ok(item) = self.advance() {
            return Some(item);
        }
        block_on(|context| self.poll_next(context), limit)
    }

    /// Returns the next item without waiting, or fails with the number that the watermark has to pass first.
    fn advance(&mut self) -> Result<Option<Result<Entry, Error>>, u64> {
        if self.ended {
            return Ok(None);
        }
        let item = match self.step() {
            Ok(Step::Entry(entry)) => return Ok(Some(Ok(entry))),
            Ok(Step::Wait(sequence)) => {
                self.tally.count();
                return Err(sequence);
            }
            Ok(Step::End) => None,
            Err(error) => Some(Err(error)),
        };
        self.ended = true;
        self.cursor.leave();
        self.tally.count();
        Ok(item)
    }

    fn step(&mut self) -> Result<Step, Error> {
        loop {
            if self.next < self.limit
                && self.engine.commits.cuts() == self.cuts
                && let Some(entry) = self.cursor.read(self.next)?
            {
                self.next = self.next.advance(1).unwrap_or(Sequence::MAX);
                return Ok(Step::Entry(self.tally.counted(entry)));
            }
            self.limit = self.next;
            let standing = self.engine.commits.standing(self.mark, self.cuts);
            let snapshot = self.engine.commits.target().snapshot();
            if self.engine.commits.cuts() != standing.cuts {
                // A truncation came between the two: the snapshot may hold other entries than the watermark counts.
                continue;
            }
            if let Some(over) = self.look(&snapshot, standing)? {
                return Ok(over);
            }
        }
    }

    /// Moves the limit to the end of the log; returns the step to take when no entry is before it.
    fn look(&mut self, snapshot: &Snapshot, standing: Standing<Error>) -> Result<Option<Step>, Error> {
        // During a truncation the snapshot falls back first.
        let cut_from = standing.cut_from.unwrap_or(u64::MAX).min(snapshot.next().value());
        if cut_from < self.next.value() {
            return Err(wal_sync::Error::Truncated { from: cut_from }.into());
        }
        self.cuts = standing.cuts;
        if self.next < snapshot.first() {
            return Err(self.engine.cache.out_of_range(snapshot, &format_args!("follow from {}", self.next)));
        }
        let position = Sequence::try_from(standing.position).unwrap_or(Sequence::MAX);
        self.limit = position.min(snapshot.next());
        if self.next < self.limit {
            self.cursor.renew(self.engine.cache.as_ref(), snapshot, self.next)?;
            return Ok(None);
        }
        self.cursor.rest(snapshot);
        match standing.over {
            // A truncation is dropping entries that the watermark has passed: wait for it to finish.
            None if position > self.next => Ok(Some(Step::Wait(u64::MAX))),
            None => Ok(Some(Step::Wait(self.next.value()))),
            Some(wal_sync::Error::Closed) => Ok(Some(Step::End)),
            Some(failure) => Err(failure.into()),
        }
    }

    fn give_up_watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            self.engine.commits.unwatch(&watch);
        }
    }
}

impl Iterator for Follower {
    type Item = Result<Entry, Error>;

    /// Blocks until the next entry; `None` when the log has ended.
    fn next(&mut self) -> Option<Result<Entry, Error>> {
        self.wait(None).expect("without a limit there is an item, or the end")
    }
}

impl FusedIterator for Follower {}

impl Drop for Follower {
    fn drop(&mut self) {
        self.give_up_watch();
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("mark", &self.mark)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
