//! The error type of this crate: the message tells what happened, the kind what the caller can do.

use std::fmt;
use std::time::Duration;

use wal_segment::{Damage, DamageKind};

/// An error of the log: a message with the place, and an [`ErrorKind`]. Cheap to clone.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    cause: Cause,
}

/// The kind of an [`Error`]: what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system returned an error. Unless the method says otherwise, the operation did not happen.
    Io,
    /// The disk is full, a quota is used up, or the log has reached the size limit of its options. It stays readable and
    /// accepts appends again once there is space: truncate it, or free disk space.
    NoSpace,
    /// Acknowledged bytes are damaged. Nothing on disk was changed. [`Options::open_salvage`](crate::Options::open_salvage)
    /// reads what verifies.
    Corrupt,
    /// A segment file is missing. Nothing on disk was changed.
    Missing,
    /// The log has a later format version, or a checksum kind that this build lacks: use a build that supports it.
    Unsupported,
    /// The entry or batch exceeds the limit of the options; nothing was written.
    TooLarge,
    /// Another writer has the log open: wait until it closes, or open a view, which needs no lock.
    Locked,
    /// There is no log in the directory.
    NoLog,
    /// There is a log in the directory, and [`OpenMode::CreateNew`](crate::OpenMode::CreateNew) asks for a new one.
    /// Nothing was changed.
    Exists,
    /// The log does not contain the sequence numbers, or no longer: the oldest entries were dropped. Begin at
    /// [`Wal::first`](crate::Wal::first).
    OutOfRange,
    /// A truncation dropped the entry, before it was written or durable, or after it was read. Another entry gets its
    /// number: undo what was done with it. A failed write has the same effect on a wait for a watermark
    /// ([`Reached`](crate::Reached)) and on a reader of a [`View`](crate::View).
    Truncated,
    /// An fsync failed, now or earlier, a thread panicked inside the log, or another program removed or replaced a file
    /// that the log had open. What is on the disk is unknown, and the log accepts nothing more: drop it and open it
    /// again.
    Poisoned,
    /// The log was opened by the process that this one was forked from. Nothing was written: open the log in this
    /// process once the other one has closed it.
    Forked,
    /// The log was closed, or its last handle was dropped, before the operation completed.
    Closed,
    /// There is no room to append now (too many bytes are in flight, a full frame is being written, or the log is being
    /// truncated), and the caller did not want to wait longer; nothing was appended.
    Backpressure,
    /// The next entry gets another sequence number than the caller expected: [`Error::next_sequence`]. Nothing was
    /// appended.
    Conflict,
    /// The log ends before an entry that the caller knows to be acknowledged, at [`Error::next_sequence`]. The directory
    /// is in an older state, or its end is lost. Nothing on disk was changed.
    RolledBack,
    /// The target directory of a copy is not empty. Nothing was changed: name another one.
    NotEmpty,
    /// The hold kept more than the options allow and was invalidated: entries that it kept are dropped. Take another
    /// hold where the log begins now.
    Invalidated,
    /// A close did not finish within its limit. It goes on, and the log stays locked until it has finished.
    /// [`Error::durable_end`] returns what is durable.
    TimedOut,
    /// An option has an invalid value, which the message names; nothing was opened.
    InvalidOptions,
}

#[derive(Clone)]
enum Cause {
    Segment(wal_segment::Error),
    /// With the number that [`Error::next_sequence`] or [`Error::durable_end`] returns.
    Message(String, Option<u64>),
}

impl Error {
    /// The kind of the error: what the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where the log is damaged, for the error of a damaged log.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match &self.cause {
            Cause::Segment(wal_segment::Error::Damaged(damage)) => Some(damage),
            _ => None,
        }
    }

    /// The next sequence number of the log, for [`ErrorKind::Conflict`] and [`ErrorKind::RolledBack`]; `None` for
    /// every other kind.
    #[must_use]
    pub fn next_sequence(&self) -> Option<u64> {
        match &self.cause {
            Cause::Message(_, number) if self.kind == ErrorKind::Conflict => *number,
            Cause::Segment(wal_segment::Error::RolledBack { next, .. }) => Some(next.value()),
            _ => None,
        }
    }

    /// The end of the durable log, for [`ErrorKind::TimedOut`]: every entry before this number is durable. `None` for
    /// every other kind.
    #[must_use]
    pub fn durable_end(&self) -> Option<u64> {
        match &self.cause {
            Cause::Message(_, number) if self.kind == ErrorKind::TimedOut => *number,
            _ => None,
        }
    }

    pub(crate) fn timed_out(limit: Duration, durable: u64, written: u64) -> Error {
        let message = format!(
            "the log is not closed after {limit:?}: everything before entry {durable} is durable, everything before \
             entry {written} is written; the close goes on, and the log stays locked until it has ended"
        );
        Error { kind: ErrorKind::TimedOut, cause: Cause::Message(message, Some(durable)) }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, cause: Cause::Message(message.into(), None) }
    }
}

impl From<wal_segment::Error> for Error {
    fn from(error: wal_segment::Error) -> Error {
        Error { kind: kind_of(&error), cause: Cause::Segment(error) }
    }
}

impl From<wal_sync::Error<Error>> for Error {
    fn from(error: wal_sync::Error<Error>) -> Error {
        let (kind, number) = match &error {
            wal_sync::Error::Failed(error) => return error.clone(),
            wal_sync::Error::Closed => (ErrorKind::Closed, None),
            wal_sync::Error::Panicked => (ErrorKind::Poisoned, None),
            // The appender gets the kind of the failed write. A caller that waits for the entry can only do what it
            // does after a truncation.
            wal_sync::Error::Truncated { .. } | wal_sync::Error::WriteFailed { .. } => {
                (ErrorKind::Truncated, None)
            }
            wal_sync::Error::Conflict { next, .. } => (ErrorKind::Conflict, Some(*next)),
            wal_sync::Error::Backpressure => (ErrorKind::Backpressure, None),
        };
        Error { kind, cause: Cause::Message(error.to_string(), number) }
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the log is closed")
}

fn kind_of(error: &wal_segment::Error) -> ErrorKind {
    use wal_segment::Error as Segment;
    match error {
        full if full.is_out_of_space() => ErrorKind::NoSpace,
        Segment::Damaged(Damage { kind: DamageKind::Missing, .. }) => ErrorKind::Missing,
        Segment::Damaged(_) => ErrorKind::Corrupt,
        Segment::Unsupported { .. } => ErrorKind::Unsupported,
        Segment::Locked { .. } => ErrorKind::Locked,
        Segment::NoLog { .. } => ErrorKind::NoLog,
        Segment::Exists { .. } => ErrorKind::Exists,
        Segment::RolledBack { .. } => ErrorKind::RolledBack,
        Segment::NotEmpty { .. } => ErrorKind::NotEmpty,
        Segment::OutOfRange { .. } | Segment::Dropped { .. } => ErrorKind::OutOfRange,
        Segment::CutOff { .. } => ErrorKind::Truncated,
        Segment::CapReached(_) => ErrorKind::NoSpace,
        Segment::OutOfNumbers => ErrorKind::TooLarge,
        Segment::Poisoned(_) | Segment::Exchanged { .. } => ErrorKind::Poisoned,
        _ => ErrorKind::Io,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Segment(error @ wal_segment::Error::Damaged(_)) => {
                write!(f, "{error}; Options::open_salvage reads what is left of the log")
            }
            Cause::Segment(error) => error.fmt(f),
            Cause::Message(message, _) => f.write_str(message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Segment(error) => error.source(),
            Cause::Message(..) => None,
        }
    }
}
