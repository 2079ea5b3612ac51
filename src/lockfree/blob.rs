//! Shared immutable bytes behind one thin pointer: eight bytes of header, where a library's slice has sixteen.
//!
//! A million znodes keep their data in these; the allocator's size classes make the eight bytes sixteen. Clones count
//! references; the count saturates by aborting, as in the standard library's `Arc`.
//!
//! Layout of the allocation: count (u32), length (u32), bytes. Tested: below; neither Miri nor loom has run on it yet.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

#[repr(C)]
struct Header {
    count: AtomicU32,
    length: u32,
}

/// Shared bytes, up to 4 GiB.
pub struct Blob(NonNull<Header>);

// SAFETY: the count is atomic, and the bytes are written only by who has the blob exclusively (`refill`).
unsafe impl Send for Blob {}
// SAFETY: as above.
unsafe impl Sync for Blob {}

const COUNT_MAX: u32 = u32::MAX / 2;

impl Blob {
    /// Copies the bytes. Panics above 4 GiB.
    pub fn new(bytes: &[u8]) -> Blob {
        let length = u32::try_from(bytes.len()).expect("frames are bounded far below 4 GiB");
        let layout = layout(length);
        // SAFETY: the layout has at least the header's size.
        let header = unsafe { alloc(layout) }.cast::<Header>();
        let Some(pointer) = NonNull::new(header) else { handle_alloc_error(layout) };
        // SAFETY: just allocated for a header and `length` bytes behind it, aligned for the header, owned by nobody else.
        unsafe {
            header.write(Header { count: AtomicU32::new(1), length });
            header.add(1).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Blob(pointer)
    }

    /// Nobody else has it.
    pub fn is_unshared(&self) -> bool {
        // Acquire: what the others did with it, before they dropped it, is over.
        self.header().count.load(Ordering::Acquire) == 1
    }

    /// Has these bytes from now on, if it has as many and nobody shares them. False: it is as it was.
    pub fn refill(&mut self, bytes: &[u8]) -> bool {
        if self.len() != bytes.len() || !self.is_unshared() {
            return false;
        }
        // SAFETY: the only reference is ours, exclusively: nobody reads, and nobody can clone; `bytes` lie elsewhere, or they
        // would be a shared borrow of ours.
        unsafe { self.0.add(1).cast::<u8>().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    }

    fn header(&self) -> &Header {
        // SAFETY: alive as long as a Blob points to it: the count says so, and only the last drop frees.
        unsafe { self.0.as_ref() }
    }
}

fn layout(length: u32) -> Layout {
    let bytes = size_of::<Header>() + length as usize;
    Layout::from_size_align(bytes, align_of::<Header>()).expect("a u32 of bytes and a header fit in an isize")
}

impl Deref for Blob {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let length = self.header().length as usize;
        // SAFETY: `new` wrote `length` bytes behind the header, and `refill` writes them again only through an exclusive borrow,
        // which this one excludes; the pointer has the provenance of the whole allocation.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(1).cast::<u8>(), length) }
    }
}

impl Clone for Blob {
    #[inline]
    fn clone(&self) -> Blob {
        // Relaxed: who clones has a reference, which keeps the allocation.
        let before = self.header().count.fetch_add(1, Ordering::Relaxed);
        if before > COUNT_MAX {
            std::process::abort();
        }
        Blob(self.0)
    }
}

impl Drop for Blob {
    #[inline]
    fn drop(&mut self) {
        // Release: our reads come before the free. Acquire by the last one: everybody's did.
        if self.header().count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        let layout = layout(self.header().length);
        // SAFETY: the last reference is gone, and `new` allocated it with this layout.
        unsafe { dealloc(self.0.as_ptr().cast::<u8>(), layout) };
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(all(test, not(ringkeeper_loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_live_as_long_as_the_last_clone() {
        for bytes in [&b""[..], b"x", &[7; 1000]] {
            let first = Blob::new(bytes);
            let second = first.clone();
            drop(first);
            assert_eq!(&*second, bytes);
        }
    }

    #[test]
    fn only_who_has_it_alone_may_fill_it_again_and_only_as_far_as_it_reaches() {
        let mut blob = Blob::new(b"first");
        let clone = blob.clone();
        assert!(!blob.is_unshared() && !blob.refill(b"other"));
        assert_eq!(&*clone, b"first");
        drop(clone);
        assert!(blob.refill(b"short") && !blob.refill(b"longer") && !blob.refill(b""));
        assert_eq!(&*blob, b"short");
        let mut empty = Blob::new(b"");
        assert!(empty.refill(b"") && empty.is_empty());
    }

    #[test]
    fn threads_share_and_drop_in_any_order() {
        let blob = Blob::new(b"shared");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let blob = blob.clone();
                scope.spawn(move || {
                    for _ in 0..100 {
                        assert_eq!(&*blob.clone(), b"shared");
                    }
                });
            }
        });
        drop(blob);
    }
}
