//! A futex word: threads sleep on a value, and a change of it wakes them.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex::{Flags, wait, wake};

#[derive(Default)]
pub(super) struct Word(AtomicU32);

impl Word {
    /// The value to sleep on, to be taken before the look at what is waited for.
    pub(super) fn value(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Sleeps until the value is no longer `seen`. It may return earlier.
    pub(super) fn sleep(&self, seen: u32) {
        wait(&self.0, Flags::PRIVATE, seen, None).ok();
    }

    /// Changes the value, so that a thread that is about to sleep does not.
    pub(super) fn change(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn wake_one(&self) {
        wake(&self.0, Flags::PRIVATE, 1).ok();
    }

    /// The kernel reads the count as an `i32`.
    pub(super) fn wake_all(&self) {
        wake(&self.0, Flags::PRIVATE, i32::MAX.unsigned_abs()).ok();
    }
}
