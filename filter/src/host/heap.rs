//! The module's allocator: the standard one, and a count of what it has given out.
//!
//! An allocation that fails ends the VM and with it every stream of the worker, so [`crate::account`] must know before it
//! does. Example: after a `Vec` of 100 bytes was made, [`live`] is 104 more than before; after it was dropped, the same.
//!
//! Decision: every byte is counted where it is given out. Rejected: a sum of what structures say of themselves, which
//! forgets the one that somebody adds next.
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one hands every call on unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Linear memory that V8 gives one module at most (`PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES` of proxy-wasm-cpp-host).
const LIMIT: usize = 1 << 30;

#[global_allocator]
static HEAP: Counting = Counting;

/// Bytes given out and not taken back. A plain word: a VM has one thread, and its atomics are ordinary loads and stores.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

/// What a block takes of linear memory: the allocator's header, and its size in steps of eight bytes.
fn cost(size: usize) -> usize {
    (size.saturating_add(11) & !7).max(16)
}

fn more(size: usize) {
    LIVE.store(LIVE.load(Relaxed).wrapping_add(cost(size)), Relaxed);
}

fn less(size: usize) {
    LIVE.store(LIVE.load(Relaxed).wrapping_sub(cost(size)), Relaxed);
}

// SAFETY: every method hands its arguments to the system's allocator and returns what that returned.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            more(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            more(layout.size());
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let block = unsafe { System.realloc(block, layout, size) };
        if !block.is_null() {
            less(layout.size());
            more(size);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        less(layout.size());
        unsafe { System.dealloc(block, layout) };
    }
}

/// Bytes of linear memory that are in use.
pub(crate) fn live() -> usize {
    LIVE.load(Relaxed)
}

/// Bytes of linear memory. They never become fewer.
#[cfg(target_arch = "wasm32")]
pub(crate) fn size() -> usize {
    core::arch::wasm32::memory_size(0).saturating_mul(64 << 10)
}

/// Where the module is only checked and never run.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn size() -> usize {
    live()
}

/// So many bytes can be given out in one piece. What was freed in small pieces may be of no use to a large one. So
/// where linear memory can no longer grow by as much, the allocator itself is asked.
pub(crate) fn has(bytes: usize) -> bool {
    size().saturating_add(bytes) <= LIMIT - (LIMIT >> 6) || Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}
