//! Options for what is kept: retention, a cap, holds, and when segments end.

use std::time::Duration;

use wal_format::MIN_SEGMENT_BYTES;

use crate::error::{Error, ErrorKind};
use crate::options::Options;

/// What is kept of a log, and for how long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeping {
    pub(crate) retain_bytes: Option<u64>,
    pub(crate) retain_entries: Option<u64>,
    pub(crate) retain_age: Option<Duration>,
    pub(crate) max_log_bytes: Option<u64>,
    pub(crate) when_full: WhenFull,
    pub(crate) hold_limit_bytes: Option<u64>,
    pub(crate) roll_after: Option<Duration>,
}

/// What an append does that would take the log above [`Options::max_log_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// It gets [`ErrorKind::NoSpace`].
    #[default]
    Refuse,
    /// It waits until there is room, or the log is closed.
    Wait,
}

/// # Retention and the cap
/// The limits of retention (`retain_bytes`, `retain_entries`, `retain_age`) drop nothing before the application calls
/// [`Wal::start_retention`](crate::Wal::start_retention), after every open. Holds are kept in memory, so an
/// application first takes again those that its consumers need, and then starts retention:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path();
/// # let position = 0;
/// let wal = wal::Options::new().retain_bytes(1 << 30).open(directory)?;
/// // Where the consumer stopped, which it has stored itself.
/// let hold = wal.hold("archive", position)?;
/// wal.start_retention()?;
/// # drop(hold);
/// # Ok(())
/// # }
/// ```
///
/// From then on each limit is an upper bound: while the log exceeds any of them, the oldest segment is dropped,
/// whole. Never one that a [hold](crate::Wal::hold) needs, and never the last one. That happens in the
/// background, on a thread of its own; without [`background`](Options::background) threads in the call that
/// began a segment, or ended one, and errors of it are counted in
/// [`Stats::keeping_errors`](crate::Stats::keeping_errors).
impl Options {
    /// Retention by size, from [`Wal::start_retention`](crate::Wal::start_retention) on: drops the oldest segment
    /// while the segments after it hold this many bytes, counted up to where the log
    /// ends in each. So at least this much stays, and at most a segment more. At least 1. Default: no limit.
    pub fn retain_bytes(mut self, bytes: u64) -> Options {
        self.keeping.retain_bytes = Some(bytes);
        self
    }

    /// Retention by number, from [`Wal::start_retention`](crate::Wal::start_retention) on: drops the oldest segment
    /// while the segments after it hold this many entries. So at least this many stay,
    /// and at most those of a segment more. At least 1. Default: no limit.
    pub fn retain_entries(mut self, entries: u64) -> Options {
        self.keeping.retain_entries = Some(entries);
        self
    }

    /// Retention by age, from [`Wal::start_retention`](crate::Wal::start_retention) on: drops the oldest segment
    /// when everything in it is older than this. A segment that had ended before this open counts from the
    /// time when the next one was begun. The last segment stays; [`Options::roll_after`] sees to it
    /// that it ends. The clock of the system is read at the open, for the age of what was there before; from then on a
    /// clock counts that cannot be set, and that may stand still while the machine is suspended. Default: no limit.
    pub fn retain_age(mut self, age: Duration) -> Options {
        self.keeping.retain_age = Some(age);
        self
    }

    /// Bounds what the segments take on the disk, in bytes: those of the log, those that are dropped and
    /// linger for readers, and the one to be begun. An append that would begin a segment beyond that is
    /// refused, or [waits](Options::when_full); what retention allows to drop is dropped first, once retention
    /// [has been started](crate::Wal::start_retention), and the error says when it has not. Nothing is
    /// poisoned: once [`truncate_before`](crate::Wal::truncate_before) has made room, appends go on. A
    /// [`truncate_after`](crate::Wal::truncate_after) may begin one segment beyond the bound.
    ///
    /// At least two segments more than [`retain_bytes`](Options::retain_bytes), or two segments without that. An entry or batch that would need a segment longer than half of it is
    /// [`ErrorKind::TooLarge`]. A log that takes more when it is opened appends to no new segment
    /// before enough of it is dropped. Default: no bound.
    pub fn max_log_bytes(mut self, bytes: u64) -> Options {
        self.keeping.max_log_bytes = Some(bytes);
        self
    }

