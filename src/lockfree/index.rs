//! A hash index from 64-bit hashes to slots: one writer, any number of readers which never wait.
//!
//! The low 12 bits of a hash choose one of 4,096 *segments*, each with an open-addressing table of its own; the
//! high 32 bits are the *tag*, the only part that is stored. An entry is one word: tag above, slot + 1 below; 0 is
//! empty, all ones in the lower half is a tombstone. Two hashes may share segment and tag, so a lookup gives
//! *candidates*, and the caller compares the real key.
//!
//! An entry never moves within its table, so a reader's probe meets every entry that was there before it looked at
//! the version it reads at and is there until its turn ends. A table that is full, or too empty, is replaced as a
//! whole: some hundreds of words, one segment at a time, placed by tag alone; there is never one big rehash. The
//! old table is frozen and still right for readers inside it; it waits for its era like a replaced version
//! (`eras`).
//!
//! A tombstone right before an empty entry is made empty too: no probe for a live entry passes it. So creating and
//! deleting the same names for ever doesn't fill tables with tombstones.
//!
//! Memory: a table is replaced at a load of 13/16 by one a third larger, so the load is 0.61 to 0.81: 9.8 to 13.1
//! bytes per entry in large tables. An unused segment has no table. Capacity is no word of the table but six bits
//! of the pointer to it (tables are aligned to cache lines), which spares lookups a cache miss.
//!
//! Called by the tree: the writer inserts before it publishes and removes what no reader may find any more.
//! Limits: slots below 2^31. Tested: `index_test.rs` (model), `loom_test.rs`, `stress_test.rs`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::VecDeque;
use std::ptr;

use super::eras::{Eras, Publisher, Turn};
use super::sync::{Arc, AtomicPtr, AtomicU64, Ordering};

const SEGMENT_BITS: u32 = if cfg!(loom) { 1 } else { 12 };
const SEGMENTS: usize = 1 << SEGMENT_BITS;

const EMPTY: u64 = 0;
const TOMBSTONE: u64 = u64::MAX;

/// Alignment of tables: a cache line, and room for the class in the pointer.
const ALIGN: usize = 64;
const CLASSES: usize = 50;
const _: () = assert!(CLASSES <= ALIGN);

/// Entries of a table by class: whole cache lines, each class a third larger than the one before.
const CAPACITY: [usize; CLASSES] = {
    let mut sizes = [8usize; CLASSES];
    let mut class = 1;
    while class < CLASSES {
        sizes[class] = (sizes[class - 1] * 4 / 3).next_multiple_of(8);
        class += 1;
    }
    sizes
};
const _: () = assert!(CAPACITY[CLASSES - 1] < 1 << 31, "positions are computed in 64 bits from 32-bit tags");

/// Entries and tombstones which a table of this capacity holds before it is replaced: there is always an empty one.
const fn load_max(capacity: usize) -> usize {
    capacity * 13 / 16
}

/// A table for that many live entries, with room to grow.
fn class_for(live: usize) -> usize {
    let class = CAPACITY.partition_point(|&capacity| capacity * 21 / 32 < live);
    assert!(class < CLASSES, "a segment with {live} entries: the hash isn't one");
    class
}

fn pack(hash: u64, slot: u32) -> u64 {
    assert!(slot < 1 << 31, "slot numbers have 31 bits");
    hash >> 32 << 32 | u64::from(slot + 1)
}

#[inline(always)]
fn home(word: u64, capacity: usize) -> usize {
    (((word >> 32) * capacity as u64) >> 32) as usize
}

/// The entries of one segment: null, or the address of `CAPACITY[class]` entries plus `class`.
#[derive(Clone, Copy)]
struct Table(*mut AtomicU64);

