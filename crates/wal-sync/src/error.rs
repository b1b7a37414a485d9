//! Why a promise could not be given.

use std::fmt;

/// What a caller is told instead of a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// What the target said.
    Failed(E),
    /// A thread panicked while it wrote or synced, so nothing is known any more.
    Panicked,
    /// The log was closed, or its last handle was dropped.
    Closed,
    /// A truncation dropped every entry from this number on. What was asked for is true of those before
    /// it.
    Truncated {
        /// The number of the first entry that was dropped.
        from: u64,
    },
    /// The write of the entries from this number on failed, and their numbers are given again: the entry that
    /// was waited for will never be there.
    WriteFailed {
        /// The number of the first entry whose write failed.
        from: u64,
    },
    /// As much is in flight as is allowed, and the caller did not want to wait longer.
    Backpressure,
    /// The next entry gets another number than the caller expected. Nothing was appended.
    Conflict {
        /// The number that was expected.
        expected: u64,
        /// The number that the next entry gets.
        next: u64,
    },
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(error) => error.fmt(f),
            Error::Panicked => f.write_str("the log is poisoned: a thread panicked while it wrote or synced"),
            Error::Closed => f.write_str("the log is closed"),
            Error::Truncated { from } => write!(f, "a truncation dropped the entries from {from} on"),
            Error::WriteFailed { from } => {
                write!(f, "the write of the entries from {from} on failed, and their numbers are given again")
            }
            Error::Backpressure => f.write_str(
                "no room to append now: the bytes in flight have reached max_in_flight_bytes, or the log is \
                 writing or being truncated; nothing was appended",
            ),
            Error::Conflict { expected, next } => {
                write!(f, "the next entry gets number {next}, and not {expected}: nothing was appended")
            }
        }
    }
}

impl<E: std::error::Error> std::error::Error for Error<E> {}