    /// What an append does that would take the log above [`Options::max_log_bytes`]. Default:
    /// [`WhenFull::Refuse`].
    ///
    /// With [`WhenFull::Wait`] it keeps its number and waits for a truncation, retention (which the application may
    /// have to [start](crate::Wal::start_retention)), or a reader for which files
    /// linger; so do what is behind it, a [`Commit`](crate::Commit) and a [`Wal::sync`](crate::Wal::sync).
    /// At close they get [`ErrorKind::Closed`], and the close says why; one that joins while the close is under way may
    /// get [`ErrorKind::NoSpace`] instead. Submits that do not wait, or not
    /// for so long, get [`ErrorKind::Backpressure`] once as much is in flight as may be. Without
    /// [`background`](Options::background) threads nobody notices that a reader is gone before the next truncation.
    pub fn when_full(mut self, what: WhenFull) -> Options {
        self.keeping.when_full = what;
        self
    }

    /// How much a [`Hold`](crate::Hold) may keep of what would be dropped otherwise, in bytes of whole segment
    /// files. One that keeps more when something is dropped is overrun: it keeps nothing any more, and
    /// is told. When the drop fails, the hold stays valid. Each is measured by itself, whatever others keep. Default: no limit.
    pub fn hold_limit_bytes(mut self, bytes: u64) -> Options {
        self.keeping.hold_limit_bytes = Some(bytes);
        self
    }

    /// Ends a segment that has had its first entry for so long, as [`Wal::roll`](crate::Wal::roll) does, in the
    /// background, also while nothing is appended. Time while the log is not open counts, too: from when the segment was
    /// begun, by the clock of the system at the open. Without [`background`](Options::background) threads the
    /// next call that appends, syncs or flushes does it. Default: segments end when they are full.
    pub fn roll_after(mut self, age: Duration) -> Options {
        self.keeping.roll_after = Some(age);
        self
    }
}

impl Keeping {
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

    /// What can be checked before the log is known.
    pub(crate) fn check(&self, segment_bytes: Option<u64>) -> Result<(), Error> {
        for (name, limit) in [("retain_bytes", self.retain_bytes), ("retain_entries", self.retain_entries)] {
            if limit == Some(0) {
                return Err(Error::new(
                    ErrorKind::InvalidOptions,
                    format!("{name} is 0; it must be at least 1"),
                ));
            }
        }
        for (name, limit) in [("retain_age", self.retain_age), ("roll_after", self.roll_after)] {
            if limit == Some(Duration::ZERO) {
                return Err(Error::new(ErrorKind::InvalidOptions, format!("{name} is no time at all")));
            }
        }
        self.check_cap(segment_bytes.unwrap_or(MIN_SEGMENT_BYTES))
    }

    /// Whether the cap has room for two segments, and for what retention by bytes keeps.
    pub(crate) fn check_cap(&self, segment_bytes: u64) -> Result<(), Error> {
        let Some(most) = self.max_log_bytes else { return Ok(()) };
        let two = segment_bytes.saturating_mul(2);
        let invalid = |message| Err(Error::new(ErrorKind::InvalidOptions, message));
        if most < two {
            return invalid(format!(
                "max_log_bytes is {most}; it must be at least two segments of {segment_bytes} bytes"
            ));
        }
        match self.retain_bytes {
            Some(kept) if most < kept.saturating_add(two) => invalid(format!(
                "retain_bytes is {kept} and max_log_bytes {most}: retention may keep a segment more than retain_bytes, and \
                 appends need room for another one, so max_log_bytes must be at least retain_bytes and two segments of \
                 {segment_bytes} bytes"
            )),
            _ => Ok(()),
        }
    }
}
