//! Reading that goes on as the log grows, beside its writer in the same process.
//!
//! ```text
//!              next          limit
//!  0 ─────────┬┴─────────────┴┬──────────────
//!  handed out │ there already │ waited for: woken by the write or the sync
//!             └─ cursor ──────┘
//!  look: watermark ─▶ snapshot ─▶ still no cut? ─▶ limit
//! ```
//!
//! Invariant: what is handed out was in front of the watermark when it was looked at, and the log had not been
//! cut in front of it. Numbers come one by one, without a hole and without a repetition.
//!
//! A look holds a snapshot, and so its lease, for as long as it takes to open a segment. PoolFile is
//! `wal-sync`'s: whoever moves the watermark, cuts the log or ends it wakes those who watch.

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

use crate::engine::Core;
use crate::error::Error;
use crate::log::Wal;
use crate::read::counted::Tally;
use crate::read::entry::Entry;

impl Wal {
    /// Reads the entries from `first` on, and goes on as the log grows: those that are durable, so that none of
    /// them is taken back by a crash. To see those that are only written, ask for
    /// [`follow_with`](Wal::follow_with) and [`Mark::Written`].
    ///
    /// `first` may be the number of the next entry: then the follower begins with what comes.
    ///
    /// # Errors
    /// As [`Wal::read_from`].
    pub fn follow(&self, first: u64) -> Result<Follower, Error> {
        self.follow_with(first, Mark::Durable)
    }

    /// As [`Wal::follow`], up to this watermark. What is [`Mark::Written`] and not durable may be gone after
    /// the next crash of the machine, and other entries get its numbers.
    ///
    /// # Errors
    /// As [`Wal::read_from`].
    pub fn follow_with(&self, first: u64, mark: Mark) -> Result<Follower, Error> {
        Follower::new(Arc::clone(self.core()), first, mark)
    }
}

/// Entries in order, from one on, as they become durable or are written. Made by [`Wal::follow`] and
/// [`Wal::follow_with`].
///
/// It asks for no write and no sync: somebody else, or the policy, has to. A task's waker is called by the thread
/// that wrote or synced, under no lock, as a [`Commit`](crate::Commit)'s is.
///
/// As an iterator it waits for the next entry. It ends, with `None`, when the log was closed, or its last
/// handle dropped, and everything in front of the watermark was handed out. It keeps neither the log open nor
/// its lock. After an error it has ended, too:
///
/// - [`Truncated`](crate::ErrorKind::Truncated): [`Wal::truncate_after`] dropped entries in front of the one that comes
///   next: some that were handed out, or were asked for, are no part of the log any more. A cut further on is no
///   error: the follower goes on behind it.
/// - [`OutOfRange`](crate::ErrorKind::OutOfRange): [`Wal::truncate_before`] dropped entries that were not handed out
///   yet. Whoever can do without them follows again, from [`Wal::first`] on.
/// - [`Poisoned`](crate::ErrorKind::Poisoned): a sync failed. What was durable, or written, before was handed out.
/// - what a reader reports, when bytes are damaged or cannot be read.
///
/// Each entry is checked against its checksum. In a closed segment that is mapped nothing is copied and
/// nothing allocated for an entry; at the end of the log each stretch is read once, up to 256 KiB at a time. It
/// holds one segment open, the one that it is in, and no file that a truncation has dropped behind it. A wait
/// costs an allocation, and the thread that writes or syncs a wake-up of those who wait.
pub struct Follower {
    core: Arc<Core>,
    mark: Mark,
    /// The number of the entry that comes next.
    next: Sequence,
    /// What is in front of this can be handed out.
    limit: Sequence,
    /// How often the log had been cut at the last look.
    cuts: u64,
    cursor: Cursor,
    /// What is waited for.
    watch: Option<Watch>,
    tally: Tally,
    ended: bool,
}

/// The next entry, or why there is none.
enum Step {
    Entry(Entry),
    /// There is none yet; wait until the watermark has passed this.
    Wait(u64),
    End,
}

impl Follower {
    fn new(core: Arc<Core>, first: u64, mark: Mark) -> Result<Follower, Error> {
        core.commits.check()?;
        let cuts = core.commits.cuts();
        let snapshot = core.commits.target().snapshot();
        core.library.check_start(&snapshot, "follow", first)?;
        let next = Sequence::try_from(first).unwrap_or(Sequence::MAX);
        Ok(Follower {
            tally: Tally::new(Arc::clone(&core.library)),
            core,
            mark,
            next,
            limit: next,
            cuts,
            cursor: Cursor::new(),
            watch: None,
            ended: false,
        })
    }

