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
//! depends on the machine and on its disk, so it is measured: when a wait has been too short for all of
//! them, though they were coming, again and again, they are many; when those who were woken are back as
//! quickly as all of them would have to be, again and again, or half of them are gone, they are not.

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
    /// So often in a row did more than a third of them come, and not all, while their leader waited.
    late: u32,
    /// The ticker leads so many: nobody else does who joins.
    led_by_ticker: Option<u64>,
    /// How many the ticker woke last, and how many of them have not come back.
    woken: u64,
    away: u64,
    /// When the first of them was back.
    back_since: Option<Instant>,
    /// So often in a row were they back quickly.
    quick: u32,
    /// So often in a row did nobody join while the ticker synced, or were half of them gone.
    thin: u32,
    /// The leader of the open frame with this number sleeps, and another goes on in its place.
    relieved: Option<u64>,
}

/// What happens so often in a row is no accident of the machine's.
const OFTEN: u32 = 3;

/// Fewer are never taken for too many to be waited for: each of their syncs would cost two more hand-overs, and
/// a late one now and then is no sign of many. A choice, not a limit of the machine.
const LEAST_CROWD: u64 = 24;

impl Company {
    pub(super) fn ticker_leads(&self) -> bool {
        self.led_by_ticker.is_some()
    }

    /// A thread has joined that waits for a sync.
    pub(super) fn joined(&mut self) {
        if !self.ticker_leads() || self.away == 0 {
            return;
        }
        let back_since = *self.back_since.get_or_insert_with(now);
        self.away -= 1;
        if self.away == 0 {
            self.quick = if self.would_all_be_back(since(back_since)) { self.quick + 1 } else { 0 };
            if self.quick >= OFTEN {
                self.led_by_ticker = None;
            }
        }
    }

    /// Whether a leader would have all of them within its patience, when those who were woken last took so
    /// long from the first to the last.
    fn would_all_be_back(&self, took: Duration) -> bool {
        took.as_nanos() * u128::from(self.expected) <= self.patience.as_nanos() * u128::from(self.woken)
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
        let Some(crowd) = self.led_by_ticker else { return };
        self.thin = if joined == 0 || self.expected < crowd / 2 { self.thin + 1 } else { 0 };
        if self.thin >= OFTEN {
            self.led_by_ticker = None;
        }
        (self.woken, self.away, self.back_since) = (waiters, waiters, None);
    }

    /// A wait is over in which not all have come.
    fn missed(&mut self, came: u64, ticker: bool) {
        let many = ticker && self.expected >= LEAST_CROWD && came * 3 > self.expected;
        self.late = if many { self.late + 1 } else { 0 };
        if self.late >= OFTEN {
            (self.late, self.quick, self.thin, self.away) = (0, 0, 0, 0);
            self.led_by_ticker = Some(self.expected);
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
        if !locked.is_open(group) {
            return (locked, false);
        }
        if locked.open.waiters >= expected {
            locked.company.late = 0;
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
