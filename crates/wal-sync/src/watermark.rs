//! A number that only grows, unless what it counts is cut off.

use crate::primitives::{AtomicU64, Ordering};

/// The number of the first entry that something is *not* true of yet: written, durable.
#[derive(Debug, Default)]
pub(crate) struct Watermark(AtomicU64);

impl Watermark {
    /// A watermark that stands at `next`.
    #[must_use]
    pub(crate) fn new(next: u64) -> Watermark {
        Watermark(AtomicU64::new(next))
    }

    /// Where it stands. A thread that sees it has also seen what happened before it was moved there.
    #[must_use]
    pub(crate) fn position(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves it. The caller holds the lock, so one thread at a time moves it.
    pub(crate) fn set(&self, next: u64) {
        self.0.store(next, Ordering::Release);
    }
}

/// Which watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The operating system has the entry.
    Written,
    /// A sync covered the entry.
    Durable,
}
