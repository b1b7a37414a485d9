//! What tests need and shipped crates may not have: an allocator that counts by thread, a fork of the process, a
//! wrapper for the seam, and a history of what several threads called and were told.
//!
//! Holds the only unsafe code outside of `wal-io/src/mapping.rs`.

#![allow(unsafe_code, reason = "neither a global allocator nor a fork can be had without")]

#[cfg(unix)]
pub mod fork;
mod forward;
pub mod history;

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
