//! The one place that names mutexes, condition variables, atomics, the futex, threads, processes, clocks
//! and channels, so that a model checker can replace them: a build with `--cfg wal_loom` takes loom's, one with `--cfg wal_shuttle`
//! shuttle's.
//!
//! In both, time goes on whenever somebody looks at it, a limit passes as soon as others had an occasion to
//! run, and a word is a condition variable. Shuttle is given channels of its own mutexes.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the place that the rule points to"
)]

use std::fmt;
use std::task::{Wake, Waker};
use std::time::Duration;

#[cfg(all(wal_loom, not(feature = "_loom")))]
compile_error!("--cfg wal_loom needs --features _loom");
#[cfg(all(wal_shuttle, not(feature = "_shuttle")))]
compile_error!("--cfg wal_shuttle needs --features _shuttle");

#[cfg(wal_loom)]
use loom::{sync, thread};
#[cfg(wal_shuttle)]
use shuttle::{sync, thread};
#[cfg(not(any(wal_loom, wal_shuttle)))]
use std::sync;
#[cfg(not(any(wal_loom, wal_shuttle)))]
use std::thread;

#[cfg(not(any(wal_loom, wal_shuttle)))]
pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(wal_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(wal_shuttle)]
pub use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

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

/// A value of the whole process, under a lock that is held for moments. Not replaced: a model checker's scenes have
/// nothing in it.
pub struct ProcessWide<T>(std::sync::Mutex<T>);

impl<T> ProcessWide<T> {
    /// For a `static`.
    pub const fn new(value: T) -> ProcessWide<T> {
        ProcessWide(std::sync::Mutex::new(value))
    }

    /// Waits for the lock, as [`Mutex::lock_whole`] does.
    pub fn lock_whole(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

    /// As [`Condvar::wait`], for at most `limit`. `_mutex` is the one that the guard is of.
    #[cfg(not(any(wal_loom, wal_shuttle)))]
    pub fn wait_for<'a, T>(
        &self,
        _mutex: &'a Mutex<T>,
        guard: Guard<'a, T>,
        limit: Duration,
    ) -> Guard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.inner.wait_timeout(guard, limit);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    /// The limits of model checkers never pass. This one does, after others had an occasion to run.
    #[cfg(any(wal_loom, wal_shuttle))]
    pub fn wait_for<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: Guard<'a, T>,
        _limit: Duration,
    ) -> Guard<'a, T> {
        drop(guard);
        thread::yield_now();
        mutex.lock_whole()
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

/// On Linux a word is a futex, and the woken take no lock.
///
/// Waking is passed on: whoever changes the word wakes a few, and each of them wakes a few more before it
/// goes its way. One thread that wakes sixty is slower than they are: another core falls asleep between
/// two of them, and waking a core costs more than what the thread has to do. How many wake how many is
/// a choice: one by one, all wait for the slowest chain of hand-overs.
///
/// ```text
///  value 0      changed to 2, wake: at most WOKEN_FIRST ──▶ ┌ each wakes at most WOKEN_BY_EACH ┐ ──▶ ...
///  asleep on 0: a b c d e f ...                             └ of those who slept on 0          ┘
/// ```
///
/// Only those are woken who sleep on a value that is no more. So nobody who has looked and sleeps again is
/// woken in place of one who has not, and it ends: while such a one is asleep, somebody is awake who will
/// wake it or one of the others.
#[cfg(all(target_os = "linux", not(any(wal_loom, wal_shuttle))))]
mod word {
    use std::num::NonZeroU32;

    use super::{AtomicU32, Duration, Ordering};
    use rustix::thread::futex;
    use rustix::thread::futex::Timespec;
    use rustix::time::{ClockId, clock_gettime};

    /// A small number, below 32, that threads wait to see changed.
    #[derive(Debug, Default)]
    pub struct Word {
        value: AtomicU32,
        /// One of the constants below. It only grows, until the word is reset.
        sleepers: AtomicU32,
    }

    /// Nobody has slept on it.
    const NONE: u32 = 0;
    /// Somebody has gone to sleep.
    const SOME: u32 = 1;
    /// Whoever is woken wakes others.
    const WOKEN: u32 = 2;

    const WOKEN_FIRST: u32 = 8;
    const WOKEN_BY_EACH: u32 = 4;

    impl Word {
        /// What it is.
        pub fn value(&self) -> u32 {
            self.value.load(Ordering::SeqCst)
        }

        /// Changes it. Those who sleep are not woken by this.
        pub fn set(&self, value: u32) {
            debug_assert!(value < u32::BITS, "each value has a bit of its own");
            self.value.store(value, Ordering::SeqCst);
        }

        /// Sees to it that all wake up who sleep on another value than the one it has now.
        pub fn wake(&self) {
            if self.sleepers.load(Ordering::SeqCst) != NONE {
                // In front of the first wake-up: whoever is woken sees it.
                self.sleepers.store(WOKEN, Ordering::SeqCst);
                self.wake_some(WOKEN_FIRST);
            }
        }

