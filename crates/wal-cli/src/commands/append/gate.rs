//! Stops whoever reads lines, even where a read never comes back.
//!
//! ```text
//!              enter                        stop
//!   ┌─────────┐ ───▶ ┌─────────┐        ┌─────────┐
//!   │ Reading │      │ Feeding │  ────▶ │ Stopped │   from either, for good
//!   └─────────┘ ◀─── └─────────┘        └─────────┘
//!              leave
//! ```
//!
//! Invariant: lines are submitted while it is `Feeding` alone, and what was submitted is handed over before
//! it is left. So whoever stops it while it is `Reading` has everything that was ever submitted.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether lines may be submitted.
#[derive(Debug)]
pub(super) struct Gate(AtomicU8);

const READING: u8 = 0;
const FEEDING: u8 = 1;
const STOPPED: u8 = 2;

impl Gate {
    /// Somebody reads.
    pub(super) fn new() -> Gate {
        Gate(AtomicU8::new(READING))
    }

    /// Begins to submit; `false` once stopped.
    pub(super) fn enter(&self) -> bool {
        self.turn(READING, FEEDING)
    }

    /// Goes back to reading; `false` once stopped.
    pub(super) fn leave(&self) -> bool {
        self.turn(FEEDING, READING)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed) == STOPPED
    }

    /// Nobody enters any more. Returns whether somebody is inside, and will see that soon.
    pub(super) fn stop(&self) -> bool {
        self.0.swap(STOPPED, Ordering::AcqRel) == FEEDING
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
