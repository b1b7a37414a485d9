//! The end of the log: the writer, and the snapshot that readers get. What is done with it is in `target`, `both_turns` and `room`.
//!
//! Locks: `writer` belongs to the threads that have the turn to write and the turn to sync; they meet only when a sync is taken
//! out or reported while a frame is written, and when a thread takes the obsolete files after a truncation, under a cap until
//! they are removed. Readers look at `shown`, so that they wait for neither.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wal_format::ChecksumKind;
use wal_segment::io::Directory;
use wal_segment::{CapReached, Error as SegmentError, Snapshot, Writer};
use wal_sync::Fault;
use wal_sync::primitives::{AtomicU64, Guard, Mutex, Ordering};

use crate::engine::fork::ForkGuard;
use crate::engine::shown::Shown;
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::report::counters::Counters;
use crate::report::event::{Event, Rollover, note};
use crate::report::listener::Listener;
use crate::report::probe::SyncMark;
use crate::retention::Retention;
use crate::retention::holds::Holds;
use crate::retention::maintenance::Maintenance;
use crate::supply::Supply;

/// The writer, and the snapshot that readers get.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None` once closed.
    pub(super) writer: Mutex<Option<Writer>>,
    pub(super) shown: Shown,
    /// [`Writer::room`], in bytes, readable without the lock.
    pub(super) room: AtomicU64,
    pub(super) directory: Arc<dyn Directory>,
    pub(crate) fork_guard: ForkGuard,
    pub(super) supply: Arc<Supply>,
    pub(super) counters: Arc<Counters>,
    pub(crate) listener: Option<Listener>,
    pub(super) holds: Holds,
    pub(super) retention: Retention,
    pub(super) maintenance: Arc<Maintenance>,
    pub(super) checksum: ChecksumKind,
    pub(super) frame_bytes: usize,
    pub(super) sync_mark: SyncMark,
    /// The options in force: with the defaults filled in, without callbacks.
    pub(crate) options: Arc<Options>,
}

/// A frame has no more entries than this, unless a batch has.
pub(crate) const FRAME_ENTRIES: usize = 8192;

impl Tail {
    #[expect(clippy::too_many_arguments, reason = "called once, by the open that made them")]
    pub(crate) fn new(
        writer: Writer,
        directory: Arc<dyn Directory>,
        supply: Arc<Supply>,
        counters: Arc<Counters>,
        listener: Option<Listener>,
        frame_bytes: usize,
        options: Arc<Options>,
    ) -> Tail {
        let maintenance = Arc::new(Maintenance::new());
        let (kept, shared) = (Arc::clone(&options), Arc::clone(&maintenance));
        Tail {
            holds: Holds::new(writer.first().value(), options.hold_limit_bytes, Arc::clone(&maintenance)),
            retention: Retention::new(kept, &writer, directory.as_ref(), shared),
            maintenance,
            checksum: writer.checksum(),
            shown: Shown::new(writer.snapshot()),
            room: AtomicU64::new(writer.room()),
            writer: Mutex::new(Some(writer)),
            directory,
            fork_guard: ForkGuard::here(),
            supply,
            counters,
            listener,
            frame_bytes,
            sync_mark: SyncMark::new(),
            options,
        }
    }

