//! How long a leader waits for company before it writes and syncs.
//!
//! Threads that append over and over come back shortly after the sync that they shared. Under `grouped` a leader waits until
//! as many are there as shared the last one, so that one sync serves all; but for no longer than pays: if nobody comes, that
//! is a third of a sync more, once.
//!
//! The leader lets others run meanwhile. Whoever is the last to come leads in its place, because it has the processor. On a
//! busy machine the leader would not get its processor back in time: once that has happened it sleeps instead, for some
//! frames.

use std::time::Duration;

use super::lead::Joined;
use super::{GroupCommit, Locked};
use crate::epoch::word_of;
use crate::policy::SyncPolicy;
use crate::primitives::{now, since, yield_now};
use crate::target::Target;

/// How much later than it wanted to a leader may come back.
const LATE: Duration = Duration::from_micros(200);
/// One late leader in so many frames costs less than sleeping does where the machine is not busy.
const FRAMES_ASLEEP: u32 = 256;

impl<T: Target> GroupCommit<T> {
    /// Waits for company in the frame of this leader, while it is open. The lock is given up meanwhile, and another may lead
    /// then.
    pub(super) fn gather<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        joined: &Joined<T::Error>,
    ) -> Locked<'a, T> {
        let SyncPolicy::Grouped { window } = self.policy else { return locked };
        if locked.open.number != joined.place.frame || locked.company_is_complete() {
            return locked;
        }
        let deadline = now() + window.min(locked.company.sync_takes / 3);
        locked.gathers = true;
        let sleeps = locked.company.sleeps > 0;
        locked.company.sleeps = locked.company.sleeps.saturating_sub(1);
        while locked.gathers && locked.leader == Some(joined.place.end) && joined.is_pending() {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                locked.gathers = false;
                break;
            }
            if sleeps {
                let nap = self.callers[word_of(joined.place.frame)].prepare();
                drop(locked);
                nap.sleep(Some(left));
                locked = self.lock();
            } else {
                drop(locked);
                yield_now();
                locked = self.lock();
                if since(deadline) > LATE {
                    locked.company.sleeps = FRAMES_ASLEEP;
                }
            }
        }
        locked
    }
}
