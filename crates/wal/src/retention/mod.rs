//! What keeps the front of the log, and what drops it: holds, retention, and when segments end.
//!
//! ```text
//!  rolled over, a hold moved or went, time ──▶ due ──▶ wal-keeper: ends an old segment, drops what no limit wants
//!  Wal::start_retention ─────────────────────┘ from then on
//! ```
//!
//! The thread `wal-keeper` exists when an option asks for it. It takes the turns as any other caller does, and so
//! it is not `wal-files`, for which an append may wait that has the turn to write. Without threads, whoever
//! comes next when something is due does it.
//!
//! Retention waits for the application to start it: holds are kept in memory, and only the application knows when it
//! has taken again those that it had before a restart. Here it is decided; the engine does it (`engine/maintenance.rs`).
//!
//! Lock: `state`, for a moment; a leaf.

mod holds;
pub(crate) mod limits;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wal_segment::io::Directory;
use wal_segment::{PendingDeletion, Snapshot, Writer};
use wal_sync::primitives::{AtomicBool, Condvar, Guard, Instant, Mutex, Ordering, now, since};

use crate::error::{Error, ErrorKind};
use crate::options::retention::Keeping;
use crate::report::stats::{LowestHold, Stats};
use crate::retention::holds::Held;
use crate::retention::limits::{Piece, closed, dropped, expires_ns, kept_bytes};

/// The holds of one log, and what is due.
#[derive(Debug)]
pub(crate) struct Keeper {
    keeping: Keeping,
    state: Mutex<State>,
    /// There is something to do, or it is over.
    work: Condvar,
    /// A hold was overrun, or it is over.
    overrun: Condvar,
    /// For those who do it themselves where there is no thread.
    due: AtomicBool,
}

#[derive(Debug)]
struct State {
    holds: BTreeMap<u64, Held>,
    next_id: u64,
    /// The log may begin here any moment.
    floor: u64,
    /// A hold that passes this may let go of a segment.
    wakes_at: Option<u64>,
    opened: LogOpened,
    /// Segments that this process saw end, and when, in nanoseconds of the clock that cannot be set.
    ended: VecDeque<(u64, u64)>,
    /// When the open segment got its first entry.
    begun: Option<Begun>,
    lingering: PendingDeletion,
    overruns: u64,
    errors: u64,
    last_error: Option<String>,
    /// The application has taken its holds: what the limits let go may be dropped.
    retention_started: bool,
    /// More would be dropped if its end were durable, which nobody tells.
    awaits_link: bool,
    /// Somebody is about to wait for room.
    starved: bool,
    due: bool,
    over: bool,
}

