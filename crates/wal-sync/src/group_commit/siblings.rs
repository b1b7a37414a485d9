//! How long a leader waits for siblings before it writes and syncs.
//!
//! Threads that append in a loop come back shortly after the sync that they shared. Under `grouped` a leader waits until as
//! many callers wait in its frame as waited when the last sync ended: those that it released, and those that had joined
//! meanwhile. It waits never longer than the window, nor than a third of the last sync. Where no caller came, leaders do
//! not wait for the next sync, then for the next three, up to 63, until a caller comes again. So callers that need longer than
//! that to come back are not slowed down.
//!
//! While it waits, the leader yields its processor. The caller that completes the siblings takes over the lead: it runs, the
//! leader may not. On a busy machine a yield returns too late. Once that has happened, the next leaders that wait sleep
//! instead, until their siblings wake them or their time is over.

use std::time::Duration;

use super::lead::Joined;
use super::{GroupCommit, Locked};
use crate::epoch::word_of;
use crate::policy::SyncPolicy;
use crate::primitives::{now, since, yield_now};
use crate::target::Target;

/// A leader that gets its processor back this long after its deadline came back too late: other programs had their turn, not
/// only the callers that it waits for.
const LATE: Duration = Duration::from_millis(1);
/// How many of the next leaders that wait sleep after one came back late. A choice: one is late in so many.
const LEADERS_ASLEEP: u32 = 1024;

impl<T: Target> GroupCommit<T> {
    /// Waits for siblings in the frame of this leader, while that is open. Releases the lock meanwhile; afterwards another caller
    /// may lead.
    pub(super) fn wait_for_siblings<'a>(
        &'a self,
        mut locked: Locked<'a, T>,
        joined: &Joined<T::Error>,
    ) -> Locked<'a, T> {
        let SyncPolicy::Grouped { window } = self.policy else { return locked };
        if locked.open.number != joined.place.frame || locked.siblings_are_complete() {
            return locked;
        }
        let deadline = now() + window.min(locked.siblings.sync_takes / 3);
        let begun_with = locked.open.waiters;
        locked.waits_for_siblings = true;
        let sleeps = locked.siblings.sleeps > 0;
        locked.siblings.sleeps = locked.siblings.sleeps.saturating_sub(1);
        while locked.waits_for_siblings && locked.leader == Some(joined.place.end) && joined.is_pending() {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                locked.waits_for_siblings = false;
                let came = locked.open.waiters > begun_with;
                locked.siblings.gave_up(came);
                return locked;
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
                    locked.siblings.sleeps = LEADERS_ASLEEP;
                }
            }
        }
        locked.siblings.in_vain = 0;
        locked
    }
}
