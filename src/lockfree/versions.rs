//! An arena of version chains: one writer, any number of readers which never wait.
//!
//! A *slot* is one atomic pointer to the newest *version*; each version knows from when on it holds (`since`) and the
//! one before it. A reader at version V takes the newest with `since` ≤ V. The writer puts a new version in front
//! (`update`) or empties the slot (`release`); what is replaced waits in a queue with a stamp, and `reclaim` frees it
//! when no reader can come upon it (rules and proof: `eras`).
//!
//! Why a replaced version is unreachable once horizon ≥ stamp ≥ `since` of its successor: every reader reads at V ≥
//! stamp and has seen the successor linked; a walk stops at the first version with `since` ≤ V, so at the successor
//! or before it, and never loads through the successor's `next`, which may dangle by then. A walk that does load
//! through the `next` of a version with `since` > V finds a version whose stamp is at least that `since` > V ≥
//! floor ≥ horizon: not freed. An emptied slot's last version: its stamp is above everything published when the
//! slot was emptied, so a reader whose floor reaches it finds the slot empty.
//!
//! Memory: 8 bytes per slot, 16 bytes beside the value per version, 24 bytes per version that waits; some freed versions'
//! memory is kept for new ones. Slots lie in chunks of doubling size which never move and are freed with the arena. A slot
//! is used again only after its last version was freed. Values are dropped by the writer in `reclaim`, or by whoever drops
//! the last half.
//!
//! Called by the tree's writer and readers. Limit: `SLOTS_MAX` slots; `insert` panics above it, the caller refuses
//! before. Tested: `versions_test.rs` (model), `loom_test.rs`, `stress_test.rs`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ptr;

use super::eras::{Eras, Publisher, Turn};
use super::sync::{Arc, AtomicPtr, Frozen, Ordering};

/// Slots of the first chunk, as a power of two. Small in models, so that few insertions cross chunks.
const FIRST_BITS: u32 = if cfg!(any(miri, ringkeeper_loom)) { 2 } else { 10 };
const FIRST: usize = 1 << FIRST_BITS;
const CHUNKS: usize = 31 - FIRST_BITS as usize;

/// Slots of one arena. (The bias by the first chunk keeps the sum of all chunks below 2^31.)
pub const SLOTS_MAX: u32 = (1 << 31) - FIRST as u32;

/// Set in `Retired::slot` when the slot itself ends with this version.
const LAST: u32 = 1 << 31;

struct Version<T> {
    since: Frozen<u64>,
    /// The version before. Dangles once that one is freed: see the header for who may
    /// follow it.
    next: Frozen<*mut Version<T>>,
    value: T,
}

impl<T> Version<T> {
    fn boxed(since: u64, next: *mut Version<T>, value: T) -> Box<Version<T>> {
        Box::new(Version { since: Frozen::new(since), next: Frozen::new(next), value })
    }
}

/// A version that is in no slot yet: made ahead of time, for a transaction that makes very many.
pub struct Fresh<T>(Box<Version<T>>);

impl<T> Fresh<T> {
    pub fn new(value: T) -> Fresh<T> {
        Fresh(Version::boxed(0, ptr::null_mut(), value))
    }
}

// SAFETY: an owned value beside a null pointer.
unsafe impl<T: Send> Send for Fresh<T> {}
// SAFETY: a shared one gives access to nothing.
unsafe impl<T: Sync> Sync for Fresh<T> {}

/// Memory of a version that is no more, for the next one.
struct Spare<T>(Box<MaybeUninit<Version<T>>>);

// SAFETY: owned memory in which nothing is.
unsafe impl<T> Send for Spare<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Spare<T> {}

/// As many as a turn's writes may free before they need them again.
const SPARE_MAX: usize = 1_024;

struct Retired<T> {
    /// May be freed when horizon ≥ stamp.
    stamp: u64,
    /// From `Box::into_raw`; owned by this queue entry.
    version: *mut Version<T>,
    /// The slot it was in, with `LAST` if the slot ends too.
    slot: u32,
}

// SAFETY: a queue entry is an owned version: it may cross threads if T may. A shared entry gives access to nothing:
// only the owner of the queue dereferences, through `&mut` or by value.
unsafe impl<T: Send + Sync> Send for Retired<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Retired<T> {}

