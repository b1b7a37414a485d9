//! Many appenders, one write, one sync.
//!
//! ```text
//!  join ─▶ ┌ lock ──────────────────────┐
//!          │ number, copy into the open │   no caller writes (or leads)? then this one does
//!          │ frame, look who leads      │
//!          └────────────────────────────┘
//!  caller ─▶ turn to write ─▶ Target::write ─▶ written ─▶ turn to sync ─▶ Target::sync ─▶ durable
//!                 ▲                                                                         │
//!      while it is taken, others join                             all who wait for these are woken, and
//!      the open frame                                             one who waits for the next: it goes on
//! ```
//!
//! Every policy is this one algorithm; the policy says who asks for a sync, and what an append waits for.
//!
//! Invariants:
//! - Numbers are given under the lock, in the order in which the entries stand in their frames, and
//!   frames are written in that order, one at a time. So no entry is durable after a gap.
//! - No caller is told that an entry is durable before a sync that began after its write has succeeded.
//! - **After a sync has failed, no caller is told that anything became durable**, and there is no second
//!   one. The failure is latched; every caller that waits or comes later gets it.
//! - A write that failed takes with it everything that is numbered and not written, and those numbers are
//!   given again. That ends an [epoch](crate::epoch), as a cut does. (Unless a caller was promised
//!   [`Durability::Buffered`] among them, and has gone on with a number: then all stay, who waits is told, and they are
//!   written before anything else.) So a watch of a number ends when the number is given back, as it does at a truncation.
//! - What the target has no room for waits, with everything after it, until a truncation or a removed file has made some.
//! - A truncation has both turns, and nothing joins while it runs. A caller that waits for an entry that it
//!   dropped is told so.
//! - While a caller waits, another writes or leads, or one is woken to do so (`lead`). No thread sleeps for ever: a caller that
//!   panics fails the log and every waiter.
//!
//! Who may touch what: everything in `State` belongs to the one lock, which is held for the copy of an
//! entry at most: never across a write, a sync, a wake-up or a callback. The turns `writing` and
//! `syncing` are flags in there; a thread that has one owns the frame, or the sync, until the flag is given
//! back. A thread that needs both takes `writing` first.
//!
//! | wakes up | when |
//! |---|---|
//! | `callers` | the frame that they wait for is written or durable, or an epoch ends; one of them, when it has to go on |
//! | those with tickets | the same (`epoch`) |
//! | `turn` | a turn is given back |
//! | `room` | the open frame, or what may be in flight, has room again |
//! | `work` | there is something for the flusher |

mod cuts;
mod deferred;
mod ending;
mod flusher;
mod lead;
mod siblings;
mod state;
mod truncate;
mod turns;
mod wakeups;
mod watch;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use self::state::State;
use crate::epoch::WORDS;
use crate::error::Error;
use crate::policy::{Durability, SyncPolicy};
use crate::primitives::{Arc, AtomicBool, AtomicU32, Condvar, Guard, Instant, Mutex, Ordering, Word, now};
use crate::target::Target;
use crate::ticket::Ticket;
use crate::watermark::Watermark;

pub use truncate::Dropped;
pub use watch::{Standing, Watch};

/// How much one write may take, and how much may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one write; a batch alone may be larger.
    pub frame_entries: u64,
    /// Bytes of one write; a batch alone may be larger.
    pub frame_bytes: u64,
    /// Bytes accepted but not yet as durable as their caller asked for; a batch alone may be larger.
    pub in_flight_bytes: u64,
    /// Appends that wait for nothing return at once while the open frame holds fewer bytes than this.
    pub buffered_bytes: Option<u64>,
    /// A thread runs [`GroupCommit::run_flusher`]. Otherwise a thread that waits does what is due; a task that
    /// polls does not.
    pub flusher: bool,
}

/// How long a caller waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until there is some.
    Endless,
    /// Until then.
    Until(Instant),
    /// Not at all.
    None,
}

