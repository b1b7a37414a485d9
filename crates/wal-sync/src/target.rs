//! What is synced.

/// Something whose writes can be made durable.
pub trait SyncTarget {
    /// Why it could not; cloned for everybody who waits.
    type Error: Clone;

    /// Makes durable at least everything that was written before the call, and returns the number of
    /// the first entry that is not covered.
    ///
    /// # Errors
    /// Why nothing is known about what was written. It is not called again after that.
    fn sync(&self) -> Result<u64, Self::Error>;
}
