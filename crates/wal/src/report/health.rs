//! Whether the log can do its work, as a probe is answered.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// Whether the log can do its work, at one moment. As text it says what is wrong, or `healthy`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Why nothing is accepted until the log is opened again: a sync failed, or a file of the log was exchanged.
    pub poisoned: Option<Error>,
    /// Whether it was closed.
    pub closed: bool,
    /// Whether the path that the log was opened under leads elsewhere: its directory was moved, replaced, hidden by a
    /// mount or removed, or a symbolic link on the path was changed. The log goes on in the directory that it opened.
    /// It is looked at before each new segment and each write of the anchor: once a segment, and with background threads
    /// also about a second after an append that was synced.
    pub displaced: bool,
    /// What has not ended for longer than [`slow_sync`](crate::Options::slow_sync) allows.
    pub stalled: Option<Stall>,
    /// What the file system had left when it was asked last.
    pub space: Space,
    /// Why appends wait for room under [`max_log_bytes`](crate::Options::max_log_bytes), when they do: the log is at its
    /// bound, and nothing has made room yet.
    pub no_room: Option<Error>,
    /// Why the next segment could not be prepared, when the last attempt failed. An append that needs one has it
    /// prepared again, and gets the error when that fails, too.
    pub spare_failure: Option<Error>,
    /// Why the anchor could not be written, when the last attempt failed. It is tried again; meanwhile more of
    /// the end of the log may be damaged without a trace.
    pub anchor_failure: Option<Error>,
}

/// Something that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// What it is.
    pub what: InHand,
    /// For how long it has been in hand, at least.
    pub lasted: Duration,
}

/// What somebody is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InHand {
    /// A sync of what was appended.
    Sync,
    /// A question to the file system for its free space. Nothing waits for it but the next segment.
    Space,
    /// A write, a rollover with its syncs, or a truncation. It shows when two questions lie far enough apart and
    /// it was in hand at both.
    Write,
}

/// Room on the file system of the log, as it was `age` ago.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Space {
    /// What the system still gives to this process, in bytes; `None` where it does not tell.
    pub free_bytes: Option<u64>,
    /// What should be free, in bytes: a segment, or [`low_space_bytes`](crate::Options::low_space_bytes).
    pub needed_bytes: u64,
    /// Why the system could not be asked.
    pub failure: Option<Error>,
    /// How long ago it was asked. Each [`Wal::health`] has it asked again, by the thread `wal-files`, and without
    /// [`background`](crate::Options::background) threads by the next call that appends, syncs or flushes. An age that grows
    /// beyond the interval between two questions says that the file system does not answer.
    ///
    /// [`Wal::health`]: crate::Wal::health
    pub age: Duration,
}

impl Space {
    /// Whether less is free than should be.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free_bytes.is_some_and(|free| free < self.needed_bytes)
    }
}

impl Health {
    /// Whether nothing is wrong, and the log is open.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.poisoned.is_none()
            && !self.closed
            && !self.displaced
            && self.stalled.is_none()
            && !self.space.is_low()
            && self.space.failure.is_none()
            && self.no_room.is_none()
            && self.spare_failure.is_none()
            && self.anchor_failure.is_none()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_healthy() {
            return f.write_str("healthy");
        }
        let mut between = "";
        let mut tell = |what: fmt::Arguments<'_>| {
            write!(f, "{between}{what}")?;
            between = "; ";
            Ok(())
        };
        if let Some(error) = &self.poisoned {
            tell(format_args!("{error}"))?;
        }
        if self.closed {
            tell(format_args!("the log is closed"))?;
        }
        if self.displaced {
            tell(format_args!(
                "the path of the log leads elsewhere: it goes on in the directory that it opened"
            ))?;
        }
        if let Some(stall) = &self.stalled {
            let what = match stall.what {
                InHand::Sync => "sync",
                InHand::Write => "write",
                InHand::Space => "question for the free space",
            };
            tell(format_args!("a {what} has not ended for {:?}", stall.lasted))?;
        }
        let Space { free_bytes, needed_bytes, failure, .. } = &self.space;
        if let Some(free_bytes) = free_bytes.filter(|_| self.space.is_low()) {
            tell(format_args!("{free_bytes} bytes are free, and {needed_bytes} are needed"))?;
        }
        if let Some(error) = failure {
            tell(format_args!("{error}"))?;
        }
        if let Some(error) = &self.no_room {
            tell(format_args!("appends wait for room: {error}"))?;
        }
        if let Some(error) = &self.spare_failure {
            tell(format_args!("the next segment is not prepared: {error}"))?;
        }
        if let Some(error) = &self.anchor_failure {
            tell(format_args!("the anchor is not written: {error}"))?;
        }
        Ok(())
    }
}
