//! The one place that names mutexes, condition variables, atomics, the futex, threads, clocks and
//! channels, so that a model checker can replace them: a build with `--cfg loom` takes loom's.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the place that the rule points to"
)]

use std::fmt;
use std::task::{Wake, Waker};
use std::time::Duration;

#[cfg(loom)]
use loom::sync;
#[cfg(not(loom))]
use std::sync;

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Not replaced: what is modelled does not rest on when a count drops to zero.
pub use std::sync::Arc;

/// A mutex.
pub struct Mutex<T>(sync::Mutex<T>);

/// The lock that [`Mutex::lock_whole`] returns; given up when it is dropped.
pub type Guard<'a, T> = sync::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    /// A mutex around `value`.
    pub fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Waits for the lock; what a panic left behind is taken as it is. For values that are whole at
    /// every moment.
    pub fn lock_whole(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex(..)")
    }
}

/// A condition variable that makes no system call when nobody waits.
///
/// What is waited for must be changed under the mutex whose guard the waiters bring: then whoever
/// changes it sees everybody who waits.
pub struct Condvar {
    inner: sync::Condvar,
    waiting: AtomicU32,
}

impl Condvar {
    /// Nobody waits.
    #[expect(clippy::new_without_default, reason = "one way to make it")]
    pub fn new() -> Condvar {
        Condvar { inner: sync::Condvar::new(), waiting: AtomicU32::new(0) }
    }

    /// Gives the lock up until somebody notifies, or for no reason at all.
    pub fn wait<'a, T>(&self, guard: Guard<'a, T>) -> Guard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.inner.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// As [`Condvar::wait`], for at most `limit`.
    #[cfg(not(loom))]
    pub fn wait_for<'a, T>(&self, guard: Guard<'a, T>, limit: Duration) -> Guard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.inner.wait_timeout(guard, limit);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    /// Loom has no time: the limit passes at once.
    #[cfg(loom)]
    pub fn wait_for<'a, T>(&self, guard: Guard<'a, T>, _limit: Duration) -> Guard<'a, T> {
        guard
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.inner.notify_one();
        }
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.inner.notify_all();
        }
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar(..)")
    }
}

pub use word::Word;

/// On Linux a word is a futex: whoever wakes does it for all with one call, and the woken take no lock.
#[cfg(all(target_os = "linux", not(loom)))]
mod word {
    use super::{AtomicU32, Duration, Ordering};
    use rustix::thread::futex;
    use rustix::thread::futex::Timespec;

    /// A number that threads wait to see changed.
    #[derive(Debug, Default)]
    pub struct Word {
        value: AtomicU32,
        /// Not zero once somebody has gone to sleep.
        slept_on: AtomicU32,
    }

    impl Word {
        /// What it is.
        pub fn value(&self) -> u32 {
            self.value.load(Ordering::SeqCst)
        }

        /// Changes it. Those who sleep are not woken by this.
        pub fn set(&self, value: u32) {
            self.value.store(value, Ordering::SeqCst);
        }

        /// Wakes all who sleep.
        pub fn wake(&self) {
            if self.slept_on.load(Ordering::SeqCst) > 0 {
                // It fails for bad arguments only, and there are none.
                futex::wake(&self.value, futex::Flags::PRIVATE, u32::MAX >> 1).ok();
            }
        }

        /// Sleeps while it is `value`, for at most `limit`; may return for no reason at all.
        pub fn sleep_while(&self, value: u32, limit: Option<Duration>) {
            // Either this sees the new value, or `wake` sees this.
            self.slept_on.store(1, Ordering::SeqCst);
            if self.value() != value {
                return;
            }
            let timespec = limit.map(|limit| Timespec {
                tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: limit.subsec_nanos().into(),
            });
            // Interrupted, changed or too late: the caller looks again either way.
            futex::wait(&self.value, futex::Flags::PRIVATE, value, timespec.as_ref()).ok();
        }

        /// Back to zero, with nobody asleep.
        pub fn reset(&mut self) {
            *self = Word::default();
        }
    }
}

/// Where there is no futex, a condition variable for each word.
#[cfg(any(not(target_os = "linux"), loom))]
mod word {
    use super::{Condvar, Duration, Mutex};

    /// A number that threads wait to see changed.
    #[derive(Debug)]
    pub struct Word {
        value: Mutex<u32>,
        changed: Condvar,
    }

    impl Default for Word {
        fn default() -> Word {
            Word { value: Mutex::new(0), changed: Condvar::new() }
        }
    }

    impl Word {
        /// What it is.
        pub fn value(&self) -> u32 {
            *self.value.lock_whole()
        }

        /// Changes it. Those who sleep are not woken by this.
        pub fn set(&self, value: u32) {
            *self.value.lock_whole() = value;
        }

        /// Wakes all who sleep.
        pub fn wake(&self) {
            self.changed.notify_all();
        }

        /// Sleeps while it is `value`, for at most `limit`; may return for no reason at all.
        pub fn sleep_while(&self, value: u32, limit: Option<Duration>) {
            let guard = self.value.lock_whole();
            if *guard != value {
                return;
            }
            match limit {
                None => drop(self.changed.wait(guard)),
                Some(limit) => drop(self.changed.wait_for(guard, limit)),
            }
        }

        /// Back to zero, with nobody asleep.
        pub fn reset(&mut self) {
            *self = Word::default();
        }
    }
}

/// Wakes a task. A waker is foreign code: one that panics is the trouble of its task, and costs nobody
/// else their wake-up. (The panic has been reported by then.)
pub fn wake_task(waker: Waker) {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake())).ok();
}

/// Wakes a thread that blocks on something made for tasks.
#[derive(Debug, Default)]
struct Parker(Word);

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.set(1);
        self.0.wake();
    }
}

/// Polls until there is a value, and sleeps in between; `None` when `limit` has passed.
pub fn block_on<T>(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<T>,
    limit: Option<Duration>,
) -> Option<T> {
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(Arc::clone(&parker));
    let deadline = limit.and_then(|limit| now().checked_add(limit));
    loop {
        parker.0.set(0);
        if let std::task::Poll::Ready(value) = poll(&mut std::task::Context::from_waker(&waker)) {
            return Some(value);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        if left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        parker.0.sleep_while(0, left);
    }
}

pub use std::time::Instant;

/// The time, for intervals and measurements.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// How long ago that was.
#[must_use]
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

#[cfg(not(loom))]
pub use threads::{ThreadHandle, is_current, spawn};

/// Channels. Not under loom: what is modelled hands work over by condition variables.
#[cfg(not(loom))]
pub mod channel {
    pub use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

    /// A channel that holds at most so many messages.
    #[must_use]
    pub fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
        crossbeam_channel::bounded(most)
    }

    /// A channel that holds any number of messages.
    #[must_use]
    pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        crossbeam_channel::unbounded()
    }
}

#[cfg(not(loom))]
mod threads {
    use std::io;
    use std::thread;

    /// A thread that runs.
    pub type ThreadHandle = thread::JoinHandle<()>;

    /// Starts a thread under a name that debuggers and `top` show.
    ///
    /// # Errors
    /// What the system reports when it has no room for another thread.
    pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<ThreadHandle> {
        thread::Builder::new().name(name.to_owned()).spawn(run)
    }

    /// Whether the caller runs on this thread.
    #[must_use]
    pub fn is_current(handle: &ThreadHandle) -> bool {
        handle.thread().id() == thread::current().id()
    }
}
