//! The one place that names mutexes, condition variables, atomics, the futex, threads, processes, clocks
//! and channels, so that a model checker can replace them: a build with `--cfg wal_loom` takes loom's, one with `--cfg wal_shuttle`
//! shuttle's.
//!
//! In both, time goes on whenever a thread looks at it, a limit passes as soon as others had an occasion to
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

    /// The same, for a lock that is held for less time than it takes to fall asleep: tries eight times, with growing pauses and
    /// then yields, before it sleeps. The first pause lasts about a microsecond: meanwhile the other thread goes on with what it
    /// has in its cache. Where each takes the lock as soon as it is free, the data moves from cache to cache every time.
    #[cfg(not(any(wal_loom, wal_shuttle)))]
    pub fn lock_spinning(&self) -> Guard<'_, T> {
        const FIRST_PAUSE: u32 = 64;
        const PAUSES: u32 = 4;
        const YIELDS: u32 = 4;
        for round in 0..PAUSES + YIELDS {
            match self.0.try_lock() {
                Err(sync::TryLockError::WouldBlock) if round < PAUSES => {
                    (0..FIRST_PAUSE << round).for_each(|_| std::hint::spin_loop());
                }
                Err(sync::TryLockError::WouldBlock) => thread::yield_now(),
                Err(sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Ok(guard) => return guard,
            }
        }
        self.lock_whole()
    }

    /// Under a model checker waiting for a lock takes no time.
    #[cfg(any(wal_loom, wal_shuttle))]
    pub fn lock_spinning(&self) -> Guard<'_, T> {
        self.lock_whole()
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

/// A condition variable that makes no system call when no thread waits.
///
/// What is waited for must be changed under the mutex whose guard the waiters bring: then a thread that
/// changes it sees every caller that waits.
pub struct Condvar {
    inner: sync::Condvar,
    waiting: AtomicU32,
}

impl Condvar {
    /// No thread waits.
    #[expect(clippy::new_without_default, reason = "one way to make it")]
    pub fn new() -> Condvar {
        Condvar { inner: sync::Condvar::new(), waiting: AtomicU32::new(0) }
    }

    /// Gives the lock up until a thread notifies, or for no reason at all.
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

pub use word::{Nap, Word};

/// Something to sleep on until a thread wakes. On Linux a futex.
///
/// ```text
///  sleeper: prepare ─▶ look whether what it waits for is there ─▶ sleep
///  waker:   make it so ─▶ wake
/// ```
///
/// Whatever is done before a wake is seen by the look, or the sleep is none.
#[cfg(all(target_os = "linux", not(any(wal_loom, wal_shuttle))))]
mod word {
    use super::{AtomicU32, Duration, Ordering};
    use rustix::thread::futex;
    use rustix::thread::futex::Timespec;

    /// Threads sleep on it.
    #[derive(Debug, Default)]
    pub struct Word {
        wakes: AtomicU32,
        sleepers: AtomicU32,
    }

    /// A thread that is about to sleep.
    #[derive(Debug)]
    pub struct Nap<'a> {
        word: &'a Word,
        wakes: u32,
    }

    impl Word {
        /// Counts the caller as a sleeper. To be followed by a look at what it waits for.
        pub fn prepare(&self) -> Nap<'_> {
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            Nap { word: self, wakes: self.wakes.load(Ordering::SeqCst) }
        }

        /// Whether a thread sleeps, or is about to.
        pub fn has_sleepers(&self) -> bool {
            self.sleepers.load(Ordering::SeqCst) > 0
        }

        /// Wakes all who sleep. No system call when no thread does.
        pub fn wake_all(&self) {
            self.wake(u32::MAX >> 1);
        }

        /// Wakes one who sleeps.
        pub fn wake_one(&self) {
            self.wake(1);
        }

