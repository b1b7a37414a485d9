//! An entry that was joined and not waited for.

use std::task::{Context, Poll};

use crate::error::Error;
use crate::group::{Group, WakerPlace};
use crate::policy::Durability;
use crate::primitives::{Arc, Instant};

/// Tells when what was asked for is true of the entries of one call. Holds nothing but their group: it
/// may be kept for as long as one likes, and dropping it changes nothing.
#[derive(Debug)]
pub struct Ticket<E> {
    pub(crate) group: Arc<Group<E>>,
    pub(crate) asked: Durability,
    pub(crate) first: u64,
    /// Behind the last entry.
    pub(crate) end: u64,
    /// Where this task's waker is among the group's.
    pub(crate) waker_place: Option<WakerPlace>,
}

impl<E: Clone> Ticket<E> {
    /// The number of the first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// What was asked for.
    #[must_use]
    pub fn asked(&self) -> Durability {
        self.asked
    }

    /// How it went, if that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<(), Error<E>>> {
        self.group.outcome(self.asked).map(|outcome| Error::unless_kept(outcome, self.end))
    }

    /// Blocks until it is known how it went; `None` when `deadline` has passed.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<Result<(), Error<E>>> {
        self.group.wait(self.asked, deadline).map(|outcome| Error::unless_kept(outcome, self.end))
    }

    /// As [`Ticket::wait`], for tasks.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), Error<E>>> {
        let polled = self.group.poll(self.asked, &mut self.waker_place, context);
        polled.map(|outcome| Error::unless_kept(outcome, self.end))
    }
}
