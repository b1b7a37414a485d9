//! Which caller writes, and which one leads to the next sync.
//!
//! ```text
//!  waits for  │ no caller does that yet                 │ a caller does it already
//!  its write  │ writes its frame                        │ spins, looks at this table now and then, then sleeps
//!  its sync   │ leads: waits for siblings,              │ sleeps until it is durable; leads if it is the last of the
//!             │ writes, syncs                           │ siblings that the leader waits for
//! ```
//!
//! A caller that is done wakes callers that still wait, and they look at this table again. A caller looks at the table and is
//! counted as a sleeper without releasing the lock in between, so no wake-up is lost.

use super::state::State;
use super::turns::Fate;
use super::{GroupCommit, Locked, Place};
use crate::epoch::{Epoch, word_of};
use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, Spin};
use crate::target::Target;

/// What a caller does whose entry is not as durable as it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Write,
    Lead,
    Wait,
}

const fn role(asked: Durability, writing: bool, leading: Leading) -> Role {
    match (asked, leading) {
        (Durability::Written, _) if !writing => Role::Write,
        (Durability::Durable, Leading::NoCaller | Leading::AwaitsThis) => Role::Lead,
        _ => Role::Wait,
    }
}

/// Whether another caller leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leading {
    NoCaller,
    AnotherCaller,
    /// It waits for siblings, and this caller is the last of them.
    AwaitsThis,
}

impl<T: Target> GroupCommit<T> {
    /// Blocks until the outcome of entries that have just joined is known. Writes, or leads to a sync, if no other caller does.
    pub(super) fn see_to<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        place: Place,
        asked: Durability,
    ) -> Result<(), Error<T::Error>> {
        let epoch = if role(asked, locked.writing, locked.leading()) == Role::Write {
            // The next frame to be written is this caller's, so its fate is the outcome of this caller's entries.
            debug_assert!(
                locked.deferred.is_none() && locked.held_back.is_none(),
                "no other frame is written first"
            );
            let fate;
            (locked, fate) = self.write_frame(locked);
            match fate {
                Fate::Written => return Ok(()),
                Fate::Lost(error) => return Err(error),
                Fate::Deferred(epoch) => epoch,
            }
        } else {
            Arc::clone(&locked.epoch)
        };
        self.wait_for(locked, &Joined { epoch, place }, asked)
    }

    fn wait_for<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        joined: &Joined<T::Error>,
        asked: Durability,
    ) -> Result<(), Error<T::Error>> {
        let word = &self.callers[word_of(joined.place.frame)];
        // A write takes less time than falling asleep. Between two parts of the spin the caller looks at the table again, because
        // a writer that is done wakes only callers that sleep.
        let spins: &[Spin] = if asked == Durability::Written { &Spin::ALL } else { &[] };
        let mut spins = spins.iter();
        loop {
            if let Some(outcome) = joined.outcome(asked) {
                return outcome;
            }
            locked = match role(asked, locked.writing, locked.leading()) {
                Role::Write => self.write_next(locked),
                Role::Lead => self.lead(locked, joined),
                Role::Wait => locked,
            };
            if let Some(outcome) = joined.outcome(asked) {
                return outcome;
            }
            // Writing and leading release the lock: what they left to do may have changed since.
            if asked == Durability::Written && locked.wants_writer()
                || asked == Durability::Durable && locked.wants_leader()
            {
                continue;
            }
            if let Some(spin) = spins.next() {
                drop(locked);
                spin.until(|| joined.outcome(asked).is_some());
            } else {
                let nap = word.prepare();
                drop(locked);
                nap.sleep(None);
            }
            if let Some(outcome) = joined.outcome(asked) {
                return outcome;
            }
            locked = self.lock();
        }
    }

    /// Writes and syncs what this caller waits for, and what joins in the same frame.
    fn lead<'a>(&'a self, mut locked: Locked<'a, T>, joined: &Joined<T::Error>) -> Locked<'a, T> {
        (locked.leader, locked.waits_for_siblings) = (Some(joined.place.end), false);
        // What comes while a sync runs shares the next one.
        while locked.syncing && locked.leader == Some(joined.place.end) && joined.is_pending() {
            locked = self.turn.wait(locked);
        }
        if locked.leader == Some(joined.place.end) {
            locked = self.wait_for_siblings(locked, joined);
        }
        while locked.leader == Some(joined.place.end) && joined.is_pending() && !locked.is_over() {
            if joined.outcome(Durability::Written).is_none() && locked.deferred.is_none() {
                locked = if locked.writing { self.turn.wait(locked) } else { self.write_next(locked) };
            } else if locked.syncing {
                locked = self.turn.wait(locked);
            } else if locked.written > locked.durable {
                // Callers that join from now on wait for the next sync, and one of them leads to it.
                locked.leader = None;
                return self.sync_now(locked);
            } else {
                break;
            }
        }
        if locked.leader == Some(joined.place.end) {
            locked.leader = None;
        }
        self.wake_and_lock(locked)
    }
}

/// What a caller waits for.
pub(super) struct Joined<E> {
    epoch: Arc<Epoch<E>>,
    pub(super) place: Place,
}

impl<E: Clone> Joined<E> {
    fn outcome(&self, asked: Durability) -> Option<Result<(), Error<E>>> {
        self.epoch.outcome(asked, self.place.end)
    }

    /// Whether it is not known whether they will be durable.
    pub(super) fn is_pending(&self) -> bool {
        self.outcome(Durability::Durable).is_none()
    }
}

impl<T: Target> State<T> {
    fn leading(&self) -> Leading {
        match self.leader {
            None => Leading::NoCaller,
            Some(_) if self.waits_for_siblings && self.siblings_are_complete() => Leading::AwaitsThis,
            Some(_) => Leading::AnotherCaller,
        }
    }

    /// Whether callers wait for a write that one of them could do, and none is at it.
    pub(super) fn wants_writer(&self) -> bool {
        self.open.waits_for_write && !self.writing && !self.is_over()
    }

    /// Whether callers wait for a sync that one of them could lead to, and none does.
    pub(super) fn wants_leader(&self) -> bool {
        let can_write = self.has_unwritten() && !self.writing;
        let can_sync = self.written > self.durable && !self.syncing;
        self.awaited > self.durable && self.leader.is_none() && (can_write || can_sync) && !self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Durability::{Buffered, Durable, Written};

    #[test]
    fn a_caller_writes_or_leads_when_no_other_does() {
        for (asked, writing, leading, expected) in [
            (Written, false, Leading::NoCaller, Role::Write),
            (Written, false, Leading::AnotherCaller, Role::Write),
            (Written, false, Leading::AwaitsThis, Role::Write),
            (Written, true, Leading::NoCaller, Role::Wait),
            (Written, true, Leading::AwaitsThis, Role::Wait),
            (Durable, false, Leading::NoCaller, Role::Lead),
            (Durable, true, Leading::NoCaller, Role::Lead),
            (Durable, false, Leading::AnotherCaller, Role::Wait),
            (Durable, true, Leading::AnotherCaller, Role::Wait),
            (Durable, false, Leading::AwaitsThis, Role::Lead),
            (Buffered, false, Leading::NoCaller, Role::Wait),
        ] {
            assert_eq!(role(asked, writing, leading), expected, "{asked:?}, {writing}, {leading:?}");
        }
    }
}
