//! A bounded ring between two threads: one producer, one consumer, nobody waits.
//!
//! Positions count up for ever; a slot is a position modulo the capacity. The producer stores `tail` after it has
//! written a slot, the consumer stores `head` after it has emptied one, each on a cache line of its own. Each side
//! keeps its own position and the last it saw of the other's, and looks at the other's line only when the ring
//! seems full or empty: a batch costs one cache miss, not one per item.
//!
//! Order: what the producer did before `push` is visible to who popped or peeked the item (Release/Acquire on
//! `tail`); what the consumer did before `pop` is visible to the `push` which uses the slot again (on `head`).
//!
//! When full: `push` gives the item back; the caller waits for room in its own way (`doorbell` wakes the other side).
//! When one half is dropped the other goes on; the last one drops what is still inside.
//! Tested: `ring_test.rs` (model), `loom_test.rs`, `stress_test.rs`.

use std::cell::Cell;
use std::mem::MaybeUninit;

use crossbeam::utils::CachePadded;

use super::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

struct Shared<T> {
    /// Initialised for positions in `head..tail`. That range belongs to the consumer, the rest to the producer.
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// Next position to pop. Stored by the consumer only.
    head: CachePadded<AtomicUsize>,
    /// Next position to push. Stored by the producer only.
    tail: CachePadded<AtomicUsize>,
}

// SAFETY: items move from one thread to another, so `T: Send`; never are two threads at the same slot: each slot
// belongs to one half at a time (see `slots`), and there is one `Producer` and one `Consumer`, neither of them
// `Clone`.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    #[inline(always)]
    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.load(Ordering::Relaxed), self.tail.load(Ordering::Relaxed));
        while head != tail {
            // SAFETY: positions in head..tail are initialised, and both halves are gone.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// A ring of `capacity` items.
///
/// Panics unless `capacity` is a power of two.
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity.is_power_of_two(), "a ring's capacity must be a power of two, not {capacity}");
    let shared = Arc::new(Shared {
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
    });
    let producer = Producer { shared: shared.clone(), tail: 0, head: Cell::new(0) };
    (producer, Consumer { shared, head: 0, tail: Cell::new(0) })
}

/// The half which puts items in.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Same as the shared one.
    tail: usize,
    /// The consumer was at least here.
    head: Cell<usize>,
}

impl<T: Send> Producer<T> {
    /// Gives the item back if the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: not full, so this position isn't in head..tail: the slot is empty and the producer's. The
            // Acquire load of `head` in `is_full` puts the consumer's last access before this one.
            unsafe { (*slot).write(item) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        if self.tail.wrapping_sub(self.head.get()) < self.capacity() {
            return false;
        }
        self.head.set(self.shared.head.load(Ordering::Acquire));
        self.tail.wrapping_sub(self.head.get()) == self.capacity()
    }

    /// Items inside, at most: the consumer may be popping.
    pub fn len(&self) -> usize {
        self.head.set(self.shared.head.load(Ordering::Acquire));
        self.tail.wrapping_sub(self.head.get())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }
}

/// The half which takes items out.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Same as the shared one.
    head: usize,
    /// The producer was at least here.
    tail: Cell<usize>,
}

impl<T: Send> Consumer<T> {
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.seems_empty() {
            return None;
        }
        // SAFETY: head < tail, so the slot is initialised and the consumer's; the Acquire load of `tail` put the
        // producer's write before this read. `head` moves on below, so nobody reads the item twice.
        let item = self.shared.slot(self.head).with(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.shared.head.store(self.head, Ordering::Release);
        Some(item)
    }

    /// The item that `pop` would give.
    #[inline]
    pub fn peek(&self) -> Option<&T> {
        if self.seems_empty() {
            return None;
        }
        // SAFETY: as in `pop`; the slot stays the consumer's while `self` is borrowed.
        Some(self.shared.slot(self.head).with(|slot| unsafe { (*slot).assume_init_ref() }))
    }

    #[inline]
    fn seems_empty(&self) -> bool {
        if self.head != self.tail.get() {
            return false;
        }
        self.tail.set(self.shared.tail.load(Ordering::Acquire));
        self.head == self.tail.get()
    }

    /// Items inside, at least: the producer may be pushing.
    pub fn len(&self) -> usize {
        self.tail.set(self.shared.tail.load(Ordering::Acquire));
        self.tail.get().wrapping_sub(self.head)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }
}

#[cfg(all(test, not(loom)))]
#[path = "ring_test.rs"]
mod tests;