    /// The log as it is now, for reading.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shown.look().clone()
    }

    /// The log as it is now, for a look at its segments. It keeps no file.
    pub(crate) fn layout(&self) -> Snapshot {
        self.shown.look().without_lease()
    }

    /// The sequence of the first entry that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.shown.look().first().value()
    }

    /// No more events.
    pub(crate) fn stop_listening(&self) {
        self.listener.iter().for_each(Listener::stop);
    }

    /// Releases the lock of the log.
    pub(crate) fn release(&self) {
        drop(self.lock().take());
    }

    pub(super) fn rolled_over(&self, rollover: Rollover, took: Duration) {
        self.counters.rolled_over(took);
        self.retention.rolled(rollover.from, self.directory.monotonic_ns());
        self.tell(Event::Rollover(rollover));
    }

    pub(super) fn tell(&self, event: Event) {
        if let Some(listener) = &self.listener {
            listener.tell(event);
        }
    }

    /// The failure of a write, or of the end. Poison is reported: it is always new, as a poisoned log is asked nothing more.
    pub(super) fn fault(&self, error: SegmentError) -> Fault<Error> {
        match error {
            SegmentError::Poisoned(_) => Fault::Final(self.poisoned(error)),
            SegmentError::CapReached(fullness) if self.options.waits() => {
                Fault::CapReached(self.cap_reached(fullness))
            }
            SegmentError::CapReached(fullness) => Fault::Passing(self.cap_reached(fullness)),
            error => Fault::Passing(error.into()),
        }
    }

    /// Reports why nothing more is accepted.
    pub(super) fn poisoned(&self, error: SegmentError) -> Error {
        let exchanged = matches!(&error, SegmentError::Poisoned(cause) if matches!(**cause, SegmentError::Exchanged { .. }));
        let error = Error::from(error);
        if exchanged {
            note!(&self.listener, Exchanged { error: error.clone() });
        } else {
            self.counters.sync_failed();
            note!(&self.listener, SyncFailed { error: error.clone() });
        }
        error
    }

    /// The error of a log at its cap: what takes the space.
    fn cap_reached(&self, fullness: CapReached) -> Error {
        let directory = self.directory.path().display();
        let held = self.holds.lowest().map_or_else(String::new, |hold| {
            format!("; the hold {:?} keeps entries from {} on", hold.name, hold.sequence)
        });
        let waits = if self.retention.awaits_start() {
            "; retention has not been started, so the retain_ limits drop nothing: call Wal::start_retention"
        } else {
            ""
        };
        let message = format!("{directory}: max_log_bytes is reached: {fullness}{held}{waits}");
        Error::new(ErrorKind::NoSpace, message)
    }

    /// The writer, to look at or to hand out a sync. What readers are shown stays.
    pub(super) fn lock(&self) -> Guard<'_, Option<Writer>> {
        // A panic in here has failed the log, so nothing uses what it left.
        self.writer.lock_whole()
    }

    /// The writer, to change the log. Readers are shown the log as it is when the guard is dropped.
    pub(super) fn change(&self) -> Changing<'_> {
        Changing { tail: self, writer: self.lock(), has_grown: false, was_panicking: thread::panicking() }
    }

    /// Shows readers the log as it is now.
    pub(super) fn show(&self, writer: &Writer) {
        self.shown.replace(writer.snapshot());
        self.room.store(writer.room(), Ordering::Relaxed);
    }

    /// The same, after something was appended to the open segment.
    fn show_end(&self, writer: &Writer) {
        self.shown.extend(writer.end());
        self.room.store(writer.room(), Ordering::Relaxed);
    }
}

/// The writer, locked to change the log: whatever comes of it, readers are shown it before the lock is given up.
pub(super) struct Changing<'a> {
    tail: &'a Tail,
    writer: Guard<'a, Option<Writer>>,
    /// Only the end of the open segment has moved: readers keep their snapshot, with another end.
    pub(super) has_grown: bool,
    /// It was made by a destructor, while its thread panicked: that has failed nothing.
    was_panicking: bool,
}

impl Deref for Changing<'_> {
    type Target = Option<Writer>;

    fn deref(&self) -> &Option<Writer> {
        &self.writer
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Option<Writer> {
        &mut self.writer
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        // After a panic the log is failed, and readers keep what they were shown.
        let panicked = thread::panicking() && !self.was_panicking;
        match self.writer.as_ref().filter(|_| !panicked) {
            Some(writer) if self.has_grown => self.tail.show_end(writer),
            Some(writer) => self.tail.show(writer),
            None => {}
        }
    }
}
