//! Entries that were submitted, and watermarks that somebody waits for.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use wal_sync::primitives::{block_on, now};
use wal_sync::{Mark, Ticket, Watch};

use crate::engine::Core;
use crate::engine::fork::Owner;
use crate::error::Error;

/// Entries that are numbered, and not yet what was asked for. To be waited for, by blocking or by
/// `await`; no runtime is needed.
///
/// Dropping it changes nothing: the entries stay where they are, and nobody is told how it went. It keeps
/// neither the log open nor its lock. When the log ends first, it says [`Closed`](crate::ErrorKind::Closed).
///
/// A task's waker is called by the thread that wrote or synced, often one of the log's, under no lock. It may
/// append, submit and wait for what it submits; as long as it runs, others lead and sync for themselves, and
/// commits that no thread waits for stand still. One that waits for a [`Reached`] may wait for ever.
#[must_use = "nothing is promised before it was waited for"]
pub struct Commit {
    ticket: Ticket<Error>,
    entries: u64,
    /// Where no thread does it, whoever waits writes and syncs.
    core: Option<Arc<Core>>,
    owner: Owner,
}

impl Commit {
    pub(crate) fn new(ticket: Ticket<Error>, entries: u64, core: Option<Arc<Core>>, owner: Owner) -> Commit {
        Commit { ticket, entries, core, owner }
    }

    /// The number of the first entry. If the commit fails, another entry gets it.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.ticket.first()
    }

    /// The numbers of all its entries.
    #[must_use]
    pub fn sequences(&self) -> Range<u64> {
        self.ticket.first()..self.ticket.first() + self.entries
    }

    /// Blocks until what was asked for is true, and returns the number of the first entry. What was true once
    /// stays so, also when a truncation drops the entry later.
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

    /// How it went, if that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<u64, Error>> {
        let outcome = self.ticket.outcome()?;
        Some(outcome.map(|()| self.sequence()).map_err(Error::from))
    }

    fn wait_until(&self, limit: Option<Duration>) -> Option<Result<u64, Error>> {
        if self.ticket.outcome().is_none()
            && let Err(forked) = self.owner.check()
        {
            return Some(Err(forked));
        }
        let deadline = limit.and_then(|limit| now().checked_add(limit));
        let outcome = match &self.core {
            Some(core) => {
                let outcome = core.commits.wait(&self.ticket, deadline);
                core.call_back();
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
        if self.core.is_some() {
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

/// Waits until a watermark has passed an entry, by blocking or by `await`. It asks for no write and no
/// sync: another call, or the policy, has to. Dropping it gives up.
///
/// It is `Ok` for the entry that has the number when this is made, or that is the first to get it. When that entry is
/// truncated, or its write fails, the wait ends with an error, also when another entry got the number since.
#[must_use = "nothing is known before it was waited for"]
pub struct Reached {
    core: Arc<Core>,
    watch: Watch,
}

impl Reached {
    pub(crate) fn new(core: Arc<Core>, mark: Mark, sequence: u64) -> Reached {
        let watch = core.commits.watch(mark, sequence);
        Reached { core, watch }
    }

    /// Blocks until the watermark has passed the entry.
    ///
    /// # Errors
    /// [`Poisoned`](crate::ErrorKind::Poisoned) or [`Closed`](crate::ErrorKind::Closed) when it never will;
    /// [`Truncated`](crate::ErrorKind::Truncated) when a truncation dropped the entry meanwhile, or its write
    /// failed: another entry gets the number. It is `Truncated` whatever the write failed with, which its appender
    /// is told: here there is nothing to do but to forget the entry. A number that no entry had when the write
    /// failed is waited for on; and a [buffered](crate::Options::buffered) entry keeps its number and is
    /// waited for until a later call has written it.
    pub fn wait(mut self) -> Result<(), Error> {
        self.core.owner().check()?;
        let reached = block_on(|context| self.core.commits.poll_watch(&mut self.watch, context), None);
        reached.expect("without a limit there is an outcome").map_err(Error::from)
    }

    /// As [`Reached::wait`], for at most `limit`; `None` when that has passed.
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<Result<(), Error>> {
        if let Err(forked) = self.core.owner().check() {
            return Some(Err(forked));
        }
        let Reached { core, watch } = self;
        let reached = block_on(|context| core.commits.poll_watch(watch, context), Some(limit));
        reached.map(|reached| reached.map_err(Error::from))
    }
}

impl Future for Reached {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Reached { core, watch } = &mut *self;
        core.commits.poll_watch(watch, context).map_err(Error::from)
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        self.core.commits.unwatch(&self.watch);
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reached").field(&self.watch).finish()
    }
}