impl Keeper {
    /// For a log as an open has found it, now.
    pub(crate) fn new(keeping: Keeping, writer: &Writer, directory: &dyn Directory) -> Keeper {
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
            holds: BTreeMap::new(),
            next_id: 0,
            floor: found.first().value(),
            wakes_at: None,
            opened,
            ended: VecDeque::new(),
            begun,
            lingering: PendingDeletion::default(),
            overruns: 0,
            errors: 0,
            last_error: None,
            retention_started: false,
            awaits_link: false,
            starved: false,
            due: true,
            over: false,
        };
        Keeper {
            keeping,
            state: Mutex::new(state),
            work: Condvar::new(),
            overrun: Condvar::new(),
            due: AtomicBool::new(true),
        }
    }

    pub(crate) fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    fn lock(&self) -> Guard<'_, State> {
        // Each change is whole.
        self.state.lock_whole()
    }

    fn ring(&self, mut state: Guard<'_, State>) {
        state.due = true;
        self.due.store(true, Ordering::Release);
        self.work.notify_one();
    }

    /// Lets retention drop what the limits let go, from now on.
    pub(crate) fn start_retention(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.retention_started, true) {
            self.ring(state);
        }
    }

    /// Whether limits are set that drop nothing, because retention has not been started.
    pub(crate) fn retention_awaits_start(&self) -> bool {
        self.keeping.retains() && !self.lock().retention_started
    }

    /// The beginning of the segment up to which retention drops the front now, if it drops anything. Changes no
    /// hold.
    pub(crate) fn retains_from(&self, snapshot: &Snapshot, monotonic_ns: u64) -> Option<u64> {
        if !self.keeping.retains() {
            return None;
        }
        let pieces = Piece::all(snapshot);
        let mut state = self.lock();
        if !state.retention_started {
            return None;
        }
        let next = snapshot.next().value();
        let now_ns = state.opened.now_ns(monotonic_ns);
        let unwanted = dropped(&pieces, next, &self.keeping, now_ns, |pieces| state.ended_ns(pieces));
        let count = unwanted.min(closed(&pieces));
        state.awaits_link = count < unwanted;
        let wanted = pieces.get(count).filter(|_| count > 0)?.first;
        let place = self.lowest_allowed(&state, &pieces, wanted);
        let kept = pieces.partition_point(|piece| piece.first <= place).saturating_sub(1);
        state.wakes_at = (place < wanted).then(|| pieces.get(kept + 1).map(|piece| piece.first)).flatten();
        (kept > 0).then(|| pieces[kept].first)
    }

    /// Until the oldest segment is too old, if time is a limit. Not at all when something else keeps it.
    pub(crate) fn until_expired(&self, snapshot: &Snapshot, monotonic_ns: u64) -> Option<Duration> {
        let pieces = Piece::all(snapshot);
        pieces.get(1)?;
        let state = self.lock();
        if !state.retention_started {
            return None;
        }
        let expires = expires_ns(&pieces, 0, &self.keeping, |pieces| state.ended_ns(pieces))?;
        expires
            .checked_sub(state.opened.now_ns(monotonic_ns))
            .filter(|left| *left > 0)
            .map(Duration::from_nanos)
    }

    /// The log went on in another segment, or was truncated.
    pub(crate) fn rolled(&self, from: Option<u64>, monotonic_ns: u64) {
        let mut state = self.lock();
        if let Some(segment) = from.filter(|_| self.keeping.retain_age.is_some()) {
            state.ended.push_back((segment, monotonic_ns));
        }
        self.ring(state);
    }

    /// Somebody waits for room.
    pub(crate) fn starved(&self) {
        let mut state = self.lock();
        state.starved = true;
        self.ring(state);
    }

    /// Whether more is to be dropped once a LINK is durable.
    pub(crate) fn awaits_link(&self) -> bool {
        self.lock().awaits_link
    }

    /// Whether somebody has begun to wait, which may not show yet.
    pub(crate) fn take_starved(&self) -> bool {
        std::mem::take(&mut self.lock().starved)
    }

    /// The open segment has its first entry.
    pub(crate) fn begun(&self) {
        if self.keeping.roll_after.is_some() {
            let begun = Begun { age: Duration::ZERO, at: now() };
            let mut state = self.lock();
            state.begun = Some(begun);
            self.ring(state);
        }
    }

    /// No segment is open, or no entry is in it.
    pub(crate) fn ended(&self) {
        self.lock().begun = None;
    }

    /// How long until the open segment is to be ended.
    pub(crate) fn until_ended(&self) -> Option<Duration> {
        let age = self.keeping.roll_after?;
        let begun = self.lock().begun?;
        Some(age.saturating_sub(begun.age + since(begun.at)))
    }

    /// Files that are dropped and still there linger; and segments from here on are the log's.
    pub(crate) fn lingers(&self, lingering: PendingDeletion, first_segment: u64) {
        let mut state = self.lock();
        state.lingering = lingering;
        while state.ended.front().is_some_and(|&(segment, _)| segment < first_segment) {
            state.ended.pop_front();
        }
    }

    /// What kept something from being done in the background.
    pub(crate) fn failed(&self, error: &Error) {
        // A truncation of the end that came first is no failure: what was to be ended is gone.
        if !matches!(error.kind(), ErrorKind::Closed | ErrorKind::Truncated) {
            let mut state = self.lock();
            state.errors += 1;
            state.last_error = Some(error.to_string());
        }
    }

    /// Puts down what keeps the front of the log.
    pub(crate) fn fill(&self, stats: &mut Stats, snapshot: &Snapshot) {
        let pieces = Piece::all(snapshot);
        let state = self.lock();
        let lowest = state.lowest();
        stats.holds = state.holds.len() as u64;
        stats.held_bytes = lowest.map_or(0, |held| kept_bytes(&pieces, held.sequence, u64::MAX));
        stats.lowest_hold = lowest.map(LowestHold::of);
        stats.hold_overruns = state.overruns;
        stats.retention_started = state.retention_started;
        (stats.pending_deletion_files, stats.pending_deletion_bytes) =
            (state.lingering.files, state.lingering.bytes);
        (stats.keeping_errors, stats.last_keeping_error) = (state.errors, state.last_error.clone());
    }

    /// The thread ends, and nobody waits any more.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.over = true;
        self.work.notify_all();
        self.overrun.notify_all();
    }

    /// Blocks until something is due, or `limit` has passed. Returns whether it goes on.
    pub(crate) fn until_due(&self, limit: Duration) -> bool {
        let begun = now();
        let mut state = self.lock();
        loop {
            if state.over {
                return false;
            }
            let left = limit.saturating_sub(since(begun));
            if std::mem::take(&mut state.due) || left.is_zero() {
                return true;
            }
            state = self.work.wait_for(&self.state, state, left);
        }
    }

    /// Whether something is due for somebody to do it who is no thread for it.
    pub(crate) fn is_due_here(&self) -> bool {
        let due = self.due.load(Ordering::Acquire) && self.due.swap(false, Ordering::AcqRel);
        due || self.until_ended().is_some_and(|left| left.is_zero())
    }
}

impl State {
    /// When the first of these segments had ended, by the clock of [`LogOpened::now_ns`].
    fn ended_ns(&self, pieces: &[Piece]) -> Option<u64> {
        let segment = pieces.first()?.segment;
        let opened = self.opened;
        if segment <= opened.last_ended {
            // It had ended before the open: when the next one was begun, if that was before, too.
            let ended_unix_ns = pieces.get(1).map_or(opened.unix_ns, |next| next.begun_unix_ns);
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
    /// Nanoseconds since 1970, as the clock would show if it were not set after the open.
    fn now_ns(self, monotonic_ns: u64) -> u64 {
        self.unix_ns.saturating_add(monotonic_ns.saturating_sub(self.monotonic_ns))
    }
}
