//! [`Health`]: the answer to a health probe.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// The health of a log at one moment. Displays as everything that is wrong, or `healthy`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The error that poisoned the log: a sync failed, a file of the log was replaced, or a thread panicked. The log accepts nothing more
    /// until it is opened again.
    pub poisoned: Option<Error>,
    /// Whether the log was closed.
    pub closed: bool,
    /// Whether the path that the log was opened under leads to another directory: the log's was moved, replaced, hidden
    /// by a mount or removed, or a symbolic link on the path was changed. The log goes on in the directory that it opened.
    /// Checked before each new segment and each write of the anchor: once a segment, and with background threads
    /// also about a second after an append that was synced.
    pub displaced: bool,
    /// An operation that has run for [`slow_sync`](crate::Options::slow_sync) or longer.
    pub stalled: Option<Stall>,
    /// Free space of the file system, when it was last queried.
    pub space: Space,
    /// The reason why appends wait for space, while they do: the log has reached
    /// [`max_log_bytes`](crate::Options::max_log_bytes), and nothing was dropped yet.
    pub no_room: Option<Error>,
    /// The error of preparing the next segment, when the last attempt failed. An append that needs the segment tries
    /// again, and fails when that fails, too.
    pub spare_failure: Option<Error>,
    /// The error of writing the anchor, when the last attempt failed. It is tried again; meanwhile damage to more of
    /// the end of the log would go undetected.
    pub anchor_failure: Option<Error>,
}

/// An operation that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The operation.
    pub what: Operation,
    /// How long it has been running, at least.
    pub lasted: Duration,
}

/// An operation that the log is performing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// An fsync of appended entries.
    Sync,
    /// A query for the free space of the file system. Only the next segment waits for it.
    Space,
    /// A write, a rollover with its syncs, or a truncation. It is detected when it was running at two probes that are far
    /// enough apart.
    Write,
}

/// Free space of the log's file system, as it was `age` ago.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Space {
    /// Bytes available to this process; `None` where the system does not report it.
    pub free_bytes: Option<u64>,
    /// Bytes that should be free: a segment, or [`low_space_bytes`](crate::Options::low_space_bytes).
    pub needed_bytes: u64,
    /// The error of the last query.
    pub failure: Option<Error>,
    /// The time since the last query. Each [`Wal::health`] triggers a new one, on the thread `wal-files`, or without
    /// [`background`](crate::Options::background) threads in the next call that appends, syncs or flushes. If the age
    /// exceeds the interval between two probes, the file system does not answer.
    ///
    /// [`Wal::health`]: crate::Wal::health
    pub age: Duration,
}

impl Space {
    /// Whether less than `needed_bytes` is free.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free_bytes.is_some_and(|free| free < self.needed_bytes)
    }
}

impl Health {
    /// Whether the log is open and nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.troubles().next().is_none()
    }

    /// What is wrong.
    fn troubles(&self) -> impl Iterator<Item = String> {
        let failed = |what: &str, error: &Option<Error>| error.as_ref().map(|error| format!("{what}{error}"));
        let displaced = "the path of the log leads elsewhere: it goes on in the directory that it opened";
        let Space { free_bytes, needed_bytes, failure, .. } = &self.space;
        let low = free_bytes.filter(|_| self.space.is_low());
        [
            failed("", &self.poisoned),
            self.closed.then(|| "the log is closed".to_owned()),
            self.displaced.then(|| displaced.to_owned()),
            self.stalled.map(|Stall { what, lasted }| format!("a {what} has not ended for {lasted:?}")),
            low.map(|free_bytes| format!("{free_bytes} bytes are free, and {needed_bytes} are needed")),
            failed("", failure),
            failed("appends wait for space: ", &self.no_room),
            failed("the next segment is not prepared: ", &self.spare_failure),
            failed("the anchor is not written: ", &self.anchor_failure),
        ]
        .into_iter()
        .flatten()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let troubles: Vec<String> = self.troubles().collect();
        if troubles.is_empty() { f.write_str("healthy") } else { f.write_str(&troubles.join("; ")) }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Sync => "sync",
            Operation::Write => "write",
            Operation::Space => "query for the free space",
        })
    }
}
