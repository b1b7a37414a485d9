//! Retention: which segments are due to be dropped from the front, and when the open segment is due to end.
//!
//! ```text
//!  rollover, a hold moved or released, time ──▶ Maintenance: due ──▶ wal-retention: ends an old segment, drops old ones
//!  Wal::start_retention ──────────────────────┘ from then on
//! ```
//!
//! The thread `wal-retention` exists when an option asks for it. It takes the turns as any other caller does. So it is not
//! `wal-files`, for which an append that has the turn to write may wait. Without threads the next call does the work.
//!
//! Retention waits for the application to start it: holds are kept in memory, and only the application knows when it has
//! taken again those that it had before a restart. This module decides; the engine acts (`engine/maintenance.rs`).
//!
//! Lock: `state`, for a moment; a leaf.

pub(crate) mod holds;
pub(crate) mod limits;
pub(crate) mod maintenance;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wal_segment::io::Directory;
use wal_segment::{PendingDeletion, Snapshot, Span, Writer};
use wal_sync::primitives::{Instant, Mutex, now, since};

use crate::options::Options;
use crate::report::stats::Stats;
use crate::retention::holds::Holds;
use crate::retention::limits::{closed, dropped, expires_ns};
use crate::retention::maintenance::Maintenance;

/// What is due to be dropped from one log, and when its open segment is due to end.
#[derive(Debug)]
pub(crate) struct Retention {
    options: Arc<Options>,
    maintenance: Arc<Maintenance>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    opened: LogOpened,
    /// Segments that this process saw end, and when, in nanoseconds of the monotonic clock.
    ended: VecDeque<(u64, u64)>,
    /// When the open segment got its first entry.
    begun: Option<Begun>,
    pending_deletion: PendingDeletion,
    /// The application has taken its holds: the limits may drop entries.
    started: bool,
    /// More would be dropped if a LINK were durable, which no event reports.
    awaits_link: bool,
}

impl Retention {
    /// For a log as an open has found it, now.
    pub(crate) fn new(
        options: Arc<Options>,
        writer: &Writer,
        directory: &dyn Directory,
        maintenance: Arc<Maintenance>,
    ) -> Retention {
        let (found, unix_ns) = (writer.snapshot(), directory.now_unix_ns());
        let ended = found.spans().rev().nth(usize::from(writer.has_open_segment()));
        let opened = LogOpened {
            last_ended: ended.map_or(0, |span| span.life.segment.value()),
            unix_ns,
            monotonic_ns: directory.monotonic_ns(),
        };
        let begun = writer.open_since_unix_ns().map(|since_unix_ns| Begun {
            age: Duration::from_nanos(unix_ns.saturating_sub(since_unix_ns)),
            at: now(),
        });
        let state = State {
            opened,
            ended: VecDeque::new(),
            begun,
            pending_deletion: PendingDeletion::default(),
            started: false,
            awaits_link: false,
        };
        Retention { options, maintenance, state: Mutex::new(state) }
    }

    /// Lets the limits drop entries from now on.
    pub(crate) fn start(&self) {
        let was_started = std::mem::replace(&mut self.state.lock_whole().started, true);
        if !was_started {
            self.maintenance.ring();
        }
    }

    /// Whether limits are set that drop nothing, because retention has not been started.
    pub(crate) fn awaits_start(&self) -> bool {
        self.options.retains() && !self.state.lock_whole().started
    }

    /// The beginning of the segment up to which the front is due to be dropped now, if there is something to drop.
    /// Invalidates no hold.
    pub(crate) fn drops_before(&self, holds: &Holds, snapshot: &Snapshot, monotonic_ns: u64) -> Option<u64> {
        if !self.options.retains() {
            return None;
        }
        let spans: Vec<Span> = snapshot.spans().collect();
        let mut state = self.state.lock_whole();
        if !state.started {
            return None;
        }
        let next = snapshot.next().value();
        let now_ns = state.opened.now_ns(monotonic_ns);
        let unwanted = dropped(&spans, next, &self.options, now_ns, |spans| state.ended_ns(spans));
        let count = unwanted.min(closed(&spans));
        state.awaits_link = count < unwanted;
        drop(state);
        let wanted = spans.get(count).filter(|_| count > 0)?.start.next.value();
        let unheld = holds.count_unheld(&spans, wanted);
        (unheld > 0).then(|| spans[unheld].start.next.value())
    }