        fn wake(&self, most: u32) {
            if self.has_sleepers() {
                self.wakes.fetch_add(1, Ordering::SeqCst);
                // It fails for bad arguments only, and there are none.
                futex::wake(&self.wakes, futex::Flags::PRIVATE, most).ok();
            }
        }
    }

    impl Nap<'_> {
        /// Sleeps until the next wake after [`Word::prepare`], for at most `limit`; may end for no reason at all.
        pub fn sleep(self, limit: Option<Duration>) {
            // A limit beyond the end of time is none. Interrupted, woken or too late: the caller looks again either way.
            let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
            futex::wait(&self.word.wakes, futex::Flags::PRIVATE, self.wakes, limit.as_ref()).ok();
        }
    }

    impl Drop for Nap<'_> {
        fn drop(&mut self) {
            self.word.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Where there is no futex, a condition variable for each word.
#[cfg(any(not(target_os = "linux"), wal_loom, wal_shuttle))]
mod word {
    use super::{AtomicU32, Condvar, Duration, Mutex, Ordering};

    /// Threads sleep on it.
    #[derive(Debug)]
    pub struct Word {
        wakes: Mutex<u32>,
        woken: Condvar,
        sleepers: AtomicU32,
    }

    /// A thread that is about to sleep.
    #[derive(Debug)]
    pub struct Nap<'a> {
        word: &'a Word,
        wakes: u32,
    }

    impl Default for Word {
        fn default() -> Word {
            Word { wakes: Mutex::new(0), woken: Condvar::new(), sleepers: AtomicU32::new(0) }
        }
    }

    impl Word {
        /// Counts the caller as a sleeper. To be followed by a look at what it waits for.
        pub fn prepare(&self) -> Nap<'_> {
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            Nap { word: self, wakes: *self.wakes.lock_whole() }
        }

        /// Whether a thread sleeps, or is about to.
        pub fn has_sleepers(&self) -> bool {
            self.sleepers.load(Ordering::SeqCst) > 0
        }

        /// Wakes all who sleep.
        pub fn wake_all(&self) {
            let mut wakes = self.wakes.lock_whole();
            *wakes = wakes.wrapping_add(1);
            self.woken.notify_all();
        }

        /// Wakes one who sleeps, and all who are about to.
        pub fn wake_one(&self) {
            let mut wakes = self.wakes.lock_whole();
            *wakes = wakes.wrapping_add(1);
            self.woken.notify_one();
        }
    }

    impl Nap<'_> {
        /// Sleeps until the next wake after [`Word::prepare`], for at most `limit`; may end for no reason at all.
        pub fn sleep(self, limit: Option<Duration>) {
            let wakes = self.word.wakes.lock_whole();
            if *wakes != self.wakes {
                return;
            }
            match limit {
                None => drop(self.word.woken.wait(wakes)),
                Some(limit) => drop(self.word.woken.wait_for(&self.word.wakes, wakes, limit)),
            }
        }
    }

    impl Drop for Nap<'_> {
        fn drop(&mut self) {
            self.word.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A part of a short wait for something that another thread does in about a microsecond: less than it takes to fall asleep.
#[derive(Clone, Copy, Debug)]
pub enum Spin {
    /// Keeps the processor, for some five microseconds.
    OnTheProcessor,
    /// Lets others run.
    Yielding,
}

impl Spin {
    /// The parts in their order; after the last one it is time to sleep.
    #[cfg(not(any(wal_loom, wal_shuttle)))]
    pub const ALL: [Spin; 6] = [
        Spin::OnTheProcessor,
        Spin::Yielding,
        Spin::Yielding,
        Spin::Yielding,
        Spin::Yielding,
        Spin::Yielding,
    ];
    /// Under a model checker, one occasion for the others to run.
    #[cfg(any(wal_loom, wal_shuttle))]
    pub const ALL: [Spin; 1] = [Spin::Yielding];

    /// Waits until `found`, but no longer than this part takes.
    pub fn until(self, found: impl Fn() -> bool) {
        let looks = match self {
            Spin::OnTheProcessor => 100,
            Spin::Yielding if cfg!(any(wal_loom, wal_shuttle)) => 1,
            Spin::Yielding => 20,
        };
        for _ in 0..looks {
            if found() {
                return;
            }
            match self {
                Spin::OnTheProcessor => std::hint::spin_loop(),
                Spin::Yielding => thread::yield_now(),
            }
        }
    }
}

/// Lets other threads run.
pub fn yield_now() {
    thread::yield_now();
}

/// Wakes a task. A waker is foreign code: one that panics is the trouble of its task, and costs no other
/// thread its wake-up. (The panic has been reported by then.)
pub fn wake_task(waker: Waker) {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake())).ok();
}

/// Wakes a thread that blocks on something made for tasks.
#[derive(Debug, Default)]
struct Parker(Word);

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.wake_all();
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
        let nap = parker.0.prepare();
        if let std::task::Poll::Ready(value) = poll(&mut std::task::Context::from_waker(&waker)) {
            return Some(value);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        if left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        nap.sleep(left);
    }
}

pub use std::time::Instant;

/// The time, for intervals and measurements.
#[cfg(not(any(wal_loom, wal_shuttle)))]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Under loom time goes on by a second whenever a thread looks: the same schedule takes the same time.
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

    const SLEEPERS: u64 = 60;
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Half of them wait for the first wake and half for the second, with and without a limit to their sleep.
    #[test]
    fn a_wake_reaches_all_who_sleep_and_all_who_are_about_to() {
        for round in 0..50 {
            let (word, value) = (Arc::new(Word::default()), Arc::new(AtomicU64::new(0)));
            let (tells, told) = channel();
            for sleeper in 0..SLEEPERS {
                let (word, value, tells) = (Arc::clone(&word), Arc::clone(&value), tells.clone());
                let wanted = 1 + sleeper % 2;
                let limit = (sleeper % 3 == 0).then_some(PATIENCE);
                std::thread::spawn(move || {
                    loop {
                        let nap = word.prepare();
                        if value.load(Ordering::SeqCst) >= wanted {
                            break;
                        }
                        nap.sleep(limit);
                    }
                    tells.send(wanted).ok();
                });
            }
            if round % 2 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            for wanted in [1, 2] {
                value.store(wanted, Ordering::SeqCst);
                word.wake_all();
                for _ in 0..SLEEPERS / 2 {
                    assert_eq!(
                        told.recv_timeout(PATIENCE),
                        Ok(wanted),
                        "a thread sleeps on in round {round}"
                    );
                }
            }
        }
    }

    #[test]
    fn each_woken_thread_can_wake_the_next_one() {
        let word = Arc::new(Word::default());
        let turn = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (word, turn) = (Arc::clone(&word), Arc::clone(&turn));
                std::thread::spawn(move || {
                    loop {
                        let nap = word.prepare();
                        let turns = turn.load(Ordering::SeqCst);
                        if turns > 0
                            && turn
                                .compare_exchange(turns, turns - 1, Ordering::SeqCst, Ordering::SeqCst)
                                .is_ok()
                        {
                            drop(nap);
                            return word.wake_one();
                        }
                        nap.sleep(None);
                    }
                })
            })
            .collect();
        turn.store(8, Ordering::SeqCst);
        word.wake_one();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_sleep_ends_at_its_limit() {
        let word = Word::default();
        let begun = now();
        while since(begun) < Duration::from_millis(20) {
            word.prepare().sleep(Some(Duration::from_millis(1)));
        }
        let nap = word.prepare();
        word.wake_all();
        nap.sleep(Some(Duration::MAX));
    }
}
