//! Whether the log can do its work: for a probe.
//!
//! Asking waits for nothing that is held across a write or a sync, and makes no call to the file system, so the answer
//! comes while a disk hangs. What the hot path leaves for it is one mark before and after each sync. Of a write nothing
//! is noted: the probe remembers which one was in hand when it was asked before. The free space is asked for by the
//! background, and the answer says how old it is.
//!
//! ```text
//!  sync    begins ─▶ mark ─────────────────▶ ends: mark taken away     asked here: since the mark
//!  write   turn 7 ────────────────────────────────────────────▶ turn 8
//!              asked: turn 7, noted      asked: turn 7 still: for so long at least
//! ```

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use wal_sync::primitives::{AtomicU64, Instant, Mutex, Ordering, now};

use crate::engine::Core;
use crate::error::Error;
use crate::log::Wal;

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

/// A sync that took longer than [`slow_sync`](crate::Options::slow_sync) allows, and has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowSync {
    /// How long it took.
    pub took: Duration,
    /// The numbers of the entries that it was to make durable.
    pub sequences: Range<u64>,
    /// Whether it failed in the end: the log is poisoned then.
    pub failed: bool,
}

impl Wal {
    /// Whether the log can do its work. For a probe: costs a few microseconds, makes no call to the file system, and waits
    /// for no write and no sync, so it also answers while one of them hangs; any thread may ask, and a log that was closed
    /// answers, too.
    ///
    /// A write that hangs shows when it was asked for twice, far enough apart: ask about once a second.
    #[must_use]
    pub fn health(&self) -> Health {
        self.core().health()
    }
}

/// The sync, or the question, that is in hand.
#[derive(Debug)]
pub(crate) struct SyncMark {
    opened: Instant,
    /// Nanoseconds behind `opened` at which it began, and one more; none is in hand when it is 0.
    begun: AtomicU64,
}

impl SyncMark {
    /// None is in hand.
    pub(crate) fn new() -> SyncMark {
        SyncMark { opened: now(), begun: AtomicU64::new(0) }
    }

    /// One begins.
    pub(crate) fn set(&self, begun: Instant) {
        let nanos = begun.saturating_duration_since(self.opened).as_nanos();
        self.begun.store(u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn clear(&self) {
        self.begun.store(0, Ordering::Relaxed);
    }

    /// For how long one has been in hand.
    fn lasted(&self, asked: Instant) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(asked.saturating_duration_since(self.opened).saturating_sub(Duration::from_nanos(begun)))
    }
}

/// What whoever asks for the health remembers and compares with.
#[derive(Debug)]
pub(crate) struct Probe {
    slow_sync: Duration,
    needed_bytes: u64,
    /// The write that was in hand when somebody asked, and when that was first.
    write: Mutex<Option<(u64, Instant)>>,
}

impl Probe {
    /// Nobody has asked yet.
    pub(crate) fn new(slow_sync: Duration, needed_bytes: u64) -> Probe {
        Probe { slow_sync, needed_bytes, write: Mutex::new(None) }
    }

    /// For how long this write has been in hand, as far as anybody has seen.
    fn lasted(&self, write: Option<u64>, asked: Instant) -> Option<Duration> {
        let mut seen = self.write.lock_whole();
        let before = seen.take().filter(|(number, _)| Some(*number) == write);
        *seen = before.or_else(|| write.map(|number| (number, asked)));
        before.map(|(_, first)| asked.saturating_duration_since(first))
    }
}

impl Core {
    /// See [`Wal::health`].
    fn health(&self) -> Health {
        let asked = now();
        let (poisoned, closed) = match self.commits.check() {
            Ok(()) => (None, false),
            Err(wal_sync::Error::Closed) => (None, true),
            Err(failure) => (Some(Error::from(failure)), false),
        };
        let probe = self.probe();
        let in_hand = |what, lasted: Option<Duration>| {
            lasted.filter(|lasted| *lasted >= probe.slow_sync).map(|lasted| Stall { what, lasted })
        };
        let write = probe.lasted(self.commits.write_in_hand(), asked);
        let sync = self.commits.target().sync_mark().lasted(asked);
        let space = self.space_mark().lasted(asked);
        let stalled = in_hand(InHand::Sync, sync)
            .or_else(|| in_hand(InHand::Write, write))
            .or_else(|| in_hand(InHand::Space, space));
        let (spare_failure, anchor_failure) = self.background_failures();
        Health {
            // Of a log that failed nothing is in hand any more, whatever a panic has left behind.
            stalled: stalled.filter(|_| poisoned.is_none()),
            poisoned,
            closed,
            displaced: self.is_displaced(),
            space: self.known_space(probe.needed_bytes, asked),
            no_room: self.commits.starved().map(Error::from),
            spare_failure: spare_failure.map(Error::from),
            anchor_failure: anchor_failure.map(Error::from),
        }
    }
}