        /// Sleeps while it is `value`, for at most `limit`; may return for no reason at all.
        pub fn sleep_while(&self, value: u32, limit: Option<Duration>) {
            // Either this sees the new value, or `wake` sees this.
            self.sleepers.fetch_max(SOME, Ordering::SeqCst);
            if self.value() != value {
                return;
            }
            // A limit beyond the end of time is none.
            let deadline = limit.and_then(deadline_of);
            // Interrupted, changed or too late: the caller looks again either way.
            futex::wait_bitset(&self.value, futex::Flags::PRIVATE, value, deadline.as_ref(), bit(value)).ok();
            // However this ended: it may be what others wait for.
            if self.sleepers.load(Ordering::SeqCst) == WOKEN {
                self.wake_some(WOKEN_BY_EACH);
            }
        }

        /// Back to zero, with nobody asleep.
        pub fn reset(&mut self) {
            *self = Word::default();
        }

        fn wake_some(&self, most: u32) {
            let others = NonZeroU32::new(!bit(self.value()).get()).expect("a single bit is not all of them");
            // It fails for bad arguments only, and there are none.
            futex::wake_bitset(&self.value, futex::Flags::PRIVATE, most, others).ok();
        }
    }

    fn bit(value: u32) -> NonZeroU32 {
        NonZeroU32::new(1_u32.wrapping_shl(value)).expect("a shifted bit is not lost: the shift wraps")
    }

    /// When so much time has passed; `None` when no clock will ever show it.
    fn deadline_of(limit: Duration) -> Option<Timespec> {
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::new(u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?);
        let then = now.checked_add(limit)?;
        Some(Timespec { tv_sec: i64::try_from(then.as_secs()).ok()?, tv_nsec: then.subsec_nanos().into() })
    }
}

/// Where there is no futex, a condition variable for each word.
#[cfg(any(not(target_os = "linux"), wal_loom, wal_shuttle))]
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
                Some(limit) => drop(self.changed.wait_for(&self.value, guard, limit)),
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
#[cfg(not(any(wal_loom, wal_shuttle)))]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Under loom time goes on by a second whenever somebody looks: the same schedule takes the same time.
#[cfg(wal_loom)]
#[must_use]
pub fn now() -> Instant {
    static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    static SECONDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let seconds = SECONDS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    *BEGINNING.get_or_init(Instant::now) + Duration::from_secs(seconds)
}

/// Under shuttle by a millisecond. All threads of an execution are one thread of the system's.
#[cfg(wal_shuttle)]
#[must_use]
pub fn now() -> Instant {
    static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    std::thread_local! {
        static MILLISECONDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }
    let milliseconds = MILLISECONDS.replace(MILLISECONDS.get() + 1);
    *BEGINNING.get_or_init(Instant::now) + Duration::from_millis(milliseconds)
}

/// How long ago that was.
#[must_use]
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// The number of this process. What a fork has copied is in another one. A system call, on Linux about
/// 100 ns.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

#[cfg(not(wal_loom))]
pub use threads::{ThreadHandle, is_current, spawn};

/// Channels. Not under loom: what is modelled hands work over by condition variables.
#[cfg(not(any(wal_loom, wal_shuttle)))]
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

#[cfg(wal_shuttle)]
pub mod channel;

#[cfg(not(wal_loom))]
mod threads {
    use std::io;

    use super::thread;

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

#[cfg(all(test, not(any(wal_loom, wal_shuttle))))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    /// So many that several of them have to pass the wake-up on.
    const SLEEPERS: usize = 60;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// All who sleep on another value wake up, with and without a limit to their sleep, and those who sleep
    /// on the new one, or look and sleep again, take no wake-up from them.
    #[test]
    fn a_wake_up_that_is_passed_on_reaches_everybody() {
        for round in 0..50 {
            let word = Arc::new(Word::default());
            let (tells, told) = channel();
            for sleeper in 0..SLEEPERS {
                let (word, tells) = (Arc::clone(&word), tells.clone());
                // Some wait for 1 and some for 2.
                let wanted = if sleeper % 3 == 0 { 2 } else { 1 };
                let limit = (sleeper % 2 == 0).then_some(PATIENCE);
                thread::spawn(move || {
                    loop {
                        let value = word.value();
                        if value >= wanted {
                            break;
                        }
                        word.sleep_while(value, limit);
                    }
                    tells.send(wanted).ok();
                });
            }
            let until = |wanted: u32, many: usize| {
                for _ in 0..many {
                    assert_eq!(
                        told.recv_timeout(PATIENCE),
                        Ok(wanted),
                        "somebody sleeps on in round {round}"
                    );
                }
            };
            if round % 2 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
            word.set(1);
            word.wake();
            until(1, SLEEPERS - SLEEPERS / 3);
            word.set(2);
            word.wake();
            until(2, SLEEPERS / 3);
        }
    }

    #[test]
    fn a_sleep_ends_at_its_limit() {
        let word = Word::default();
        let begun = now();
        while since(begun) < Duration::from_millis(20) {
            word.sleep_while(0, Some(Duration::from_millis(1)));
        }
        word.sleep_while(1, None);
        word.sleep_while(1, Some(Duration::MAX));
    }
}