// SAFETY: a table's entries are atomics; who may free it is decided by ownership of the word, as with `Box`.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    const NONE: Table = Table(ptr::null_mut());

    fn layout(class: usize) -> Layout {
        Layout::array::<AtomicU64>(CAPACITY[class])
            .and_then(|layout| layout.align_to(ALIGN))
            .expect("the largest class is far below the address space")
    }

    fn new(class: usize) -> Table {
        let layout = Table::layout(class);
        // SAFETY: no class has capacity zero.
        let entries = unsafe { alloc_zeroed(layout) }.cast::<AtomicU64>();
        if entries.is_null() {
            handle_alloc_error(layout);
        }
        // Zeroed memory is an array of `EMPTY` already; loom's atomics are objects that must be made.
        #[cfg(loom)]
        for at in 0..CAPACITY[class] {
            // SAFETY: within the allocation just made.
            unsafe { entries.add(at).write(AtomicU64::new(EMPTY)) };
        }
        // Inside the first entries: at least 64 bytes long, and the class is below 64.
        Table(entries.wrapping_byte_add(class))
    }

    #[inline(always)]
    fn class(self) -> usize {
        self.0.addr() % ALIGN
    }

    #[inline(always)]
    fn start(self) -> *mut AtomicU64 {
        self.0.wrapping_byte_sub(self.class())
    }

    /// # Safety
    /// The table must stay allocated for `'a`.
    #[inline(always)]
    unsafe fn entries<'a>(self) -> &'a [AtomicU64] {
        if self.0.is_null() {
            return &[];
        }
        // SAFETY: `new` allocated and initialised `CAPACITY[class]` entries there; the caller keeps them.
        unsafe { std::slice::from_raw_parts(self.start(), CAPACITY[self.class()]) }
    }

    /// # Safety
    /// The caller owns the table, and no reader can come upon it.
    unsafe fn free(self) {
        if self.0.is_null() {
            return;
        }
        #[cfg(loom)]
        for at in 0..CAPACITY[self.class()] {
            // SAFETY: initialised by `new`; the caller owns it. The write makes loom check that no read is
            // concurrent.
            unsafe {
                (*self.start().add(at)).with_mut(|word| *word = TOMBSTONE);
                ptr::drop_in_place(self.start().add(at));
            }
        }
        // SAFETY: allocated by `new` with this layout; the caller owns it.
        unsafe { dealloc(self.start().cast(), Table::layout(self.class())) };
    }
}

struct Segments {
    /// Each owns its table. Stored by the writer only.
    tables: Box<[AtomicPtr<AtomicU64>]>,
    /// Replaced tables which the writer left when it went. Plain std: it is read only with `&mut`.
    estate: std::sync::OnceLock<Vec<Table>>,
}

impl Segments {
    #[inline(always)]
    fn table(&self, hash: u64, order: Ordering) -> Table {
        Table(self.tables[hash as usize % SEGMENTS].load(order))
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        for table in &self.tables {
            // SAFETY: a segment owns its table, and `&mut self` says that no reader is left.
            unsafe { Table(table.load(Ordering::Relaxed)).free() };
        }
        for table in self.estate.take().into_iter().flatten() {
            // SAFETY: taken out of its segment and out of the writer's queue: owned here, and no reader is left.
            unsafe { table.free() };
        }
    }
}

/// A new index whose readers are `publisher`'s observers.
pub fn index(publisher: &Publisher) -> (IndexWriter, IndexReader) {
    let segments = Arc::new(Segments {
        tables: (0..SEGMENTS).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
        estate: std::sync::OnceLock::new(),
    });
    let writer = IndexWriter {
        segments,
        eras: publisher.eras().clone(),
        fill: vec![Fill::default(); SEGMENTS].into_boxed_slice(),
        len: 0,
        replaced: Vec::new(),
        retired: VecDeque::new(),
    };
    let reader = writer.reader();
    (writer, reader)
}

/// How full a segment's table is.
#[derive(Clone, Copy, Default)]
struct Fill {
    live: u32,
    tombstones: u32,
}

/// The writer's half.
pub struct IndexWriter {
    segments: Arc<Segments>,
    eras: Eras,
    fill: Box<[Fill]>,
    len: usize,
    /// Out of their segments, but not stamped yet: `reclaim` knows what is published.
    replaced: Vec<Table>,
    /// Stamped, in order.
    retired: VecDeque<(u64, Table)>,
}

