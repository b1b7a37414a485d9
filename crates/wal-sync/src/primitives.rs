//! The one place that names mutexes and atomics, so that a model checker can replace them.

#![allow(clippy::disallowed_types, reason = "this is the place that the rule points to")]

use std::fmt;
use std::sync;

pub use std::sync::atomic::{AtomicU64, Ordering};

/// A mutex whose lock tells when a thread panicked while it held it.
#[derive(Default)]
pub struct Mutex<T>(sync::Mutex<T>);

/// The lock that [`Mutex::lock`] returns; given up when it is dropped.
pub type Guard<'a, T> = sync::MutexGuard<'a, T>;

/// A thread panicked while it held the lock, so what the lock protects may be half changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a thread panicked while it held the lock")
    }
}

impl std::error::Error for Panicked {}

impl<T> Mutex<T> {
    /// A mutex around `value`.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// [`Panicked`], now and for ever after.
    pub fn lock(&self) -> Result<Guard<'_, T>, Panicked> {
        self.0.lock().map_err(|_| Panicked)
    }

    /// Waits for the lock; what a panic left behind is taken as it is. For values that are whole at
    /// every moment.
    pub fn lock_whole(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(sync::PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex(..)")
    }
}
