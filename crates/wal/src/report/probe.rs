//! What a probe of the health goes by: marks of what is in hand, and since when.
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

use std::time::Duration;

use wal_sync::primitives::{AtomicU64, Instant, Mutex, Ordering, now};

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
    pub(crate) fn lasted(&self, asked: Instant) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(asked.saturating_duration_since(self.opened).saturating_sub(Duration::from_nanos(begun)))
    }
}

/// What whoever asks for the health remembers and compares with.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) slow_sync: Duration,
    pub(crate) needed_bytes: u64,
    /// The write that was in hand when somebody asked, and when that was first.
    write: Mutex<Option<(u64, Instant)>>,
}

impl Probe {
    /// Nobody has asked yet.
    pub(crate) fn new(slow_sync: Duration, needed_bytes: u64) -> Probe {
        Probe { slow_sync, needed_bytes, write: Mutex::new(None) }
    }

    /// For how long this write has been in hand, as far as anybody has seen.
    pub(crate) fn lasted(&self, write: Option<u64>, asked: Instant) -> Option<Duration> {
        let mut seen = self.write.lock_whole();
        let before = seen.take().filter(|(number, _)| Some(*number) == write);
        *seen = before.or_else(|| write.map(|number| (number, asked)));
        before.map(|(_, first)| asked.saturating_duration_since(first))
    }
}