impl IndexWriter {
    /// Adds an entry. Readers find it at the latest at versions published after this. The caller doesn't insert the
    /// same pair twice.
    pub fn insert(&mut self, hash: u64, slot: u32) {
        let word = pack(hash, slot);
        if !self.place(hash, word) {
            let live = self.fill[hash as usize % SEGMENTS].live as usize;
            self.replace(hash, class_for(live + 1));
            let placed = self.place(hash, word);
            assert!(placed, "a replaced table has room");
        }
        self.len += 1;
    }

    /// False: the table must be replaced first.
    fn place(&mut self, hash: u64, word: u64) -> bool {
        let fill = &mut self.fill[hash as usize % SEGMENTS];
        // SAFETY: the segment owns its table; only `replace` takes it out, and it has `&mut self`.
        let entries = unsafe { self.segments.table(hash, Ordering::Relaxed).entries() };
        if entries.is_empty() {
            return false;
        }
        let mut at = home(word, entries.len());
        loop {
            match entries[at].load(Ordering::Relaxed) {
                EMPTY if (fill.live + fill.tombstones) as usize >= load_max(entries.len()) => return false,
                EMPTY => break,
                TOMBSTONE => {
                    fill.tombstones -= 1;
                    break;
                }
                _ => at = next(at, entries.len()),
            }
        }
        entries[at].store(word, Ordering::Release);
        fill.live += 1;
        true
    }

    /// Takes an entry out; false if there is none such. Readers inside may still be given it: remove what none of
    /// them may need any more.
    pub fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let word = pack(hash, slot);
        let fill = &mut self.fill[hash as usize % SEGMENTS];
        let table = self.segments.table(hash, Ordering::Relaxed);
        // SAFETY: as in `place`.
        let entries = unsafe { table.entries() };
        let Some(mut at) = find(entries, word) else { return false };
        fill.live -= 1;
        self.len -= 1;
        if entries[next(at, entries.len())].load(Ordering::Relaxed) == EMPTY {
            // The end of a run: no probe for a live entry passes this one or the tombstones right before it.
            entries[at].store(EMPTY, Ordering::Release);
            loop {
                at = at.checked_sub(1).unwrap_or(entries.len() - 1);
                if entries[at].load(Ordering::Relaxed) != TOMBSTONE {
                    break;
                }
                entries[at].store(EMPTY, Ordering::Release);
                fill.tombstones -= 1;
            }
        } else {
            entries[at].store(TOMBSTONE, Ordering::Release);
            fill.tombstones += 1;
        }
        let live = fill.live as usize;
        if live == 0 || (live * 4 < entries.len() && class_for(live) < table.class()) {
            self.replace(hash, class_for(live));
        }
        true
    }

    /// Moves a segment's live entries to a table of `class`, or to none if nothing lives.
    fn replace(&mut self, hash: u64, class: usize) {
        let segment = hash as usize % SEGMENTS;
        let old = self.segments.table(hash, Ordering::Relaxed);
        let fill = &mut self.fill[segment];
        fill.tombstones = 0;
        let new = if fill.live == 0 && !old.0.is_null() { Table::NONE } else { Table::new(class) };
        // SAFETY: made just now, and only this function knows it.
        let entries = unsafe { new.entries() };
        // SAFETY: as in `place`; `reclaim` frees it at the earliest.
        for word in unsafe { old.entries() } {
            let word = word.load(Ordering::Relaxed);
            if word == EMPTY || word == TOMBSTONE {
                continue;
            }
            let mut at = home(word, entries.len());
            while entries[at].load(Ordering::Relaxed) != EMPTY {
                at = next(at, entries.len());
            }
            entries[at].store(word, Ordering::Relaxed);
        }
        // Release: who finds the table finds its entries.
        self.segments.tables[segment].store(new.0, Ordering::Release);
        if !old.0.is_null() {
            self.replaced.push(old);
        }
    }

    /// The writer's own lookup: slots of all entries that agree with `hash` in segment and tag.
    pub fn candidates(&self, hash: u64) -> Candidates<'_> {
        // SAFETY: the segment owns its table, which leaves it only through `&mut self`.
        Candidates::new(hash, unsafe { self.segments.table(hash, Ordering::Relaxed).entries() })
    }

    /// Frees replaced tables which no reader can be inside any more; returns how many. Once per turn: without it
    /// they pile up.
    pub fn reclaim(&mut self, publisher: &Publisher) -> usize {
        publisher.assert_same(&self.eras);
        if self.replaced.is_empty() && self.retired.is_empty() {
            return 0;
        }
        // They left their segments before now, and nothing can be published during this borrow: whoever learns of
        // a version above the published one finds the new tables.
        let stamp = publisher.published() + 1;
        self.retired.extend(self.replaced.drain(..).map(|table| (stamp, table)));
        let horizon = publisher.horizon_of_unlinked();
        let mut freed = 0;
        while self.retired.front().is_some_and(|&(stamp, _)| stamp <= horizon) {
            let (_, table) = self.retired.pop_front().expect("it has a front");
            // SAFETY: taken out of its segment and owned by this queue; the horizon says that no reader is inside
            // or can come in: a table is found through its segment's pointer only (header of `eras`); `publisher`,
            // checked to be ours, vouches for the horizon.
            unsafe { table.free() };
            freed += 1;
        }
        freed
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all tables that readers find, without the allocator's own.
    pub fn bytes(&self) -> usize {
        let tables = self.segments.tables.iter().map(|table| Table(table.load(Ordering::Relaxed)));
        tables.filter(|table| !table.0.is_null()).map(|table| CAPACITY[table.class()] * 8).sum()
    }

    pub fn reader(&self) -> IndexReader {
        IndexReader { segments: self.segments.clone(), eras: self.eras.clone() }
    }
}

