//! A set of 31-bit numbers that readers iterate while its single writer changes it: a parent's children, by slot.
//!
//! An entry never moves: numbers lie in chunks of doubling size, each hanging off the one before it, set once. What
//! is removed leaves a *hole*; holes are filled before the bag grows. A hole is an entry with bit 31 set and the
//! position of the next hole in the rest, so the list of holes costs nothing. So a reader meets everything that is
//! in the bag throughout its iteration, exactly once; of what comes or goes meanwhile it may see anything, and it
//! filters by the version it reads at. Readers never write.
//!
//! Safe code: a second writer could only muddle the numbers. A bag never gives memory back; an owner that has shrunk
//! far (`holes` ≫ `len`) makes a new one.
//!
//! Memory: 32 bytes, and for the first four entries 48 more. Limits: 2^31 - 4 entries.
//! Tested: `bag_test.rs` (model), `loom_test.rs`, `stress_test.rs`.

use super::sync::{AtomicU32, OnceLock, Ordering};

/// Marks a hole.
const HOLE: u32 = 1 << 31;
/// Ends the list of holes.
const NO_HOLE: u32 = HOLE - 1;

/// Entries of the first chunk.
const FIRST: usize = 4;

struct Chunk {
    entries: Box<[AtomicU32]>,
    next: OnceLock<Box<Chunk>>,
}

/// A concurrent set for one writer. Changes go through `&self`, since the writer shares it with readers.
pub struct Bag {
    first: OnceLock<Box<Chunk>>,
    /// Positions ever used. Everything below it is a number or a hole.
    used: AtomicU32,
    holes: AtomicU32,
    /// The latest hole, or `NO_HOLE`. Only the writer looks.
    hole: AtomicU32,
}

impl Default for Bag {
    fn default() -> Bag {
        Bag::new()
    }
}

impl Bag {
    /// Allocates nothing.
    pub fn new() -> Bag {
        Bag {
            first: OnceLock::new(),
            used: AtomicU32::new(0),
            holes: AtomicU32::new(0),
            hole: AtomicU32::new(NO_HOLE),
        }
    }

    /// Adds a number below 2^31 and returns its position, by which it is removed. Writer only.
    pub fn push(&self, number: u32) -> u32 {
        assert!(number < HOLE, "numbers in a bag have 31 bits");
        let hole = self.hole.load(Ordering::Relaxed);
        if hole != NO_HOLE {
            let entry = self.entry(hole).expect("a hole lies below used");
            self.hole.store(entry.load(Ordering::Relaxed) & !HOLE, Ordering::Relaxed);
            self.holes.store(self.holes.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
            // Release: who sees the number sees what it stands for.
            entry.store(number, Ordering::Release);
            return hole;
        }
        let position = self.used.load(Ordering::Relaxed);
        assert!((position as usize) < HOLE as usize - FIRST, "a bag holds 2^31 - 4 numbers");
        self.grown_entry(position).store(number, Ordering::Release);
        self.used.store(position + 1, Ordering::Release);
        position
    }

    /// Takes out what `push` put at `position`, and returns it. Writer only.
    ///
    /// Panics if there is nothing.
    pub fn remove(&self, position: u32) -> u32 {
        assert!(position < self.used.load(Ordering::Relaxed), "position {position} was never used");
        let entry = self.entry(position).expect("below used");
        let number = entry.load(Ordering::Relaxed);
        assert!(number & HOLE == 0, "position {position} is empty");
        entry.store(HOLE | self.hole.load(Ordering::Relaxed), Ordering::Release);
        self.hole.store(position, Ordering::Relaxed);
        self.holes.store(self.holes.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        number
    }

    /// All numbers, in order of position.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// Those at `position` and behind it. As no entry moves, who goes on at [`Iter::position`] meets the rest.
    pub fn iter_from(&self, position: u32) -> Iter<'_> {
        let end = self.used.load(Ordering::Acquire);
        let (chunk, at) = place(position);
        let mut link = self.first.get();
        for _ in 0..chunk {
            link = link.and_then(|chunk| chunk.next.get());
        }
        Iter { chunk: link.map(|chunk| &**chunk), at, left: end.saturating_sub(position) as usize, end }
    }

    /// Numbers in it. For a reader: at some moment.
    pub fn len(&self) -> usize {
        // Two loads, not one moment: a reader's difference may be off, but not below zero.
        let holes = self.holes();
        (self.used.load(Ordering::Relaxed) as usize).saturating_sub(holes)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Empty positions that an iteration has to step over.
    pub fn holes(&self) -> usize {
        self.holes.load(Ordering::Relaxed) as usize
    }

    fn entry(&self, position: u32) -> Option<&AtomicU32> {
        let (chunk, at) = place(position);
        let mut link = &self.first;
        for _ in 0..chunk {
            link = &link.get()?.next;
        }
        Some(&link.get()?.entries[at])
    }

    fn grown_entry(&self, position: u32) -> &AtomicU32 {
        let (chunk, at) = place(position);
        let mut link = &self.first;
        for _ in 0..chunk {
            link = &link.get().expect("positions are used in order").next;
        }
        if link.get().is_none() {
            let entries = (0..FIRST << chunk).map(|_| AtomicU32::new(HOLE | NO_HOLE)).collect();
            let fresh = link.set(Box::new(Chunk { entries, next: OnceLock::new() })).is_ok();
            assert!(fresh, "a bag has one writer");
        }
        &link.get().expect("set above or before").entries[at]
    }
}

/// The chunk of a position, and the place in it: chunk k has `FIRST << k` entries.
fn place(position: u32) -> (u32, usize) {
    let chunk = (position as usize / FIRST + 1).ilog2();
    (chunk, position as usize + FIRST - (FIRST << chunk))
}

/// Numbers of a [`Bag`].
pub struct Iter<'a> {
    chunk: Option<&'a Chunk>,
    /// In the chunk.
    at: usize,
    /// Positions not visited.
    left: usize,
    /// Behind the last position.
    end: u32,
}

impl Iter<'_> {
    /// The next position to visit.
    pub fn position(&self) -> u32 {
        self.end - self.left as u32
    }
}

impl Iterator for Iter<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.left > 0 {
            let chunk = self.chunk?;
            let Some(entry) = chunk.entries.get(self.at) else {
                self.chunk = chunk.next.get().map(|chunk| &**chunk);
                self.at = 0;
                continue;
            };
            self.at += 1;
            self.left -= 1;
            let entry = entry.load(Ordering::Acquire);
            if entry & HOLE == 0 {
                return Some(entry);
            }
        }
        None
    }
}

impl<'a> IntoIterator for &'a Bag {
    type Item = u32;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

#[cfg(all(test, not(ringkeeper_loom)))]
#[path = "bag_test.rs"]
mod tests;
