//! The one error type of the facade: what happened, and what the caller can do about it.

use std::fmt;
use std::time::Duration;

use wal_segment::{Damage, DamageKind};

/// A failure of the log. Cheap to clone.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    cause: Cause,
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused; what was asked for did not happen.
    Io,
    /// There is no space left, or a quota is used up, or the bound that the options set. The log stays readable and
    /// takes appends again once there is space: truncate it, or make room.
    NoSpace,
    /// Acknowledged bytes are damaged. Nothing on disk was changed: [`Options::open_salvage`](crate::Options::open_salvage)
    /// reads what verifies.
    Corrupt,
    /// A segment is not there. Nothing on disk was changed.
    Missing,
    /// The log was written by a later version, or with a checksum kind that this build lacks: use a build that has it.
    Unsupported,
    /// The entry or batch is larger than the options allow; nothing was written.
    TooLarge,
    /// Another writer has the log open: wait until it is gone, or open a view, which needs no lock.
    Locked,
    /// There is no log in the directory.
    NoLog,
    /// There is a log in the directory, and [`OpenMode::CreateNew`](crate::OpenMode::CreateNew) asks for a new one.
    /// Nothing was changed.
    Exists,
    /// The numbers asked for are not in the log, or not any more: its front was dropped. Begin at
    /// [`Wal::first`](crate::Wal::first).
    OutOfRange,
    /// The end of the log was cut off, by a truncation: the entry was dropped before it was what was asked for, or
    /// after it was read. Another one gets its number: undo what was done with it. A failed write does the same to a
    /// wait for a watermark ([`Reached`](crate::Reached)), and to a reader of a [`View`](crate::View).
    Truncated,
    /// A sync failed, now or earlier, a thread panicked inside the log, or another program removed or replaced a file
    /// that the log had open. Nothing is known about what is on the disk, and nothing more is accepted: drop the log and
    /// open it again.
    Poisoned,
    /// The log was opened by another process, of which this one is a fork. Nothing was written: open the log in
    /// this process, once the other one has closed it.
    Forked,
    /// The log was closed, or its last handle was dropped before what was asked for was true.
    Closed,
    /// As much is in flight as the options allow, and the caller did not want to wait longer; nothing was
    /// appended.
    Backpressure,
    /// The next entry gets another number than the caller expected, as [`Error::next_sequence`] tells; nothing
    /// was appended.
    Conflict,
    /// The log ends in front of what the caller knows to have been acknowledged, as [`Error::next_sequence`]
    /// tells: an older state of the directory, or its end is lost. Nothing on disk was changed.
    RolledBack,
    /// The directory that a copy was to go to is not empty. Nothing was changed: name another one.
    NotEmpty,
    /// A hold kept more than the options allow, and the log went on without it: what it kept is
    /// gone. Take another one, where the log begins now.
    Overrun,
    /// A close has not ended within its limit. It goes on, and the log stays locked until it has ended;
    /// [`Error::durable_end`] tells what is durable.
    TimedOut,
    /// An option has a value that cannot work; nothing was opened. The message names it.
    InvalidOptions,
}

#[derive(Clone)]
enum Cause {
    Segment(wal_segment::Error),
    Message(String),
    Conflict { expected: u64, next: u64 },
    TimedOut { limit: Duration, durable: u64, written: u64 },
}

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where the log is damaged, when it is.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match &self.cause {
            Cause::Segment(wal_segment::Error::Damaged(damage)) => Some(damage),
            _ => None,
        }
    }

    /// The number of the next entry that was found, where another one was expected: for
    /// [`ErrorKind::Conflict`] and [`ErrorKind::RolledBack`].
    #[must_use]
    pub fn next_sequence(&self) -> Option<u64> {
        match &self.cause {
            Cause::Conflict { next, .. } => Some(*next),
            Cause::Segment(wal_segment::Error::RolledBack { next, .. }) => Some(next.value()),
            _ => None,
        }
    }

    /// Everything before this number is durable: for [`ErrorKind::TimedOut`]; `None` for every other kind.
    #[must_use]
    pub fn durable_end(&self) -> Option<u64> {
        match &self.cause {
            Cause::TimedOut { durable, .. } => Some(*durable),
            _ => None,
        }
    }

    pub(crate) fn timed_out(limit: Duration, durable: u64, written: u64) -> Error {
        Error { kind: ErrorKind::TimedOut, cause: Cause::TimedOut { limit, durable, written } }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, cause: Cause::Message(message.into()) }
    }
}

impl From<wal_segment::Error> for Error {
    fn from(error: wal_segment::Error) -> Error {
        Error { kind: kind_of(&error), cause: Cause::Segment(error) }
    }
}

impl From<wal_sync::Error<Error>> for Error {
    fn from(error: wal_sync::Error<Error>) -> Error {
        match error {
            wal_sync::Error::Failed(error) => error,
            wal_sync::Error::Closed => closed(),
            wal_sync::Error::Panicked => Error::new(
                ErrorKind::Poisoned,
                "the log is poisoned: a thread panicked while it wrote or synced",
            ),
            wal_sync::Error::Truncated { from } => {
                Error::new(ErrorKind::Truncated, format!("a truncation dropped the entries from {from} on"))
            }
            // The kind of the failed write is for its appender, who can make room or stop. A caller that waits for
            // the entry can do what it does after a truncation.
            failed @ wal_sync::Error::WriteFailed { .. } => {
                Error::new(ErrorKind::Truncated, failed.to_string())
            }
            wal_sync::Error::Conflict { expected, next } => {
                Error { kind: ErrorKind::Conflict, cause: Cause::Conflict { expected, next } }
            }
            wal_sync::Error::Backpressure => {
                Error::new(ErrorKind::Backpressure, "as much is in flight as max_in_flight_bytes allows")
            }
        }
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
            Cause::Message(message) => f.write_str(message),
            Cause::Conflict { expected, next } => {
                write!(f, "the next entry gets number {next}, and not {expected}: nothing was appended")
            }
            Cause::TimedOut { limit, durable, written } => write!(
                f,
                "the log is not closed after {limit:?}: everything before entry {durable} is durable, everything before \
                 entry {written} is written; the close goes on, and the log stays locked until it has ended"
            ),
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
            Cause::Message(_) | Cause::Conflict { .. } | Cause::TimedOut { .. } => None,
        }
    }
}
