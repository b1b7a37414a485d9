//! Detects stalls for a health probe: which operation is running, and since when.
//!
//! A probe takes no lock that is held across a write or a sync, and makes no file system call, so it returns while a disk
//! hangs. The hot path pays one mark before and after each sync. A write leaves no mark: the probe remembers which
//! one was running at the probe before. A background thread queries the free space, and the result has an age.
//!
//! ```text
//!  sync    begins ─▶ mark ─────────────────▶ ends: mark cleared        probe in between: since the mark
//!  write   turn 7 ────────────────────────────────────────────▶ turn 8
//!              probe: turn 7, remembered     probe: still turn 7: for so long at least
//! ```

use std::time::Duration;

use wal_sync::primitives::{AtomicU64, Instant, Mutex, Ordering, now};

/// The start of the sync, or of the free-space query, that is running.
#[derive(Debug)]
pub(crate) struct SyncMark {
    opened: Instant,
    /// Nanoseconds from `opened` to its start, plus one; 0 when none is running.
    begun: AtomicU64,
}

impl SyncMark {
    /// None is running.
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

    /// How long one has been running.
    pub(crate) fn lasted(&self, asked: Instant) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(asked.saturating_duration_since(self.opened).saturating_sub(Duration::from_nanos(begun)))
    }
}

/// What a probe remembers for the next one.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The write that was running at the last probe, and the time of the first probe that saw it.
    write: Mutex<Option<(u64, Instant)>>,
}

impl Probe {
    /// Before the first probe.
    pub(crate) fn new() -> Probe {
        Probe { write: Mutex::new(None) }
    }

    /// How long this write has been running, at least: since the first probe that saw it.
    pub(crate) fn lasted(&self, write: Option<u64>, asked: Instant) -> Option<Duration> {
        let mut seen = self.write.lock_whole();
        let before = seen.take().filter(|(number, _)| Some(*number) == write);
        *seen = before.or_else(|| write.map(|number| (number, asked)));
        before.map(|(_, first)| asked.saturating_duration_since(first))
    }
}
