//! What the lock of the group commit protects.

use std::collections::VecDeque;
use std::task::Waker;

use super::company::Company;
use super::cuts::Cuts;
use crate::error::Error;
use crate::group::Group;
use crate::policy::Durability;
use crate::primitives::{Arc, Instant};
use crate::target::Target;

/// Entries that gather for one write.
pub(super) struct Gathering<T: Target> {
    pub(super) frame: T::Frame,
    pub(super) group: Arc<Group<T::Error>>,
    pub(super) first: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// The most that somebody in it waits for.
    pub(super) asked: Durability,
    /// Somebody was told that it has joined, and has gone on.
    pub(super) promised: bool,
    /// Somebody in it waits for the write alone.
    pub(super) waits_for_write: bool,
    /// Threads that block until it is durable.
    pub(super) waiters: u64,
    /// A thread in it writes it, at the latest when no sync runs and its company is there.
    pub(super) led: bool,
    /// A thread in it writes it as soon as it has the turn.
    pub(super) led_at_once: bool,
    /// A thread in it syncs it.
    pub(super) synced: bool,
    /// The thread that leads it waits until so many threads are in it.
    pub(super) gathers_for: Option<u64>,
    /// When it was begun, of frames whose time is taken.
    pub(super) begun: Option<Instant>,
}

/// A group that is written and waits for a sync.
pub(super) struct Unsynced<E> {
    pub(super) group: Arc<Group<E>>,
    pub(super) end: u64,
    pub(super) bytes: u64,
    pub(super) waiters: u64,
    pub(super) begun: Option<Instant>,
}

/// Somebody who waits for a watermark.
pub(super) struct Watcher {
    pub(super) id: u64,
    pub(super) mark: super::Mark,
    pub(super) sequence: u64,
    pub(super) waker: Waker,
}

pub(super) struct State<T: Target> {
    /// Where entries join.
    pub(super) open: Gathering<T>,
    /// Buffered entries whose write failed: they are written before anything else.
    pub(super) held_back: Option<(Gathering<T>, Error<T::Error>)>,
    /// What waits for room, and why. As long as it does, nobody has the turn to write and it counts as taken, so
    /// that all who want it wait; but for a truncation, which may make room.
    pub(super) starved: Option<(Gathering<T>, Error<T::Error>)>,
    /// The frame that is not in use.
    pub(super) idle_frame: Option<T::Frame>,
    /// The number of the next entry that joins.
    pub(super) next: u64,
    pub(super) written: u64,
    /// A write has failed, and none has succeeded since: the target may hold something behind what is written.
    pub(super) rest_in_doubt: bool,
    pub(super) durable: u64,
    /// Syncs have covered so much, whether or not it is known to be written.
    pub(super) covered: u64,
    /// Somebody has the turn to write.
    pub(super) writing: bool,
    /// Somebody has the turn to sync.
    pub(super) syncing: bool,
    /// Nothing joins before a truncation has ended.
    pub(super) truncating: bool,
    /// Where the end of the log was cut off, and which numbers failed writes gave back.
    pub(super) cuts: Cuts,
    pub(super) unsynced: VecDeque<Unsynced<T::Error>>,
    /// Bytes that joined, and have not reached what was asked for.
    pub(super) in_flight_bytes: u64,
    /// Somebody who does not sync waits until everything in front of this is durable.
    pub(super) wanted: u64,
    /// The target asked for a sync.
    pub(super) sync_soon: bool,
    /// Since when something is not durable, while something is not.
    pub(super) pending_since: Option<Instant>,
    pub(super) company: Company,
    pub(super) failure: Option<Error<T::Error>>,
    /// Nothing joins any more.
    pub(super) closed: bool,
    /// Closed, and nothing is written or synced any more.
    pub(super) over: bool,
    /// Groups that ended, to be used again once nobody holds them.
    pub(super) ended: VecDeque<Arc<Group<T::Error>>>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) next_watcher: u64,
    /// How many were taken to be written: the number of the open one.
    pub(super) frames: u64,
    /// How often the turn to write was taken.
    pub(super) writes: u64,
}

/// So many groups are kept to be used again: as many as may be held by slow callers in a steady state.
const KEPT_GROUPS: usize = 64;

/// So many of them are looked at for one that nobody holds.
const TRIED_GROUPS: usize = 8;

impl<T: Target> State<T> {
    pub(super) fn new(frame: T::Frame, next: u64) -> State<T> {
        State {
            open: Gathering::new(frame, Group::new(), next),
            held_back: None,
            starved: None,
            idle_frame: None,
            next,
            written: next,
            rest_in_doubt: false,
            durable: next,
            covered: next,
            writing: false,
            syncing: false,
            truncating: false,
            cuts: Cuts::default(),
            unsynced: VecDeque::new(),
            in_flight_bytes: 0,
            wanted: next,
            sync_soon: false,
            pending_since: None,
            company: Company::default(),
            failure: None,
            closed: false,
            over: false,
            ended: std::iter::repeat_with(Group::new).take(KEPT_GROUPS).collect(),
            watchers: Vec::new(),
            next_watcher: 0,
            frames: 0,
            writes: 0,
        }
    }