    /// The number of the entry that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next.value()
    }

    /// Which entries it sees.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The number of the next entry that is not durable yet: of those handed out by a follower of what is
    /// written, the ones in front of it survive a power cut.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.core.commits.durable()
    }

    /// The next entry, if it is there: [`Poll::Pending`] when there is none yet, `Ready(None)` at the end.
    pub fn try_next(&mut self) -> Poll<Option<Result<Entry, Error>>> {
        match self.advance() {
            Ok(item) => Poll::Ready(item),
            Err(_) => Poll::Pending,
        }
    }

    /// The next entry, waited for for at most `limit`: [`Poll::Pending`] when that has passed.
    pub fn next_timeout(&mut self, limit: Duration) -> Poll<Option<Result<Entry, Error>>> {
        self.wait(Some(limit)).map_or(Poll::Pending, Poll::Ready)
    }

    /// The next entry, for whoever awaits it; no runtime is needed. Dropping the future loses nothing: the
    /// entry is handed out by the next call.
    ///
    /// # Errors
    /// As the iterator's.
    pub async fn next_entry(&mut self) -> Option<Result<Entry, Error>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Follower::next_entry`], for a stream: when it is pending, the waker is called once there is more.
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
            match self.core.commits.poll_watch(watch, context) {
                Poll::Pending => return Poll::Pending,
                // Whatever it was: the next look tells.
                Poll::Ready(_) => self.give_up_watch(),
            }
        }
    }

    fn wait(&mut self, limit: Option<Duration>) -> Option<Option<Result<Entry, Error>>> {
        // Mostly there is one, and then nothing is allocated to sleep on.
        if let Ok(item) = self.advance() {
            return Some(item);
        }
        block_on(|context| self.poll_next(context), limit)
    }

    /// What there is without waiting; or the number for which a watermark is to be watched.
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
                && self.core.commits.cuts() == self.cuts
                && let Some(entry) = self.cursor.read(self.core.library.as_ref(), self.next)?
            {
                self.next = self.next.advance(1).unwrap_or(Sequence::MAX);
                return Ok(Step::Entry(self.tally.counted(entry)));
            }
            self.limit = self.next;
            let standing = self.core.commits.standing(self.mark, self.cuts);
            let snapshot = self.core.commits.target().snapshot();
            if self.core.commits.cuts() != standing.cuts {
                // The snapshot may hold other entries than those that the watermark counts.
                continue;
            }
            if let Some(over) = self.look(&snapshot, standing)? {
                return Ok(over);
            }
        }
    }

    /// Moves the limit to where the log is now; tells what to do when nothing lies in front of it.
    fn look(&mut self, snapshot: &Snapshot, standing: Standing<Error>) -> Result<Option<Step>, Error> {
        // In the middle of a cut the snapshot is the first to fall back.
        let cut_from = standing.cut_from.unwrap_or(u64::MAX).min(snapshot.next().value());
        if cut_from < self.next.value() {
            return Err(wal_sync::Error::Truncated { from: cut_from }.into());
        }
        self.cuts = standing.cuts;
        if self.next < snapshot.first() {
            return Err(self.core.library.out_of_range(snapshot, &format_args!("follow from {}", self.next)));
        }
        let position = Sequence::try_from(standing.position).unwrap_or(Sequence::MAX);
        self.limit = position.min(snapshot.next());
        if self.next < self.limit {
            self.cursor.renew(self.core.library.as_ref(), snapshot, self.next)?;
            return Ok(None);
        }
        self.cursor.rest(snapshot);
        match standing.over {
            // What the watermark has passed is being cut off, and that is what is waited for.
            None if position > self.next => Ok(Some(Step::Wait(u64::MAX))),
            None => Ok(Some(Step::Wait(self.next.value()))),
            Some(wal_sync::Error::Closed) => Ok(Some(Step::End)),
            Some(failure) => Err(failure.into()),
        }
    }

    fn give_up_watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            self.core.commits.unwatch(&watch);
        }
    }
}

impl Iterator for Follower {
    type Item = Result<Entry, Error>;

    /// Waits for the next entry; `None` when there will be none.
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
