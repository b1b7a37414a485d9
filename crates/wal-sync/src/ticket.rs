//! An entry that was joined and not waited for.

use std::task::{Context, Poll};

use crate::epoch::Epoch;
use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, Instant};

/// Tells when what was asked for is true of the entries of one call. Holds nothing but their epoch: it
/// may be kept for as long as one likes, and dropping it changes nothing.
#[derive(Debug)]
pub struct Ticket<E> {
    pub(crate) epoch: Arc<Epoch<E>>,
    pub(crate) asked: Durability,
    pub(crate) first: u64,
    /// After the last entry.
    pub(crate) end: u64,
    /// The number of the frame that they are in.
    pub(crate) frame: u64,
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
        self.epoch.outcome(self.asked, self.end)
    }

    /// Blocks until it is known how it went; `None` when `deadline` has passed.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<Result<(), Error<E>>> {
        self.epoch.wait(self.asked, self.end, self.frame, deadline)
    }

    /// As [`Ticket::wait`], for tasks.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), Error<E>>> {
        self.epoch.poll(self.asked, self.end, context)
    }
}
