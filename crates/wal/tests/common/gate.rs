//! Holds calls back, so that a test knows what happens beside them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Where calls pass while it is open, and wait while it is shut.
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    shut: bool,
    /// Those who wait, or come next, fail.
    fails: u64,
    waiting: u64,
    passed: u64,
}

impl Gate {
    /// Open.
    pub(crate) fn new() -> Arc<Gate> {
        Arc::new(Gate { state: Mutex::new(State::default()), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panics lets the others go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shut(&self) {
        self.lock().shut = true;
    }

    pub(crate) fn open(&self) {
        self.lock().shut = false;
        self.changed.notify_all();
    }

    /// Opens; the next call that passes, which may be waiting, fails.
    pub(crate) fn open_failing_one(&self) {
        let mut state = self.lock();
        (state.shut, state.fails) = (false, 1);
        self.changed.notify_all();
    }

    /// What a call does on its way.
    pub(crate) fn pass(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.shut {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        state.passed += 1;
        if state.fails > 0 {
            state.fails -= 1;
            return Err(io::Error::other("the gate lets nobody through"));
        }
        Ok(())
    }

    /// Blocks until somebody waits.
    pub(crate) fn until_somebody_waits(&self) {
        let mut state = self.lock();
        while state.waiting == 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many have passed, those that failed included.
    pub(crate) fn passed(&self) -> u64 {
        self.lock().passed
    }
}