impl Drop for IndexWriter {
    fn drop(&mut self) {
        // Readers may live on: the last half frees.
        let mut left = std::mem::take(&mut self.replaced);
        left.extend(self.retired.drain(..).map(|(_, table)| table));
        let fresh = self.segments.estate.set(left).is_ok();
        debug_assert!(fresh, "one writer, one drop");
    }
}

/// The readers' half.
#[derive(Clone)]
pub struct IndexReader {
    segments: Arc<Segments>,
    eras: Eras,
}

impl IndexReader {
    /// Slots of all entries that agree with `hash` in segment and tag; the caller compares keys, at its version. An
    /// entry made or taken out meanwhile may be among them or not.
    ///
    /// Panics if the turn is of other eras.
    #[inline]
    pub fn candidates<'t>(&'t self, turn: &'t Turn<'_>, hash: u64) -> Candidates<'t> {
        turn.assert_same(&self.eras);
        // SAFETY: the table was in its segment during the turn, so its stamp will be above the turn's floor, and the
        // turn keeps it allocated (header of `eras`); `self` keeps the segments.
        Candidates::new(hash, unsafe { self.segments.table(hash, Ordering::Acquire).entries() })
    }
}

/// Slots that may be what is looked for.
pub struct Candidates<'t> {
    entries: &'t [AtomicU64],
    at: usize,
    /// Entries not looked at yet: a bound, should the writer change them all the while.
    left: usize,
    tag: u64,
}

impl<'t> Candidates<'t> {
    #[inline]
    fn new(hash: u64, entries: &'t [AtomicU64]) -> Candidates<'t> {
        Candidates { entries, at: home(hash, entries.len()), left: entries.len(), tag: hash >> 32 }
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.left > 0 {
            // Acquire: who gets a slot from here sees what was put into it before.
            let word = self.entries[self.at].load(Ordering::Acquire);
            if word == EMPTY {
                self.left = 0;
                return None;
            }
            self.left -= 1;
            self.at = next(self.at, self.entries.len());
            if word >> 32 == self.tag && word != TOMBSTONE {
                return Some(word as u32 - 1);
            }
        }
        None
    }
}

#[inline(always)]
fn next(at: usize, capacity: usize) -> usize {
    if at + 1 == capacity { 0 } else { at + 1 }
}

fn find(entries: &[AtomicU64], word: u64) -> Option<usize> {
    let mut at = home(word, entries.len());
    for _ in 0..entries.len() {
        match entries[at].load(Ordering::Relaxed) {
            EMPTY => return None,
            found if found == word => return Some(at),
            _ => at = next(at, entries.len()),
        }
    }
    None
}

#[cfg(all(test, not(loom)))]
#[path = "index_test.rs"]
mod tests;
