//! Waiting: a [`Commit`] for submitted entries, a [`Reached`] for a watermark.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use wal_sync::primitives::{block_on, now};
use wal_sync::{Mark, Ticket, Watch};

use crate::engine::Engine;
use crate::engine::fork::ForkGuard;
use crate::error::Error;

/// The pending commit of submitted entries, to be waited for by blocking or by `await`; no runtime is needed. It is
/// done when the entries have the durability that was asked for.
///
/// Dropping it does not cancel the entries; their outcome is then not reported. It keeps neither the log open nor its
/// lock. When the log ends first, it fails with [`Closed`](crate::ErrorKind::Closed).
///
/// The thread that wrote or synced, often one of the log's, calls the task's waker, under no lock. The waker may
/// append, submit, and wait for what it submits. While it runs, other callers lead and sync for themselves, and
/// commits that no thread waits for make no progress. A waker that waits for a [`Reached`] may wait for ever.
#[must_use = "nothing is guaranteed before it was waited for"]
pub struct Commit {
    pub(super) ticket: Ticket<Error>,
    pub(super) entries: u64,
    /// Without background threads: the waiting caller writes and syncs through this.
    pub(super) engine: Option<Arc<Engine>>,
    pub(super) fork_guard: ForkGuard,
}

impl Commit {
    /// The sequence number of the first entry. If the commit fails, another entry gets it.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.ticket.first()
    }

    /// The sequence numbers of all its entries.
    #[must_use]
    pub fn sequences(&self) -> Range<u64> {
        self.ticket.first()..self.ticket.first() + self.entries
    }

    /// Blocks until the entries have the durability that was asked for, and returns the number of the first one. An
    /// outcome is final, also when a truncation drops the entries later.
    ///
    /// # Errors
    /// As [`Wal::append`](crate::Wal::append).
    pub fn wait(&self) -> Result<u64, Error> {
        self.wait_until(None).expect("without a deadline there is an outcome")
    }

    /// As [`Commit::wait`], for at most `limit`; `None` when that has passed.
    pub fn wait_timeout(&self, limit: Duration) -> Option<Result<u64, Error>> {
        self.wait_until(Some(limit))
    }

    /// The outcome, without waiting; `None` while the commit is pending.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<u64, Error>> {
        let outcome = self.ticket.outcome()?;
        Some(outcome.map(|()| self.sequence()).map_err(Error::from))
    }

    fn wait_until(&self, limit: Option<Duration>) -> Option<Result<u64, Error>> {
        if self.ticket.outcome().is_none()
            && let Err(forked) = self.fork_guard.check()
        {
            return Some(Err(forked));
        }
        let deadline = limit.and_then(|limit| now().checked_add(limit));
        let outcome = match &self.engine {
            Some(engine) => {
                let outcome = engine.commits.wait(&self.ticket, deadline);
                engine.run_due_work();
                outcome
            }
            None => self.ticket.wait(deadline),
        };
        Some(outcome?.map(|()| self.sequence()).map_err(Error::from))
    }
}

impl Future for Commit {
    type Output = Result<u64, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.engine.is_some() {
            return Poll::Ready(self.wait());
        }
        let outcome = ready!(self.ticket.poll(context));
        Poll::Ready(outcome.map(|()| self.sequence()).map_err(Error::from))
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("sequences", &self.sequences())
            .field("asked", &self.ticket.asked())
            .field("outcome", &self.outcome())
            .finish()
    }
}

/// A wait until an entry is written or durable, by blocking or by `await`. It triggers no write and no sync: another
/// call, or the sync policy, has to. Dropping it cancels the wait.
///
/// It waits for the entry that has the number when this is created, or else for the first one to get it. When that entry
/// is truncated or its write fails, the wait fails, even if another entry has got the number since.
#[must_use = "nothing is known before it was waited for"]
pub struct Reached {
    engine: Arc<Engine>,
    watch: Watch,
}

impl Reached {
    pub(crate) fn new(engine: Arc<Engine>, mark: Mark, sequence: u64) -> Reached {
        let watch = engine.commits.watch(mark, sequence);
        Reached { engine, watch }
    }

    /// Blocks until the watermark has passed the entry.
    ///
    /// # Errors
    /// [`Poisoned`](crate::ErrorKind::Poisoned) or [`Closed`](crate::ErrorKind::Closed) when it never will;
    /// [`Truncated`](crate::ErrorKind::Truncated) when a truncation dropped the entry, or its write failed: another
    /// entry gets the number. It is `Truncated` whatever the write failed with; only the appender gets that error. A
    /// failed write does not end the wait for a number that no entry had yet, nor for a
    /// [buffered](crate::Options::buffered) entry, which keeps its number until a later call writes it.
    pub fn wait(mut self) -> Result<(), Error> {
        self.engine.fork_guard().check()?;
        let reached = block_on(|context| self.engine.commits.poll_watch(&mut self.watch, context), None);
        reached.expect("without a limit there is an outcome").map_err(Error::from)
    }

    /// As [`Reached::wait`], for at most `limit`; `None` when that has passed.
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<Result<(), Error>> {
        if let Err(forked) = self.engine.fork_guard().check() {
            return Some(Err(forked));
        }
        let Reached { engine, watch } = self;
        let reached = block_on(|context| engine.commits.poll_watch(watch, context), Some(limit));
        reached.map(|reached| reached.map_err(Error::from))
    }
}

impl Future for Reached {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Reached { engine, watch } = &mut *self;
        engine.commits.poll_watch(watch, context).map_err(Error::from)
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        self.engine.commits.unwatch(&self.watch);
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reached").field(&self.watch).finish()
    }
}
