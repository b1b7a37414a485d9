//! Ending segments that are old, and dropping what retention lets go: by the thread `wal-keeper`, or where there is none
//! by the call that comes next.

use std::time::Duration;

use crate::engine::Core;
use crate::engine::tail::Tail;

/// Where nothing is due, the thread looks again after this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// While appends wait for room, it is looked for this often.
const POLL: Duration = Duration::from_millis(20);
/// What failed is tried again after this, and what waits for a LINK to become durable.
const PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// The body of the thread `wal-keeper`.
    pub(crate) fn keep_on(&self) {
        let mut sleep = LONGEST_SLEEP;
        while self.keeper.until_due(sleep) {
            sleep = self.keep();
        }
    }

    /// Where no thread does it, whoever comes by.
    pub(crate) fn keep_if_due(&self) {
        if self.keeps_here && self.keeper.is_due_here() {
            self.keep();
        }
    }

    /// Ends a segment that is old, and drops what retention lets go. Returns when to look again.
    fn keep(&self) -> Duration {
        let tail = self.commits.target();
        let mut sleep = LONGEST_SLEEP;
        if self.commits.check().is_err() {
            return sleep;
        }
        match self.keeper.until_ended() {
            Some(left) if left.is_zero() => {
                if let Err(error) = self.roll() {
                    self.keeper.failed(&error);
                    sleep = sleep.min(PAUSE);
                }
            }
            Some(left) => sleep = sleep.min(left),
            None => {}
        }
        // One time for both questions: a segment that grows too old between them would be dropped after the longest
        // sleep only.
        let monotonic_ns = tail.monotonic_ns();
        if self.keeper.retains_from(&tail.layout(), monotonic_ns).is_some() {
            let retained = self.commits.drop_before(0, Tail::retain);
            self.tidy();
            if let Err(error) = retained {
                self.keeper.failed(&error.into());
                sleep = sleep.min(PAUSE);
            }
        }
        if self.keeper.keeping().waits() && self.commits.is_starved() {
            // Nobody tells when a reader is gone for which files linger.
            self.commits.retry();
        }
        if self.keeper.take_starved() || self.keeper.keeping().waits() && self.commits.is_starved() {
            sleep = sleep.min(POLL);
        }
        if self.keeper.awaits_link() {
            sleep = sleep.min(PAUSE);
        }
        let expires = self.keeper.until_expired(&tail.layout(), monotonic_ns);
        expires.map_or(sleep, |left| sleep.min(left))
    }

    /// What is not urgent behind a truncation, once others may go on.
    pub(crate) fn tidy(&self) {
        let tail = self.commits.target();
        self.library.keep(&tail.layout());
        tail.retire_unneeded();
    }
}