/// What joins: so many entries that stay together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At least one.
    pub entries: u64,
    /// What they take in a frame.
    pub bytes: u64,
}

/// A log's appenders, its one writer and its one syncer. See the module.
pub struct GroupCommit<T: Target> {
    target: T,
    policy: SyncPolicy,
    limits: Limits,
    state: Mutex<State<T>>,
    /// Whether the log failed or is closed. Stored under the lock, and loaded without it.
    refuses: AtomicBool,
    /// Threads that call wakers, which may append and wait: the flusher may be one of them.
    calling_out: AtomicU32,
    written: Watermark,
    durable: Watermark,
    /// How often the end was cut off, or a failed write gave numbers back.
    cuts: Watermark,
    /// Where callers sleep, by the frame of their entries.
    callers: [Word; WORDS],
    turn: Condvar,
    room: Condvar,
    work: Condvar,
}

type Locked<'a, T> = Guard<'a, State<T>>;

/// An entry that has joined, still under the lock.
type Joining<'a, T> = (Locked<'a, T>, Place);

/// Where entries have joined.
#[derive(Clone, Copy)]
struct Place {
    first: u64,
    /// After the last one.
    end: u64,
    /// The number of their frame.
    frame: u64,
}

impl<T: Target> GroupCommit<T> {
    /// A group commit for a log in which everything before `next` is durable.
    pub fn new(target: T, policy: SyncPolicy, limits: Limits, next: u64) -> GroupCommit<T> {
        let state = State::new(target.frame(), next);
        GroupCommit {
            target,
            policy: policy.clamped(),
            limits,
            state: Mutex::new(state),
            refuses: AtomicBool::new(false),
            calling_out: AtomicU32::new(0),
            written: Watermark::new(next),
            durable: Watermark::new(next),
            cuts: Watermark::new(0),
            turn: Condvar::new(),
            room: Condvar::new(),
            callers: Default::default(),
            work: Condvar::new(),
        }
    }

    /// What is written and synced.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// What an append waits for whose caller names no durability.
    pub fn promise(&self) -> Durability {
        match self.limits.buffered_bytes {
            Some(_) => Durability::Buffered,
            None => self.policy.promise(),
        }
    }

    /// The number of the first entry that is not written.
    pub fn written(&self) -> u64 {
        self.written.position()
    }

    /// The number of the first entry that is not durable.
    pub fn durable(&self) -> u64 {
        self.durable.position()
    }

    /// How often numbers lost their entries, and are given to others: by a truncation of the end, or by a write
    /// that failed.
    pub fn cuts(&self) -> u64 {
        self.cuts.position()
    }

    /// The number that the next entry gets, unless a write fails before.
    pub fn next(&self) -> u64 {
        self.lock().next
    }

    /// Bytes accepted but not yet as durable as their caller asked for.
    pub fn in_flight_bytes(&self) -> u64 {
        self.lock().in_flight_bytes
    }

    /// The turn to write that a thread has at this moment, counted from 1: two answers that are the same are about
    /// one write, rollover or truncation that has not ended in between.
    pub fn write_in_hand(&self) -> Option<u64> {
        let locked = self.lock();
        locked.writing.then_some(locked.writes)
    }

    /// Why nothing is accepted any more, if so.
    pub fn failure(&self) -> Option<Error<T::Error>> {
        self.lock().failure.clone()
    }

    /// Whether calls are refused, and how.
    ///
    /// # Errors
    /// The latched failure, or [`Error::Closed`].
    pub fn check(&self) -> Result<(), Error<T::Error>> {
        // Each read asks, and must not wait for those who append.
        if self.refuses.load(Ordering::Acquire) { self.lock().refuse_if_closed() } else { Ok(()) }
    }

