//! The log as readers are shown it: a snapshot, and an end that an append moves without a lock.
//!
//! The end is under a sequence lock: the version is odd while the end changes, and a reader that saw an odd version, or two
//! different ones, reads again. (H.-J. Boehm, "Can seqlocks get along with programming language memory models?", 2012; here every
//! load is an acquire and every store a release, so that no fence is needed.)

use std::time::Duration;

use wal_format::Sequence;
use wal_segment::{Snapshot, Tip};
use wal_sync::primitives::{AtomicU32, AtomicU64, Condvar, Guard, Mutex, Ordering, yield_now};

/// The caller of everything that changes it holds the lock of the writer. Any thread may look.
#[derive(Debug)]
pub(super) struct Shown {
    snapshot: Mutex<Snapshot>,
    end: End,
    /// Not notified: a reader sleeps here for a limited time.
    preempted: Condvar,
}

/// A reader yields so often for an appender that is between its stores, and then sleeps: where it has the higher priority, no
/// yield lets that one finish.
const YIELDS: u32 = 100;
const SLEEP: Duration = Duration::from_micros(50);

/// Where the last segment of the snapshot ends by now.
#[derive(Debug, Default)]
struct End {
    version: AtomicU64,
    offset: AtomicU64,
    chain: AtomicU32,
    next: AtomicU64,
}

impl Shown {
    pub(super) fn new(snapshot: Snapshot) -> Shown {
        let end = End::default();
        end.set(snapshot.end());
        Shown { snapshot: Mutex::new(snapshot), end, preempted: Condvar::new() }
    }

    /// The log as it is shown now.
    pub(super) fn look(&self) -> Guard<'_, Snapshot> {
        let mut snapshot = self.snapshot.lock_whole();
        loop {
            // Under the lock no other snapshot is shown, so the end is one of this one's last segment.
            if let Some(end) = (0..YIELDS).find_map(|_| self.end.get()) {
                snapshot.extend(end);
                return snapshot;
            }
            snapshot = self.preempted.wait_for(&self.snapshot, snapshot, SLEEP);
        }
    }

    /// Shows another snapshot.
    pub(super) fn replace(&self, snapshot: Snapshot) {
        let mut shown = self.snapshot.lock_whole();
        self.end.set(snapshot.end());
        *shown = snapshot;
    }

    /// Moves the end, after something was appended to the last segment.
    pub(super) fn extend(&self, end: Tip) {
        self.end.set(end);
    }
}

impl End {
    /// By one thread at a time.
    fn set(&self, end: Tip) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        self.offset.store(end.offset, Ordering::Release);
        self.chain.store(end.chain, Ordering::Release);
        self.next.store(end.next.value(), Ordering::Release);
        self.version.store(version + 2, Ordering::Release);
    }

    /// `None`, after a yield, while it changes: if the appender was preempted, that lets it finish.
    fn get(&self) -> Option<Tip> {
        let version = self.version.load(Ordering::Acquire);
        let (offset, chain) = (self.offset.load(Ordering::Acquire), self.chain.load(Ordering::Acquire));
        let next = self.next.load(Ordering::Acquire);
        if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
            let next = Sequence::try_from(next).expect("it was stored by `set`");
            return Some(Tip { offset, chain, next });
        }
        yield_now();
        None
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests stand outside the seams")]
mod tests {
    use super::*;

    fn tip(next: u32) -> Tip {
        let sequence = Sequence::try_from(u64::from(next)).expect("a small number");
        Tip { offset: u64::from(next) * 64, chain: !next, next: sequence }
    }

    #[test]
    fn an_end_that_is_being_changed_is_not_seen() {
        let end = End::default();
        end.set(tip(7));
        assert_eq!(end.get(), Some(tip(7)));
        // As between the stores of `set`.
        end.version.fetch_add(1, Ordering::Relaxed);
        assert_eq!(end.get(), None);
        end.version.fetch_add(1, Ordering::Relaxed);
        assert_eq!(end.get(), Some(tip(7)));
    }

    #[test]
    fn an_end_is_seen_whole_while_it_moves() {
        let end = End::default();
        end.set(tip(0));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200_000).for_each(|next| end.set(tip(next))));
            let mut last = Sequence::ZERO;
            while last.value() < 199_999 {
                let Some(seen) = end.get() else { continue };
                let next = u32::try_from(seen.next.value()).expect("it was set");
                assert_eq!(seen, tip(next));
                assert!(last <= seen.next, "it does not move back");
                last = seen.next;
            }
        });
    }
}
