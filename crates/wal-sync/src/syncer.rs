//! Drives a [`SyncTarget`] by a policy, and latches its first failure.

use crate::policy::SyncPolicy;
use crate::primitives::{Mutex, Panicked};
use crate::target::SyncTarget;
use crate::watermark::Watermark;

/// The watermarks of a log, and the turn to sync.
///
/// Locks: `turn` is held while the target syncs, so at most one sync is in flight; whoever waits for it
/// and finds that the last sync covered its entry returns without another. `failure` is held for a
/// moment only. Neither is held by an appender that does not wait.
#[derive(Debug)]
pub struct Syncer<E> {
    policy: SyncPolicy,
    written: Watermark,
    durable: Watermark,
    turn: Mutex<()>,
    failure: Mutex<Option<E>>,
}

impl<E: Clone + From<Panicked>> Syncer<E> {
    /// A syncer of a log in which everything in front of `next` is durable.
    #[must_use]
    pub fn new(policy: SyncPolicy, next: u64) -> Syncer<E> {
        Syncer {
            policy,
            written: Watermark::new(next),
            durable: Watermark::new(next),
            turn: Mutex::new(()),
            failure: Mutex::new(None),
        }
    }

    /// The number of the first entry that is not written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.position()
    }

    /// The number of the first entry that is not durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable.position()
    }

    /// Why nothing more will ever become durable, if so.
    #[must_use]
    pub fn failure(&self) -> Option<E> {
        self.failure.lock_whole().clone()
    }

    /// Latches a failure: the first one stays. Returns the one that is latched.
    pub fn fail(&self, error: E) -> E {
        self.failure.lock_whole().get_or_insert(error).clone()
    }

    /// Everything in front of `next` was written. Returns when the policy's promise holds for it.
    ///
    /// # Errors
    /// The latched failure, if the policy waits.
    pub fn wrote(&self, next: u64, target: &impl SyncTarget<Error = E>) -> Result<(), E> {
        self.written.advance(next);
        if self.policy.waits() { self.sync_to(next, target) } else { Ok(()) }
    }

    /// Everything in front of `written` was written, and everything in front of `durable` became durable
    /// in passing, as when a segment is sealed. Nobody sees more durable than written.
    pub fn passed(&self, written: u64, durable: u64) {
        self.written.advance(written);
        self.durable.advance(durable);
    }

    /// Returns when no sync is in flight, for whoever must not run beside one.
    ///
    /// # Errors
    /// The latched failure; a sync that panicked is one.
    pub fn wait_for_turn(&self) -> Result<(), E> {
        drop(self.turn.lock().map_err(|panicked| self.fail(panicked.into()))?);
        self.failure().map_or(Ok(()), Err)
    }

    /// Returns when everything in front of `next`, which was written, is durable.
    ///
    /// # Errors
    /// The latched failure.
    pub fn sync_to(&self, next: u64, target: &impl SyncTarget<Error = E>) -> Result<(), E> {
        let _turn = self.turn.lock().map_err(|panicked| self.fail(panicked.into()))?;
        // What became durable before a failure is durable, but nobody may rely on the log any more.
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        if self.durable() >= next {
            return Ok(());
        }
        match target.sync() {
            Ok(covered) => {
                self.durable.advance(covered);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{AtomicU64, Ordering};

    /// The error of a fake: a name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Named(&'static str);

    impl From<Panicked> for Named {
        fn from(_: Panicked) -> Named {
            Named("panicked")
        }
    }

    /// Counts its syncs; fails the one with number `fails_at`, and only that one.
    struct Fake {
        syncs: AtomicU64,
        written: u64,
        fails_at: u64,
    }

    impl Fake {
        fn new(written: u64, fails_at: u64) -> Fake {
            Fake { syncs: AtomicU64::new(0), written, fails_at }
        }

        fn syncs(&self) -> u64 {
            self.syncs.load(Ordering::Relaxed)
        }
    }

    impl SyncTarget for Fake {
        type Error = Named;

        fn sync(&self) -> Result<u64, Named> {
            let sync = self.syncs.fetch_add(1, Ordering::Relaxed);
            if sync == self.fails_at { Err(Named("no device")) } else { Ok(self.written) }
        }
    }

    #[test]
    fn immediate_syncs_before_it_returns_and_none_does_not() {
        for (policy, syncs, durable) in [(SyncPolicy::Immediate, 1, 5), (SyncPolicy::None, 0, 0)] {
            let (syncer, fake) = (Syncer::new(policy, 0), Fake::new(5, u64::MAX));
            assert_eq!(syncer.wrote(5, &fake), Ok(()));
            assert_eq!((fake.syncs(), syncer.durable(), syncer.written()), (syncs, durable, 5));
        }
    }

    #[test]
    fn one_sync_serves_everything_written_before_it() {
        let (syncer, fake) = (Syncer::new(SyncPolicy::Immediate, 0), Fake::new(9, u64::MAX));
        for next in 1..=9 {
            assert_eq!(syncer.wrote(next, &fake), Ok(()));
        }
        assert_eq!(fake.syncs(), 1);
    }

    #[test]
    fn a_failed_sync_is_latched_and_never_retried() {
        let (syncer, fake) = (Syncer::new(SyncPolicy::Immediate, 0), Fake::new(9, 1));
        let durable_at_first = Fake::new(1, u64::MAX);
        assert_eq!(syncer.wrote(1, &durable_at_first), Ok(()));
        assert_eq!(syncer.wrote(2, &Fake::new(2, 0)), Err(Named("no device")));
        for next in 1..9 {
            assert_eq!(syncer.sync_to(next, &fake), Err(Named("no device")));
        }
        assert_eq!((fake.syncs(), syncer.durable()), (0, 1));
    }

    #[test]
    fn the_first_failure_is_the_one_that_everybody_gets() {
        let syncer = Syncer::new(SyncPolicy::None, 0);
        assert_eq!(syncer.fail(Named("first")), Named("first"));
        assert_eq!(syncer.fail(Named("second")), Named("first"));
        assert_eq!(syncer.failure(), Some(Named("first")));
        assert_eq!(syncer.wait_for_turn(), Err(Named("first")));
    }

    #[test]
    fn a_sync_that_panicked_is_a_sync_that_failed() {
        struct Panics;
        impl SyncTarget for Panics {
            type Error = Named;
            fn sync(&self) -> Result<u64, Named> {
                panic!("below the log, on purpose")
            }
        }
        let syncer = Syncer::new(SyncPolicy::Immediate, 0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| syncer.wrote(1, &Panics)));
        assert!(panicked.is_err());
        assert_eq!(syncer.wrote(2, &Fake::new(2, u64::MAX)), Err(Named("panicked")));
        assert_eq!((syncer.failure(), syncer.durable()), (Some(Named("panicked")), 0));
    }
}
