//! Stops the feeder, even while it blocks in a read.
//!
//! ```text
//!              enter                        stop
//!   ┌─────────┐ ───▶ ┌─────────┐        ┌─────────┐
//!   │ Reading │      │ Feeding │  ────▶ │ Stopped │   from either, for good
//!   └─────────┘ ◀─── └─────────┘        └─────────┘
//!              leave
//! ```
//!
//! Invariant: the feeder submits lines only while the gate is `Feeding`, and hands them over before it leaves. So a waiter
//! that stops the gate while it is `Reading` has received every submitted entry.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether lines may be submitted.
#[derive(Debug)]
pub(super) struct Gate(AtomicU8);

const READING: u8 = 0;
const FEEDING: u8 = 1;
const STOPPED: u8 = 2;

impl Gate {
    /// A gate whose feeder is reading.
    pub(super) fn new() -> Gate {
        Gate(AtomicU8::new(READING))
    }

    /// Called by the feeder before it submits; `false` once stopped.
    pub(super) fn enter(&self) -> bool {
        self.turn(READING, FEEDING)
    }

    /// Called by the feeder before it reads; `false` once stopped.
    pub(super) fn leave(&self) -> bool {
        self.turn(FEEDING, READING)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed) == STOPPED
    }

    /// Called by the waiter. Returns whether the feeder is submitting; it then stops soon.
    pub(super) fn stop(&self) -> bool {
        self.0.swap(STOPPED, Ordering::AcqRel) == FEEDING
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
