//! The process's allocator: mimalloc, asked for plain memory wherever plain memory is aligned well enough.
//!
//! Called by the binaries, as their global allocator. The wrapper that mimalloc's own crate brings asks for *aligned*
//! memory each time; version 3 then doesn't know that its blocks are aligned to 16 bytes anyway, and whenever a page is
//! used up it takes a block of `size + alignment - 1` bytes, often of the next larger class: nearly all paths of a
//! million znodes lay in blocks of 64 bytes instead of 48.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mimalloc;

/// What every block of that size or more is aligned to.
const ALIGNED: usize = 16;

#[derive(Clone, Copy, Debug)]
pub struct Allocator;

/// Is any block that is large enough aligned well enough? Blocks below 16 bytes have 8 of them.
#[inline(always)]
fn is_plain(layout: Layout) -> bool {
    layout.align() <= ALIGNED && layout.align() <= layout.size()
}

// SAFETY: mimalloc keeps what GlobalAlloc promises: blocks don't overlap, stay until freed, and its functions neither
// unwind nor allocate through us. Alignment: `is_plain` for the plain functions (a size is at least its alignment, so a
// block of 8 bytes serves alignments up to 8, and larger ones are multiples of 16, as `max_align_t` of C demands), the
// argument for the others. `mi_free` and both kinds of `mi_realloc` take blocks of either kind.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout) {
            // SAFETY: any size may be asked for.
            return unsafe { mimalloc::mi_malloc(layout.size()) }.cast();
        }
        // SAFETY: a layout's alignment is a power of two.
        unsafe { mimalloc::mi_malloc_aligned(layout.size(), layout.align()) }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout) {
            // SAFETY: any size may be asked for.
            return unsafe { mimalloc::mi_zalloc(layout.size()) }.cast();
        }
        // SAFETY: a layout's alignment is a power of two.
        unsafe { mimalloc::mi_zalloc_aligned(layout.size(), layout.align()) }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller says that the block is of this allocator, and not freed yet.
        unsafe { mimalloc::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGNED && layout.align() <= size {
            // SAFETY: the caller says that the block is of this allocator. A block that stays where it is keeps its
            // alignment; a new one has it, as in `alloc`.
            return unsafe { mimalloc::mi_realloc(block.cast(), size) }.cast();
        }
        // SAFETY: as above, and a layout's alignment is a power of two.
        unsafe { mimalloc::mi_realloc_aligned(block.cast(), size, layout.align()) }.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size up to a kilobyte and every alignment: aligned, zeroed where asked for, whole after growing and shrinking.
    #[test]
    fn blocks_are_aligned_and_keep_their_bytes() {
        for align in (0..9).map(|power| 1 << power) {
            for size in 1..1024 {
                let layout = Layout::from_size_align(size, align).expect("a power of two");
                // SAFETY: sizes aren't zero, and each block is used within its size and freed once, with its layout.
                unsafe {
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert!(zeroed.addr().is_multiple_of(align), "{layout:?}");
                    assert!((0..size).all(|at| zeroed.add(at).read() == 0), "{layout:?}");
                    let block = Allocator.alloc(layout);
                    assert!(block.addr().is_multiple_of(align), "{layout:?}");
                    (0..size).for_each(|at| block.add(at).write(at as u8));
                    let other = (size * 7 % 1000) + 1;
                    let block = Allocator.realloc(block, layout, other);
                    assert!(block.addr().is_multiple_of(align), "{layout:?} to {other}");
                    assert!(
                        (0..size.min(other)).all(|at| block.add(at).read() == at as u8),
                        "{layout:?} to {other}"
                    );
                    Allocator.dealloc(block, Layout::from_size_align(other, align).expect("a power of two"));
                    zeroed.write_bytes(0xa5, size);
                    Allocator.dealloc(zeroed, layout);
                }
            }
        }
    }
}
