//! The ring of receive buffers which the kernel picks from when bytes arrive: idle connections cost none.
//!
//! Buffers travel in a circle: published to the kernel, filled, lent to the driver for one event, published again. Only a
//! few circulate at first, so that a small load stays within the cache; when the kernel runs dry the circle grows.
//! Invariant: a buffer is in exactly one of three places: unpublished, with the kernel, or with us (filled and not yet
//! given back). Only with us is it ever read.

use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use memmap2::MmapMut;

use super::error::Error;
use super::operation::BufferId;

/// One buffer: a large pipelined batch of small requests, or a sixteenth of a large frame of the default limit.
pub(super) const BUFFER_BYTES: usize = 16 << 10;
/// The ring's slots, a power of two. Memory is touched as buffers are published.
const COUNT: u16 = 1024;
/// Circulating from the start.
const COUNT_FIRST: u16 = 64;
pub(super) const GROUP: u16 = 0;

const _: () = assert!(COUNT.is_power_of_two() && COUNT_FIRST <= COUNT);

pub(super) struct Buffers {
    /// Entries shared with the kernel; page-aligned, as the kernel demands.
    ring: MmapMut,
    bytes: MmapMut,
    /// Our copy of the ring's tail; the kernel only reads it.
    tail: u16,
    /// Buffers 0..published circulate.
    published: u16,
}

impl Buffers {
    pub(super) fn new() -> Result<Buffers, Error> {
        let map = |bytes| MmapMut::map_anon(bytes).map_err(|e| Error::new("allocate receive buffers", e));
        let ring = map(usize::from(COUNT) * size_of::<BufRingEntry>())?;
        let bytes = map(usize::from(COUNT) * BUFFER_BYTES)?;
        Ok(Buffers { ring, bytes, tail: 0, published: 0 })
    }

    /// Hands the ring to the kernel. `self` must outlive the kernel's ring.
    pub(super) fn register(&mut self, submitter: &Submitter<'_>) -> Result<(), Error> {
        let address = self.ring.as_ptr() as u64;
        // SAFETY: `ring` is page-aligned, holds COUNT entries, and `Uring` drops the kernel's ring before it.
        unsafe { submitter.register_buf_ring_with_flags(address, COUNT, GROUP, 0) }
            .map_err(|e| Error::new("register receive buffers", e))?;
        self.publish_more(COUNT_FIRST);
        Ok(())
    }

    /// The kernel ran dry: doubles what circulates, as far as there is.
    pub(super) fn grow(&mut self) {
        self.publish_more(self.published);
    }

    fn publish_more(&mut self, more: u16) {
        for id in self.published..COUNT.min(self.published + more) {
            self.give_back(BufferId(id));
            self.published = id + 1;
        }
    }

    /// The kernel may fill it again.
    pub(super) fn give_back(&mut self, id: BufferId) {
        assert!(id.0 < COUNT);
        let index = usize::from(self.tail & (COUNT - 1));
        let entries = self.ring.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: `id` is below COUNT, so the address lies within `bytes`.
        let address = unsafe { self.bytes.as_mut_ptr().add(usize::from(id.0) * BUFFER_BYTES) };
        // SAFETY: `index` is within the ring. The kernel reads no entry at or past the tail, and this one is: at most
        // COUNT buffers exist, each published once at a time (who gives back holds it: the struct's invariant).
        let entry = unsafe { &mut *entries.add(index) };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id.0);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's spare field, aligned to two bytes, in memory both sides access as
        // atomic; the release makes the entry visible before it.
        unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()).store(self.tail, Ordering::Release);
        }
    }

    /// The first `count` bytes of a buffer which a completion has just handed to us.
    pub(super) fn filled(&self, id: BufferId, count: usize) -> &[u8] {
        assert!(id.0 < COUNT && count <= BUFFER_BYTES);
        // SAFETY: the range lies within `bytes`, is initialised (mapped zeroes or the kernel's bytes), and the kernel
        // doesn't write to it before `give_back`, which needs `&mut self`.
        unsafe { slice::from_raw_parts(self.bytes.as_ptr().add(usize::from(id.0) * BUFFER_BYTES), count) }
    }
}
