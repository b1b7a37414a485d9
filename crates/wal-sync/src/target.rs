//! What is written and synced.

use std::ops::Deref;
use std::time::Duration;

/// Something that takes frames, and whose writes can be made durable.
///
/// At most one `write` and at most one `sync` are in flight at any time; they may run beside each other
/// unless [`Target::syncs_to_write`] says no.
pub trait Target: Send + Sync {
    /// Why it could not; cloned for every caller that waits.
    type Error: Clone + Send + Sync;
    /// What collects the entries of one write.
    type Frame: Send;

    /// An empty frame. Called under the lock, as is [`Target::clear`]: neither may fail, or take long.
    fn frame(&self) -> Self::Frame;

    /// Empties a frame, so that it is used again without an allocation.
    fn clear(&self, frame: &mut Self::Frame);

    /// Whether writing this frame takes a sync, as between two segments. Then it has both turns.
    fn syncs_to_write(&self, frame: &Self::Frame) -> bool;

    /// Writes all entries of the frame, the first of which has the number `first`. They are part of the
    /// log as a whole or not at all.
    ///
    /// # Errors
    /// [`Fault::Passing`] when none of them is part of the log, and it can take others under the same
    /// numbers, or the same frame once more. [`Fault::CapReached`] when it is to be kept until there is room.
    /// [`Fault::Final`] when nothing is known any more.
    fn write(&self, frame: &mut Self::Frame, first: u64) -> Result<Wrote, Fault<Self::Error>>;

    /// Makes durable at least everything that was written before the call, and returns the number of
    /// the first entry that is not covered.
    ///
    /// # Errors
    /// Why nothing is known about what was written. Neither this nor a write that takes a sync is called
    /// again after that.
    fn sync(&self) -> Result<u64, Self::Error>;

    /// What was joined so long ago has now been promised. Told of some frames, for measurements.
    fn acknowledged(&self, _took: Duration) {}
}

/// What a write has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrote {
    /// The number of the next entry.
    pub next: u64,
    /// The first entry that is not durable: more than before when a segment was ended on the way.
    pub durable: u64,
    /// A sync in the background would spare a later write from waiting for it.
    pub sync_soon: bool,
}

/// How a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// These entries are not part of the log; it goes on.
    Passing(E),
    /// There is no room for these entries; once a thread has made some, the same frame may be written. Of a
    /// truncation and of the end it is as [`Fault::Passing`].
    CapReached(E),
    /// The log must be opened anew.
    Final(E),
}

/// A target while one thread has both turns: nothing else writes, syncs or numbers. Only taking both turns makes one, so a function
/// that asks for it cannot be called without them.
#[derive(Debug)]
pub struct Alone<'a, T>(pub(crate) &'a T);

impl<T> Deref for Alone<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}