    /// Appends, and returns the number of the first entry once what is asked for is true of all of them.
    /// `fill` copies them into the frame, under the lock.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Failed`] with the failure of the write, or the latched one.
    pub fn append(
        &self,
        batch: Batch,
        asked: Durability,
        fill: impl FnOnce(&mut T::Frame),
    ) -> Result<u64, Error<T::Error>> {
        self.append_at(None, batch, asked, fill)
    }

    /// As [`GroupCommit::append`], if the first entry gets the `expected` number. That is decided under the
    /// lock in which it would be given, so of two who expect the same one at most one appends.
    ///
    /// # Errors
    /// As [`GroupCommit::append`]; [`Error::Conflict`], and then nothing was appended.
    pub fn append_at(
        &self,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        fill: impl FnOnce(&mut T::Frame),
    ) -> Result<u64, Error<T::Error>> {
        let locked = self.lock();
        let joined = self.join(locked, expected, batch, asked, Caller::Waits, Patience::Endless, fill);
        let (locked, joined) = joined?;
        if asked == Durability::Buffered {
            self.write_if_full(locked);
            self.sync_if_due();
            return Ok(joined.first);
        }
        self.see_to(locked, joined, asked)?;
        self.sync_if_due();
        Ok(joined.first)
    }

    /// Appends, and returns as soon as the entries are numbered.
    ///
    /// # Errors
    /// As [`GroupCommit::append`], and [`Error::Backpressure`] when patience is over.
    pub fn submit(
        &self,
        batch: Batch,
        asked: Durability,
        patience: Patience,
        fill: impl FnOnce(&mut T::Frame),
    ) -> Result<Ticket<T::Error>, Error<T::Error>> {
        self.submit_at(None, batch, asked, patience, fill)
    }

