//! Maintenance: ends segments that are old, and drops what retention lets go. By the thread `wal-retention`, or where there
//! is none by the next call.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::tail::Tail;

/// Where nothing is due, the thread looks again after this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// While appends wait for room, the thread looks for it this often.
const POLL: Duration = Duration::from_millis(20);
/// What failed is tried again after this, and what waits for a LINK to become durable.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// The body of the thread `wal-retention`.
    pub(crate) fn run_maintenance(&self) {
        let mut sleep = LONGEST_SLEEP;
        while self.maintenance().until_due(sleep) {
            sleep = self.maintain();
        }
    }

    /// Where there is no thread for it: does what is due.
    pub(crate) fn maintain_if_due(&self) {
        let is_due = || {
            self.maintenance().take_due() || self.retention().until_ended().is_some_and(|left| left.is_zero())
        };
        if self.maintains_in_calls && is_due() {
            self.maintain();
        }
    }

    /// Ends a segment that is old, and drops what retention lets go. Returns when to look again.
    fn maintain(&self) -> Duration {
        let (tail, retention) = (self.commits.target(), self.retention());
        let mut sleep = LONGEST_SLEEP;
        if self.commits.check().is_err() {
            return sleep;
        }
        match retention.until_ended() {
            Some(left) if left.is_zero() => {
                if let Err(error) = self.roll() {
                    self.maintenance().failed(&error);
                    sleep = sleep.min(PAUSE);
                }
            }
            Some(left) => sleep = sleep.min(left),
            None => {}
        }
        // One time for both questions: a segment that grows too old between them would be dropped after the longest
        // sleep only.
        let monotonic_ns = tail.directory.monotonic_ns();
        if retention.drops_before(self.holds(), &tail.layout(), monotonic_ns).is_some() {
            let retained = self.commits.drop_before(0, Tail::retain);
            self.tidy();
            if let Err(error) = retained {
                self.maintenance().failed(&error.into());
                sleep = sleep.min(PAUSE);
            }
        }
        if tail.options.waits() && self.commits.is_deferred() {
            // No event reports that a reader has closed dropped files.
            self.commits.retry();
        }
        if self.maintenance().take_deferred() || tail.options.waits() && self.commits.is_deferred() {
            sleep = sleep.min(POLL);
        }
        if retention.awaits_link() {
            sleep = sleep.min(PAUSE);
        }
        let expires = retention.until_expired(&tail.layout(), monotonic_ns);
        expires.map_or(sleep, |left| sleep.min(left))
    }

    /// The part of a truncation that is not urgent, after the turns are given back.
    pub(crate) fn tidy(&self) {
        let tail = self.commits.target();
        self.cache.segments.keep(&tail.layout());
        tail.recycle_obsolete();
    }
}
