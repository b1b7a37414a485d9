//! Options for retention, the cap, holds, and segments that roll over by age.

use std::time::Duration;

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::options::Options;
use crate::options::when_full::WhenFull;

/// # Retention and the cap
/// The limits of retention (`retain_bytes`, `retain_entries`, `retain_age`) drop nothing before the application calls
/// [`Wal::start_retention`](crate::Wal::start_retention), after every open. Holds are in memory only, so an application
/// first takes the holds of its consumers again, and then starts retention:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path();
/// # let position = 0;
/// let wal = wal::Options::new().retain_bytes(1 << 30).open(directory)?;
/// // The position that the consumer has stored.
/// let hold = wal.hold("archive", position)?;
/// wal.start_retention()?;
/// # drop(hold);
/// # Ok(())
/// # }
/// ```
///
/// Any limit alone lets a segment go: the oldest segment is dropped while one of them allows it, but never one that a
/// [hold](crate::Wal::hold) needs, and never the last one. That happens on a background thread; without
/// [`background`](Options::background) threads in the call that began or ended a segment. Failures are counted in
/// [`Stats::maintenance_errors`](crate::Stats::maintenance_errors).
impl Options {
    /// Retention by size, after [`Wal::start_retention`](crate::Wal::start_retention): the oldest segment is dropped while the
    /// segments after it hold this many bytes. By this limit at least this much is kept, and at most one segment more. At least 1.
    /// Default: no limit.
    pub fn retain_bytes(mut self, bytes: u64) -> Options {
        self.retain_bytes = Some(bytes);
        self
    }

    /// Retention by count, after [`Wal::start_retention`](crate::Wal::start_retention): the oldest segment is dropped while the
    /// segments after it hold this many entries. By this limit at least this many are kept, and at most one segment more. At least 1.
    /// Default: no limit.
    pub fn retain_entries(mut self, entries: u64) -> Options {
        self.retain_entries = Some(entries);
        self
    }

    /// Retention by age, after [`Wal::start_retention`](crate::Wal::start_retention): the oldest segment is dropped when every
    /// entry in it is older than this. A segment that ended before this open is dated by when the next one was begun. The last
    /// segment is never dropped; [`Options::roll_after`] makes it end. The system clock is read at the open, to date what was
    /// there before; after that a monotonic clock counts, which may stand still while the machine is suspended. Default: no
    /// limit.
    pub fn retain_age(mut self, age: Duration) -> Options {
        self.retain_age = Some(age);
        self
    }

    /// The cap: how much disk space all segments may take, in bytes, including those that are dropped but still open in a reader
    /// and the one about to be created. An append that would create a segment beyond the cap fails, or
    /// [waits](Options::when_full), after everything that retention allows is dropped; the error says when retention has not
    /// been [started](crate::Wal::start_retention). The log is not poisoned: appends succeed again after a
    /// [`truncate_before`](crate::Wal::truncate_before). A [`truncate_after`](crate::Wal::truncate_after) may create one segment
    /// beyond the cap.
    ///
    /// At least two segments more than [`retain_bytes`](Options::retain_bytes), or two segments without it. An entry or batch
    /// that would need a segment longer than half of the cap fails with [`ErrorKind::TooLarge`]. A log that is above the cap
    /// when it is opened creates no segment until enough of it is dropped. Under a cap, appends and syncs wait while dropped
    /// files are removed or renamed. Default: no cap.
    pub fn max_log_bytes(mut self, bytes: u64) -> Options {
        self.max_log_bytes = Some(bytes);
        self
    }

    /// What an append does that would take the log above [`Options::max_log_bytes`]. Default: [`WhenFull::Refuse`].
    ///
    /// With [`WhenFull::Wait`] the append keeps its number and waits for a truncation, for retention (which the application may
    /// have to [start](crate::Wal::start_retention)), or for a reader to close dropped files. A [`Commit`](crate::Commit) and a
    /// [`Wal::sync`](crate::Wal::sync) after it wait too. At close they fail with [`ErrorKind::Closed`], and the close says why;
    /// an append that arrives during the close may fail with [`ErrorKind::NoSpace`] instead. Submits that do not wait, or not
    /// that long, fail with [`ErrorKind::Backpressure`] once `max_in_flight_bytes` is reached. Without
    /// [`background`](Options::background) threads a closed reader is noticed only by the next truncation.
    pub fn when_full(mut self, what: WhenFull) -> Options {
        self.when_full = what;
        self
    }

    /// How much a [`Hold`](crate::Hold) may retain that would otherwise be dropped, in bytes of whole segment files. A hold that
    /// retains more when a segment is due to be dropped is invalidated, as PostgreSQL invalidates a replication slot: it retains
    /// nothing any more, and reports that. When the drop fails, the hold stays valid. Each hold is measured by itself. Default:
    /// no limit.
    pub fn hold_limit_bytes(mut self, bytes: u64) -> Options {
        self.hold_limit_bytes = Some(bytes);
        self
    }

    /// Rolls a segment over when its first entry is this old, as [`Wal::roll`](crate::Wal::roll) does, in the background, also
    /// while nothing is appended. Time while the log is not open counts: from when the segment was begun, by the system clock at
    /// the open. Without [`background`](Options::background) threads the next call that appends, syncs or flushes does it.
    /// Default: segments roll over only by size.
    pub fn roll_after(mut self, age: Duration) -> Options {
        self.roll_after = Some(age);
        self
    }
}

impl Options {
    /// Whether something is dropped without being asked for.
    pub(crate) fn retains(&self) -> bool {
        self.retain_bytes.is_some() || self.retain_entries.is_some() || self.retain_age.is_some()
    }

    /// Whether there is something to be done in the background.
    pub(crate) fn wants_a_thread(&self) -> bool {
        self.retains() || self.roll_after.is_some() || self.waits()
    }

    /// Whether appends wait for room.
    pub(crate) fn waits(&self) -> bool {
        self.max_log_bytes.is_some() && self.when_full == WhenFull::Wait
    }

    /// The longest segment of which the cap has room for two.
    pub(crate) fn longest_segment_bytes(&self) -> Option<u64> {
        self.max_log_bytes.map(|bytes| bytes / 2)
    }
}
