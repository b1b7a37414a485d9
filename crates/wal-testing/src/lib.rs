//! An allocator that counts, by thread: for tests that say "this thread allocates nothing here". A fork of
//! the process. An oracle of what several threads were told. And random numbers that a seed gives again.
//!
//! The only unsafe code outside of `wal-io/src/mapping.rs`, and part of nothing that is shipped.

#![allow(unsafe_code, reason = "neither a global allocator nor a fork can be had without")]

#[cfg(unix)]
pub mod fork;
pub mod history;
pub mod random;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, and a count of what each thread asks it for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

thread_local! {
    // Const and without a destructor, so that counting itself allocates nothing.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has allocated, or made an allocation larger, while `act` ran.
pub fn allocations<T>(act: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.get();
    let value = act();
    (ALLOCATIONS.get() - before, value)
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is handed to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps what `alloc_zeroed` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps what `realloc` asks for.
        unsafe { System.realloc(pointer, layout, new_bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps what `dealloc` asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}