    /// Until the oldest segment is too old, if age is a limit. `None` when something else keeps it.
    pub(crate) fn until_expired(&self, snapshot: &Snapshot, monotonic_ns: u64) -> Option<Duration> {
        let spans: Vec<Span> = snapshot.spans().collect();
        spans.get(1)?;
        let state = self.state.lock_whole();
        if !state.started {
            return None;
        }
        let expires = expires_ns(&spans, 0, &self.options, |spans| state.ended_ns(spans))?;
        expires
            .checked_sub(state.opened.now_ns(monotonic_ns))
            .filter(|left| *left > 0)
            .map(Duration::from_nanos)
    }

    /// Whether more is due to be dropped once a LINK is durable.
    pub(crate) fn awaits_link(&self) -> bool {
        self.state.lock_whole().awaits_link
    }

    /// The log rolled over from segment `from`, or was truncated.
    pub(crate) fn rolled(&self, from: Option<u64>, monotonic_ns: u64) {
        if let Some(segment) = from.filter(|_| self.options.retain_age.is_some()) {
            self.state.lock_whole().ended.push_back((segment, monotonic_ns));
        }
        self.maintenance.ring();
    }

    /// The open segment has its first entry.
    pub(crate) fn begun(&self) {
        if self.options.roll_after.is_some() {
            self.state.lock_whole().begun = Some(Begun { age: Duration::ZERO, at: now() });
            self.maintenance.ring();
        }
    }

    /// No segment is open, or no entry is in it.
    pub(crate) fn ended(&self) {
        self.state.lock_whole().begun = None;
    }

    /// How long until the open segment is due to end.
    pub(crate) fn until_ended(&self) -> Option<Duration> {
        let age = self.options.roll_after?;
        let begun = self.state.lock_whole().begun?;
        Some(age.saturating_sub(begun.age + since(begun.at)))
    }

    /// These dropped files are not deleted yet, and the log begins in segment `first_segment`.
    pub(crate) fn dropped(&self, pending_deletion: PendingDeletion, first_segment: u64) {
        let mut state = self.state.lock_whole();
        state.pending_deletion = pending_deletion;
        while state.ended.front().is_some_and(|&(segment, _)| segment < first_segment) {
            state.ended.pop_front();
        }
    }

    pub(crate) fn fill(&self, stats: &mut Stats) {
        let state = self.state.lock_whole();
        stats.retention_started = state.started;
        stats.pending_deletion_files = state.pending_deletion.files;
        stats.pending_deletion_bytes = state.pending_deletion.bytes;
    }
}

impl State {
    /// When the first of these segments had ended, by the clock of [`LogOpened::now_ns`].
    fn ended_ns(&self, spans: &[Span]) -> Option<u64> {
        let segment = spans.first()?.life.segment.value();
        let opened = self.opened;
        if segment <= opened.last_ended {
            // It had ended before the open: when the next one was begun, if that was before, too.
            let ended_unix_ns = spans.get(1).map_or(opened.unix_ns, |next| next.begun_unix_ns);
            return Some(ended_unix_ns.min(opened.unix_ns));
        }
        let (_, seen_ns) = self.ended.iter().find(|&&(ended, _)| ended == segment)?;
        Some(opened.now_ns(*seen_ns))
    }
}

/// How old the open segment was at some moment, counted from its first entry.
#[derive(Clone, Copy, Debug)]
struct Begun {
    age: Duration,
    at: Instant,
}

/// When the log was opened, by both clocks.
#[derive(Clone, Copy, Debug)]
struct LogOpened {
    /// The last segment that had ended.
    last_ended: u64,
    unix_ns: u64,
    monotonic_ns: u64,
}

impl LogOpened {
    /// Nanoseconds since 1970, as the system clock would show if it were not set after the open.
    fn now_ns(self, monotonic_ns: u64) -> u64 {
        self.unix_ns.saturating_add(monotonic_ns.saturating_sub(self.monotonic_ns))
    }
}