    /// As [`GroupCommit::submit`], if the first entry gets the `expected` number.
    ///
    /// # Errors
    /// As [`GroupCommit::submit`]; [`Error::Conflict`], and then nothing was appended.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is appended, what is promised, and how long is waited are three things"
    )]
    pub fn submit_at(
        &self,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        patience: Patience,
        fill: impl FnOnce(&mut T::Frame),
    ) -> Result<Ticket<T::Error>, Error<T::Error>> {
        let locked = self.lock();
        let (locked, joined) = self.join(locked, expected, batch, asked, Caller::GoesOn, patience, fill)?;
        locked.epoch.note_ticket();
        let epoch = Arc::clone(&locked.epoch);
        if asked == Durability::Buffered {
            self.write_if_full(locked);
        }
        let Place { first, end, frame } = joined;
        Ok(Ticket { epoch, asked, first, end, frame })
    }

    /// Blocks until it is known how a ticket went; `None` when `deadline` has passed.
    pub fn wait(
        &self,
        ticket: &Ticket<T::Error>,
        deadline: Option<Instant>,
    ) -> Option<Result<(), Error<T::Error>>> {
        self.drive_for(ticket, deadline);
        ticket.wait(deadline)
    }

    /// Writes everything that has joined.
    ///
    /// # Errors
    /// The failure of a write of something that had joined; the latched one.
    pub fn flush(&self) -> Result<(), Error<T::Error>> {
        let locked = self.lock();
        locked.refuse_if_closed()?;
        drop(self.write_all(locked)?);
        Ok(())
    }

    /// Makes everything durable that has joined.
    ///
    /// # Errors
    /// As [`GroupCommit::flush`]; the failure of the sync.
    pub fn sync(&self) -> Result<(), Error<T::Error>> {
        let locked = self.lock();
        locked.refuse_if_closed()?;
        let (end, epoch) = (locked.next, Arc::clone(&locked.epoch));
        let mut locked = self.write_all(locked)?;
        loop {
            if let Some(outcome) = epoch.outcome(Durability::Durable, end) {
                return outcome;
            }
            locked = if locked.syncing { self.turn.wait(locked) } else { self.sync_now(locked) };
        }
    }

    fn lock(&self) -> Locked<'_, T> {
        // Nothing in it is ever half changed: a thread that panics latches that first.
        let locked = self.state.lock_spinning();
        debug_assert!(
            locked.wakeups.is_empty(),
            "a thread that releases the lock takes the wake-ups out first"
        );
        locked
    }

    /// Whether the next entry would get this number.
    ///
    /// # Errors
    /// [`Error::Conflict`]; as [`GroupCommit::check`].
    pub fn check_next(&self, expected: u64) -> Result<(), Error<T::Error>> {
        let locked = self.lock();
        locked.refuse_if_closed()?;
        locked.refuse_unless_next(expected)
    }

    /// Copies entries into the open frame and numbers them, if the first gets the `expected` number.
    #[allow(clippy::too_many_arguments, reason = "each is another thing that a caller asks for")]
    fn join<'a>(
        &'a self,
        locked: Locked<'a, T>,
        expected: Option<u64>,
        batch: Batch,
        asked: Durability,
        caller: Caller,
        patience: Patience,
        fill: impl FnOnce(&mut T::Frame),
    ) -> Result<Joining<'a, T>, Error<T::Error>> {
        debug_assert!(batch.entries > 0, "an empty batch gets no number");
        let locked = self.make_room(locked, batch, patience)?;
        if let Some(expected) = expected {
            // Not before there is room: until then others join, and a write that fails gives numbers back.
            locked.refuse_unless_next(expected)?;
        }
        let mut locked = self.filled(locked, fill);
        let state = &mut *locked;
        let open = &mut state.open;
        if open.entries == 0 && (self.policy.waits() || open.number.is_multiple_of(SAMPLED_FRAMES)) {
            open.begun = Some(now());
        }
        let first = state.next;
        state.next += batch.entries;
        state.in_flight_bytes += batch.bytes;
        open.entries += batch.entries;
        open.bytes += batch.bytes;
        open.asked = open.asked.max(asked);
        let had_tickets = open.has_tickets;
        match (caller, asked) {
            (_, Durability::Buffered) => open.promised = true,
            (Caller::GoesOn, Durability::Written) => open.has_tickets = true,
            (Caller::GoesOn, Durability::Durable) => (open.has_tickets, state.wanted) = (true, state.next),
            (Caller::Waits, Durability::Written) => open.waits_for_write = true,
            (Caller::Waits, Durability::Durable) => {
                open.waiters += 1;
                state.awaited = state.next;
            }
        }
        let wants_flusher = open.has_tickets && !had_tickets;
        let place = Place { first, end: state.next, frame: open.number };
        let begins_interval = self.interval().is_some() && state.pending_since.is_none();
        if begins_interval {
            state.pending_since = Some(now());
        }
        let fills_buffer = asked == Durability::Buffered && self.has_many(state);
        if wants_flusher || begins_interval || fills_buffer {
            self.work.notify_one();
        }
        Ok((locked, place))
    }

    /// Copies entries into the open frame.
    fn filled<'a>(&'a self, locked: Locked<'a, T>, fill: impl FnOnce(&mut T::Frame)) -> Locked<'a, T> {
        let mut locked = locked;
        let filled = catch_unwind(AssertUnwindSafe(|| fill(&mut locked.open.frame)));
        if let Err(panic) = filled {
            // The frame has half of something. No other thread gets the lock before all are told.
            self.latch(&mut locked, Error::Panicked);
            self.unlock_and_wake(locked);
            resume_unwind(panic);
        }
        locked
    }

    /// Waits until a batch fits. A thread that finds the open frame full writes it; and so does one that finds too much in
    /// flight while no other is about to write it.
    fn make_room<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        batch: Batch,
        patience: Patience,
    ) -> Result<Locked<'a, T>, Error<T::Error>> {
        loop {
            locked.refuse_if_closed()?;
            if locked.held_back.is_some() && !locked.writing {
                locked = self.write_next(locked);
                if let Some((_, error)) = &locked.held_back {
                    return Err(error.clone());
                }
                continue;
            }
            let open = &locked.open;
            let fits = open.entries == 0
                || (open.entries + batch.entries <= self.limits.frame_entries
                    && open.bytes + batch.bytes <= self.limits.frame_bytes);
            let allowed = !locked.truncating
                && (locked.in_flight_bytes == 0
                    || locked.in_flight_bytes + batch.bytes <= self.limits.in_flight_bytes);
            if fits && allowed {
                return Ok(locked);
            }
            if (!fits || open.is_only_buffered()) && !locked.writing {
                locked = self.write_next(locked);
                continue;
            }
            if patience == Patience::None {
                return Err(Error::Backpressure);
            }
            if !self.limits.flusher && !allowed && !locked.writing && !locked.syncing {
                locked = self.do_what_is_due(locked);
                continue;
            }
            locked = match patience {
                Patience::Until(deadline) => {
                    let left = deadline.saturating_duration_since(now());
                    if left.is_zero() {
                        return Err(Error::Backpressure);
                    }
                    self.room.wait_for(&self.state, locked, left)
                }
                _ => self.room.wait(locked),
            };
        }
    }

    /// Whether no thread calls wakers now, so that the flusher is not in one.
    fn flusher_is_free(&self) -> bool {
        self.calling_out.load(Ordering::Relaxed) == 0
    }

    /// Without a flusher, or while it may be busy in a waker, a thread that waits does what is due. Begins nothing once `deadline` has passed.
    fn drive_for(&self, ticket: &Ticket<T::Error>, deadline: Option<Instant>) {
        if self.limits.flusher && self.flusher_is_free() || ticket.outcome().is_some() {
            return;
        }
        let mut locked = self.lock();
        while ticket.outcome().is_none() && deadline.is_none_or(|deadline| now() < deadline) {
            locked = match deadline {
                Some(deadline) if locked.deferred.is_some() && locked.unsynced.is_empty() => {
                    let left = deadline.saturating_duration_since(now());
                    self.turn.wait_for(&self.state, locked, left)
                }
                _ => self.do_what_is_due(locked),
            };
        }
    }

    fn write_if_full<'a>(&'a self, mut locked: Locked<'a, T>) {
        let most = self.limits.buffered_bytes.unwrap_or(0);
        if locked.open.bytes >= most && !locked.writing {
            // Should it fail, the next call tells: what was promised of this entry is true.
            locked = self.write_next(locked);
        }
        drop(locked);
    }

    /// Writes everything that has joined.
    fn write_all<'a>(&'a self, locked: Locked<'a, T>) -> Result<Locked<'a, T>, Error<T::Error>> {
        let end = locked.next;
        self.write_up_to(locked, end, OnDeferred::Wait)
    }

    /// Writes everything that has joined before `end`.
    fn write_up_to<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        end: u64,
        on_deferred: OnDeferred,
    ) -> Result<Locked<'a, T>, Error<T::Error>> {
        // A write that fails takes with it what is open after it, and its numbers may be given again. So
        // the epoch tells, and the watermark alone does not.
        let (end, epoch) = (end.min(locked.next), Arc::clone(&locked.epoch));
        loop {
            match epoch.outcome(Durability::Written, end) {
                Some(outcome) => return outcome.map(|()| locked),
                None if on_deferred == OnDeferred::Return && locked.deferred.is_some() => return Ok(locked),
                None if locked.writing => locked = self.turn.wait(locked),
                None => locked = self.write_next(locked),
            }
        }
    }
}

/// Where appends wait for no sync, one frame in so many is timed: reading the clock costs much beside a small write.
const SAMPLED_FRAMES: u64 = 16;

/// What a caller does that meets a write which waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDeferred {
    Wait,
    Return,
}

/// What a caller does once its entries have joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// Blocks until they are as durable as it asked for.
    Waits,
    /// Goes on, with a ticket.
    GoesOn,
}

impl<T: Target> fmt::Debug for GroupCommit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit")
            .field("policy", &self.policy)
            .field("written", &self.written())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