/// What the arena leaves to whichever half goes last.
struct Estate<T> {
    slots: u32,
    retired: VecDeque<Retired<T>>,
}

struct Slots<T> {
    /// Chunk k: null, or `FIRST << k` slots, set once by the writer.
    chunks: [AtomicPtr<AtomicPtr<Version<T>>>; CHUNKS],
    /// Set when the writer goes. Plain std: it is read only with `&mut`.
    estate: std::sync::OnceLock<Estate<T>>,
}

/// The chunk of a slot, and the place in it.
#[inline(always)]
fn place(slot: u32) -> (usize, usize) {
    let biased = slot as usize + FIRST;
    let chunk = biased.ilog2() - FIRST_BITS;
    (chunk as usize, biased - (FIRST << chunk))
}

fn chunk_layout<T>(chunk: usize) -> Layout {
    Layout::array::<AtomicPtr<Version<T>>>(FIRST << chunk).expect("a chunk is smaller than the address space")
}

impl<T> Slots<T> {
    #[inline(always)]
    fn head(&self, slot: u32) -> Option<&AtomicPtr<Version<T>>> {
        let (chunk, at) = place(slot);
        let chunk = self.chunks.get(chunk)?.load(Ordering::Acquire);
        if chunk.is_null() {
            return None;
        }
        // SAFETY: `place` gives an offset below `FIRST << chunk`, the chunk's length; chunks are fully initialised
        // before `grow` links them and freed only with `self`.
        Some(unsafe { &*chunk.add(at) })
    }

    /// Makes sure that `slot` exists. Writer only.
    fn grow(&self, slot: u32) {
        let (chunk, _) = place(slot);
        if !self.chunks[chunk].load(Ordering::Relaxed).is_null() {
            return;
        }
        let layout = chunk_layout::<T>(chunk);
        // SAFETY: the layout isn't empty: a chunk has at least one slot.
        let slots = unsafe { alloc_zeroed(layout) }.cast::<AtomicPtr<Version<T>>>();
        if slots.is_null() {
            handle_alloc_error(layout);
        }
        // Zeroed memory is an array of null `AtomicPtr`s already; loom's are objects that must be made.
        #[cfg(ringkeeper_loom)]
        for at in 0..FIRST << chunk {
            // SAFETY: within the allocation just made, aligned by its layout.
            unsafe { slots.add(at).write(AtomicPtr::new(ptr::null_mut())) };
        }
        self.chunks[chunk].store(slots, Ordering::Release);
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        // No estate: the arena was forgotten, not dropped. Its versions are leaked, as the caller asked.
        if let Some(estate) = self.estate.take() {
            for slot in 0..estate.slots {
                let head = self.head(slot).map_or(ptr::null_mut(), |head| head.load(Ordering::Relaxed));
                if !head.is_null() {
                    // SAFETY: a head is owned by its slot (what was replaced is owned by the queue), and `&mut self`
                    // says that no reader and no writer is left.
                    drop(unsafe { Box::from_raw(head) });
                }
            }
            for retired in estate.retired {
                // SAFETY: owned by the queue entry, and nobody is left who could read it.
                drop(unsafe { Box::from_raw(retired.version) });
            }
        }
        for (chunk, slots) in self.chunks.iter().enumerate() {
            let slots = slots.load(Ordering::Relaxed);
            if slots.is_null() {
                continue;
            }
            #[cfg(ringkeeper_loom)]
            for at in 0..FIRST << chunk {
                // SAFETY: initialised by `grow`; nobody else is left.
                unsafe { ptr::drop_in_place(slots.add(at)) };
            }
            // SAFETY: allocated by `grow` with this very layout; nobody else is left.
            unsafe { dealloc(slots.cast(), chunk_layout::<T>(chunk)) };
        }
    }
}

/// A new arena whose readers are `publisher`'s observers.
pub fn arena<T: Send + Sync>(publisher: &Publisher) -> (Arena<T>, View<T>) {
    let slots = Arc::new(Slots {
        chunks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        estate: std::sync::OnceLock::new(),
    });
    let arena = Arena {
        slots,
        eras: publisher.eras().clone(),
        count: 0,
        free: Vec::new(),
        retired: VecDeque::new(),
        spare: Vec::new(),
    };
    let view = arena.view();
    (arena, view)
}

