//! Counts the memory that a thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: each call goes to the system's allocator as it is. What stands around it touches two numbers of this thread
// that need no memory and have no destructor, so it neither allocates nor fails, also while a thread begins or ends.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: the pointer came from `System` with this layout, as every one of this allocator does.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are held while one is copied to the other.
        take(size);
        // SAFETY: as for `dealloc`; the caller keeps the contract for `size`.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        give(layout.size());
        moved
    }
}

fn take(len: usize) {
    HELD.set(HELD.get().wrapping_add(len));
    PEAK.set(PEAK.get().max(HELD.get()));
}

fn give(len: usize) {
    // What another thread allocated may be freed here.
    HELD.set(HELD.get().saturating_sub(len));
}

/// The most bytes that `work` holds at one time, beside what this thread held before.
pub(crate) fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    PEAK.get().saturating_sub(before)
}