    /// Takes the turn to write, which is free.
    pub(super) fn take_turn_to_write(&mut self) {
        self.writing = true;
        self.writes += 1;
    }

    /// Nothing joins a log that failed or is being closed.
    pub(super) fn refuse_if_closed(&self) -> Result<(), Error<T::Error>> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.closed => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Only the next number can be had.
    pub(super) fn refuse_unless_next(&self, expected: u64) -> Result<(), Error<T::Error>> {
        let next = self.next;
        if next == expected { Ok(()) } else { Err(Error::Conflict { expected, next }) }
    }

    /// Nothing changes any more in a log that failed or was closed.
    pub(super) fn refuse_if_over(&self) -> Result<(), Error<T::Error>> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.over => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Whether entries in front of `end` were cut off by a truncation since there were so many cuts.
    pub(super) fn refuse_if_cut(&self, cuts: u64, end: u64) -> Result<(), Error<T::Error>> {
        match self.cuts.lowest_since(cuts) {
            Some(from) if end > from => Err(Error::Truncated { from }),
            _ => Ok(()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.failure.is_some() || self.over
    }

    /// Whether the open group is this one: nobody has begun to write it.
    pub(super) fn is_open(&self, group: &Arc<Group<T::Error>>) -> bool {
        Arc::ptr_eq(&self.open.group, group)
    }

    /// Whether something joined that is not written, and nobody is writing it.
    pub(super) fn has_unwritten(&self) -> bool {
        self.open.entries > 0 || self.held_back.is_some() || self.starved.is_some()
    }

    /// Takes what is written next, and opens another group behind it.
    pub(super) fn take_next(&mut self, target: &T) -> Gathering<T> {
        if let Some((first, _)) = self.starved.take().or_else(|| self.held_back.take()) {
            return first;
        }
        self.frames += 1;
        let frame = self.idle_frame.take().unwrap_or_else(|| target.frame());
        let group = self.fresh_group();
        std::mem::replace(&mut self.open, Gathering::new(frame, group, self.next))
    }

    /// A group nobody is in.
    pub(super) fn fresh_group(&mut self) -> Arc<Group<T::Error>> {
        for _ in 0..self.ended.len().min(TRIED_GROUPS) {
            let Some(oldest) = self.ended.pop_front() else { break };
            match Group::renewed(oldest) {
                Ok(group) => return group,
                Err(held) => self.ended.push_back(held),
            }
        }
        if self.ended.len() == KEPT_GROUPS {
            // Held by somebody who keeps a commit for long.
            self.ended.pop_front();
        }
        Group::new()
    }

    /// A group has reached all that anybody in it asked for.
    pub(super) fn end(&mut self, group: &Arc<Group<T::Error>>, bytes: u64) {
        self.in_flight_bytes -= bytes;
        if self.ended.len() < KEPT_GROUPS {
            self.ended.push_back(Arc::clone(group));
        }
    }
}

impl<T: Target> Gathering<T> {
    pub(super) fn new(frame: T::Frame, group: Arc<Group<T::Error>>, first: u64) -> Gathering<T> {
        Gathering {
            frame,
            group,
            first,
            entries: 0,
            bytes: 0,
            asked: Durability::Buffered,
            promised: false,
            waits_for_write: false,
            waiters: 0,
            led: false,
            led_at_once: false,
            synced: false,
            gathers_for: None,
            begun: None,
        }
    }

    /// Whether somebody in it needs it to be written, and nobody in it does that in time.
    pub(super) fn wants_a_leader(&self) -> bool {
        let waits =
            self.asked > Durability::Buffered && !self.led || self.waits_for_write && !self.led_at_once;
        self.entries > 0 && waits
    }

    /// Whether nobody in it needs it to be written.
    pub(super) fn is_only_buffered(&self) -> bool {
        self.entries > 0 && self.asked == Durability::Buffered
    }

    /// Lets everybody go who is in it, and keeps the entries. Returns the group that they are in.
    pub(super) fn let_go(&mut self, fresh: Arc<Group<T::Error>>) -> Arc<Group<T::Error>> {
        self.asked = Durability::Buffered;
        (self.waits_for_write, self.waiters) = (false, 0);
        (self.led, self.led_at_once, self.synced, self.gathers_for) = (false, false, false, None);
        std::mem::replace(&mut self.group, fresh)
    }
}
