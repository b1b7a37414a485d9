//! Who is expected to share a sync, and who leads them.
//!
//! Threads that append over and over come back shortly after the sync that they shared. Under `grouped` a
//! leader waits for them, so that one sync serves all:
//!
//! ```text
//!  a few      sync ████      sync ████      sync ████
//!             back     ▂▄▆█      ▂▄▆█           the last to come back writes and syncs, for it is awake
//!
//!  many       sync ████sync ████sync ████
//!             back   ▂▄▆██▂▄▆██▂▄▆██            half of them come back while the others are synced
//! ```
//!
//! To wake many takes longer than the wait pays. Then the ticker leads: it has the next sync begun
//! before those of the last one are all awake, and no sync waits for a sleeping leader. What "many" is
//! depends on the machine and on its disk, so it is measured: when the wait has often been too short
//! for most of them, they are many; when all are back within a wait, or nobody comes, they are not.

use std::time::Duration;

use super::{GroupCommit, Locked};
use crate::group::Group;
use crate::policy::SyncPolicy;
use crate::primitives::{Arc, Instant, now, since};
use crate::target::Target;

/// The company that appenders have had lately. Under other policies than `grouped` nobody is expected.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// How many came together lately: the last group, and those that came while it was synced.
    expected: u64,
    /// The longest wait that pays: if nobody comes it costs a third of a sync more, once.
    patience: Duration,
    /// So often in a row did most of them come, and not all, while their leader waited.
    late: u32,
    /// So often in a row did nobody join while a sync ran.
    idle: u32,
    /// The ticker leads: nobody else does who joins.
    ticker_leads: bool,
    /// How many were woken last, when, and how many of them have not come back.
    woken: u64,
    away: u64,
    woken_at: Option<Instant>,
    /// The leader of the open frame with this number sleeps, and another goes on in its place.
    relieved: Option<u64>,
}

/// What happens so often in a row is no accident of the machine's.
const OFTEN: u32 = 3;

impl Company {
    pub(super) fn ticker_leads(&self) -> bool {
        self.ticker_leads
    }

    /// A thread has joined that waits for a sync.
    pub(super) fn joined(&mut self) {
        if !self.ticker_leads || self.away == 0 {
            return;
        }
        self.away -= 1;
        if self.away == 0 && self.woken_at.is_some_and(|woken| self.all_would_be_back(since(woken))) {
            self.ticker_leads = false;
        }
    }

    /// Whether a leader could wait for all, when those who were woken last took so long to come back. That
    /// is twice its patience at most: its wait begins when the first one is back, and this did when they
    /// were woken.
    fn all_would_be_back(&self, took: Duration) -> bool {
        took.as_nanos() * u128::from(self.expected) <= 2 * self.patience.as_nanos() * u128::from(self.woken)
    }

    /// Goes on in the place of the leader of the open frame with this number.
    pub(super) fn relieve(&mut self, frame: u64) {
        self.late = 0;
        self.relieved = Some(frame);
    }

    /// A sync is over that so many threads waited for; so many have joined meanwhile.
    pub(super) fn synced(&mut self, waiters: u64, joined: u64, took: Duration, policy: SyncPolicy) {
        let SyncPolicy::Grouped { window } = policy else { return };
        self.expected = waiters + joined;
        self.patience = window.min(took / 3);
        self.idle = if joined == 0 { self.idle + 1 } else { 0 };
        self.ticker_leads &= self.idle < OFTEN;
        if self.ticker_leads {
            (self.woken, self.away, self.woken_at) = (waiters, waiters, Some(now()));
        }
    }

    /// A wait is over in which not all have come.
    fn missed(&mut self, came: u64, ticker: bool) {
        self.late = if came * 2 > self.expected { self.late + 1 } else { 0 };
        if self.late >= OFTEN && ticker {
            (self.late, self.idle, self.away, self.ticker_leads) = (0, 0, 0, true);
        }
    }
}

impl<T: Target> GroupCommit<T> {
    /// Waits, for a group that is open, until the company is there that was there lately, but never
    /// longer than that pays. Returns whether somebody else has gone on with the group.
    pub(super) fn gather<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        group: &Arc<Group<T::Error>>,
    ) -> (Locked<'a, T>, bool) {
        let expected = locked.company.expected;
        if locked.open.waiters >= expected || !locked.is_open(group) {
            return (locked, false);
        }
        let frame = locked.frames;
        let deadline = now() + locked.company.patience;
        locked.open.gathers_for = Some(expected);
        locked.company.relieved = None;
        loop {
            if locked.company.relieved == Some(frame) {
                return (locked, true);
            }
            if !locked.is_open(group) || locked.failure.is_some() {
                return (locked, false);
            }
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                let came = locked.open.waiters;
                locked.open.gathers_for = None;
                locked.company.missed(came, self.limits.ticker);
                return (locked, false);
            }
            locked = self.gathered.wait_for(&self.state, locked, left);
        }
    }
}