/// The writer's half.
pub struct Arena<T> {
    slots: Arc<Slots<T>>,
    eras: Eras,
    /// Slots ever used.
    count: u32,
    /// Empty slots below `count` which no reader can hold anything of.
    free: Vec<u32>,
    /// In the order of retirement; stamps don't fall if the caller's versions don't.
    retired: VecDeque<Retired<T>>,
    /// What `reclaim` looked at last lies on top, still in the processor's caches; unless it freed more at once than is kept.
    spare: Vec<Spare<T>>,
}

impl<T> Arena<T> {
    /// Puts `value` into an empty slot, for readers at `since` and above.
    pub fn insert(&mut self, since: u64, value: T) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            assert!(self.count < SLOTS_MAX, "an arena has {SLOTS_MAX} slots; the caller refuses before that");
            let slot = self.count;
            self.slots.grow(slot);
            self.count += 1;
            slot
        });
        let head = self.slots.head(slot).expect("a slot below count has its chunk");
        let version = Version::boxed(since, ptr::null_mut(), value);
        head.store(Box::into_raw(version), Ordering::Release);
        slot
    }

    /// Puts `value` in front of what the slot holds, for readers at `since` and above.
    ///
    /// Panics if the slot is empty, if `since` is published already, or if it is older than the slot's latest. The
    /// same `since` again (two changes in one transaction) hides the first one for good. Before the first publish
    /// `since` may be 0: the writer builds the state that readers start from.
    pub fn update(&mut self, publisher: &Publisher, slot: u32, since: u64, value: T) {
        let version = self.fresh(value);
        self.update_to(publisher, slot, since, version);
    }

    /// The same with a version that is made already.
    pub fn update_to(&mut self, publisher: &Publisher, slot: u32, since: u64, version: Fresh<T>) {
        let stamp = publisher.stamp(&self.eras, since);
        self.put(slot, since, stamp, version);
    }

    /// As [`Self::update`] at the version that is published: readers there see the one or the other. For what is no
    /// transaction's.
    pub fn amend(&mut self, publisher: &Publisher, slot: u32, value: T) {
        let since = publisher.published();
        let stamp = publisher.stamp(&self.eras, since + 1);
        let version = self.fresh(value);
        self.put(slot, since, stamp, version);
    }

    fn fresh(&mut self, value: T) -> Fresh<T> {
        let Some(Spare(room)) = self.spare.pop() else { return Fresh::new(value) };
        let (since, next) = (Frozen::new(0), Frozen::new(ptr::null_mut()));
        Fresh(Box::write(room, Version { since, next, value }))
    }

    /// What is superseded is freed when every reader has begun a turn at `stamp` or above.
    fn put(&mut self, slot: u32, since: u64, stamp: u64, Fresh(mut version): Fresh<T>) {
        let head = self.slots.head(slot).expect("update of a slot that was never inserted");
        let old = head.load(Ordering::Relaxed);
        assert!(!old.is_null(), "update of empty slot {slot}");
        // SAFETY: a head is alive: only `update` and `release` take it out, and they hand it to the queue.
        let old_since = unsafe { (*old).since.get() };
        assert!(since >= old_since, "versions of a slot never fall: {since} < {old_since}");
        (version.since, version.next) = (Frozen::new(since), Frozen::new(old));
        head.store(Box::into_raw(version), Ordering::Release);
        self.retired.push_back(Retired { stamp, version: old, slot });
    }

    /// What the slot holds, published or not. None if empty.
    #[inline]
    pub fn latest(&self, slot: u32) -> Option<&T> {
        self.head(slot).map(|version| &version.value)
    }

    /// Since when it holds that.
    #[inline]
    pub fn latest_since(&self, slot: u32) -> Option<u64> {
        self.head(slot).map(|version| version.since.get())
    }

    #[inline]
    fn head(&self, slot: u32) -> Option<&Version<T>> {
        let version = self.slots.head(slot)?.load(Ordering::Relaxed);
        // SAFETY: null or alive: a version leaves the head only through `&mut self`, and is freed after that.
        unsafe { version.as_ref() }
    }

    /// Empties the slot. `stamp` is above every version published or still to be published for what was written so
    /// far: the latest applied + 1. The slot is used again once every reader has begun a turn at `stamp` or above.
    ///
    /// Panics if the slot is empty or `stamp` is published already.
    pub fn release(&mut self, publisher: &Publisher, slot: u32, stamp: u64) {
        let stamp = publisher.stamp(&self.eras, stamp);
        let head = self.slots.head(slot).expect("release of a slot that was never inserted");
        let old = head.load(Ordering::Relaxed);
        assert!(!old.is_null(), "release of empty slot {slot}");
        head.store(ptr::null_mut(), Ordering::Release);
        self.retired.push_back(Retired { stamp, version: old, slot: slot | LAST });
    }

    /// Frees what no reader can come upon any more, oldest first, at most `budget` versions; returns how many. Calls
    /// `superseded` with the slot of each version freed that an `update` had replaced, and its value, which is dropped then.
    pub fn reclaim(
        &mut self,
        publisher: &Publisher,
        budget: usize,
        superseded: &mut dyn FnMut(u32, &mut T),
    ) -> usize {
        publisher.assert_same(&self.eras);
        if self.retired.is_empty() {
            return 0;
        }
        let horizon = publisher.horizon();
        let mut freed = 0;
        while freed < budget && self.retired.front().is_some_and(|oldest| oldest.stamp <= horizon) {
            let oldest = self.retired.pop_front().expect("it has a front");
            // SAFETY: the queue entry owns the version, and horizon ≥ stamp says that no reader reaches it (header);
            // `publisher`, checked to be ours, vouches for the horizon.
            let mut version = unsafe { Box::from_raw(oldest.version) };
            freed += 1;
            if oldest.slot & LAST == 0 {
                superseded(oldest.slot, &mut version.value);
            } else {
                self.free.push(oldest.slot & !LAST);
            }
            if self.spare.len() < SPARE_MAX {
                let version = Box::into_raw(version);
                // SAFETY: just taken out of its box: valid, ours alone, and dropped once, as what stays is only memory.
                unsafe { ptr::drop_in_place(version) };
                // SAFETY: a box's memory of this very layout, which `MaybeUninit` shares, and nobody else has it.
                self.spare.push(Spare(unsafe { Box::from_raw(version.cast()) }));
            }
        }
        freed
    }

    /// Versions that wait to be freed.
    #[inline]
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    /// Slots ever used; every slot number is below it.
    #[inline]
    pub fn slots(&self) -> u32 {
        self.count
    }

    pub fn view(&self) -> View<T> {
        View { slots: self.slots.clone(), eras: self.eras.clone() }
    }
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        // Views may live on, and with them references: the last half frees.
        let estate = Estate { slots: self.count, retired: std::mem::take(&mut self.retired) };
        let fresh = self.slots.estate.set(estate).is_ok();
        debug_assert!(fresh, "one arena, one drop");
    }
}

/// The readers' half.
pub struct View<T> {
    slots: Arc<Slots<T>>,
    eras: Eras,
}

impl<T> Clone for View<T> {
    fn clone(&self) -> View<T> {
        View { slots: self.slots.clone(), eras: self.eras.clone() }
    }
}

impl<T> View<T> {
    /// The newest value with `since` ≤ `version`. None if the slot is empty or holds only newer ones.
    ///
    /// Panics unless floor ≤ `version` ≤ published, and if the turn is of other eras.
    #[inline]
    pub fn read<'t>(&'t self, turn: &'t Turn<'_>, slot: u32, version: u64) -> Option<&'t T> {
        turn.assert_readable(&self.eras, version);
        let mut at = self.slots.head(slot)?.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or a version that the turn keeps allocated: it is the head, or it was found through the
            // `next` of a version with `since` > `version` ≥ floor (header). The reference borrows the turn, which
            // keeps the floor, and `self`, which keeps the slots.
            let found = unsafe { at.as_ref() }?;
            if found.since.get() <= version {
                return Some(&found.value);
            }
            at = found.next.get();
        }
    }
}

#[cfg(all(test, not(ringkeeper_loom)))]
#[path = "versions_test.rs"]
mod tests;
