//! Which versions may still be read: the one fact that reclamation in this room stands on.
//!
//! One [`Publisher`] (the writer) says "everything up to version V is there"; one [`Observer`] per reader thread
//! announces the smallest version it may still read at, its *floor*. An announcement is one store to a cache line of
//! its own, once per turn of the reader's loop, not per read. [`Publisher::horizon`] is the smallest floor: what no
//! version at or above it needs may be freed.
//!
//! # Rules for the structures that stand on it (`versions`, `index`)
//!
//! A writer *unlinks* a thing and gives it a *stamp* above everything published at that moment, such that a reader
//! which knows of a published version ≥ stamp can't find it. It is freed once horizon ≥ stamp.
//!
//! # Why that is sound
//!
//! Let h be a horizon, found by `fence; load every announcement`, and let r be a reader with floor f that may read.
//! Claim: f ≥ h, or the thing freed under h isn't reachable for r. Two cases.
//!
//! 1. *The load saw r's announcement a of this stay, or an older one of r than that.* Then h ≤ a ≤ f: floors only
//!    rise during a stay (`raise`), and what is announced at the start is not above the floor.
//!    "Older" may be `IDLE` of an earlier `park` only in case 2.
//! 2. *The load saw `IDLE`, though r has entered.* `enter` does: store announcement, SeqCst fence F2, load
//!    published (the floor). The writer does: store published p (p ≥ h), SeqCst fence F1, load announcement. The
//!    writer's load missed r's store, so F1 precedes F2 in the order of fences; so r's load sees p or something
//!    newer, and f ≥ p ≥ h. Without the fences both could miss each other (store buffering), and r would read what
//!    is being freed.
//!
//! So f ≥ h ≥ stamp: r has loaded (Acquire) a published version ≥ stamp, which was stored (Release) after the
//! unlinking; r sees the unlinking and can't find the thing any more. And what r found *before* (in an earlier
//! turn, below the stamp) r has let go: references borrow the [`Turn`], `raise` and `park` need `&mut Observer`,
//! and their Release store, seen by the Acquire load of the horizon, puts r's last access before the free.
//!
//! *What hangs on one pointer.* If all announcements were seen `IDLE`, a thing that readers find only through one
//! pointer may be freed whatever its stamp: a reader that enters later has F2 behind F1 (case 2), so its loads of
//! that pointer see the unlinking, which precedes F1. That is not so for replaced versions: a reader may enter
//! below their stamp and walk to them through the successor. It lets a tree be loaded before there are readers
//! without keeping every outgrown table until something is published.
//!
//! `raise` needs no fence: a writer which misses it sees a smaller announcement and frees less.
//!
//! A horizon stays good: floors of readers inside only rise, and who enters later starts at published ≥ h.
//!
//! Two things are the callers' in this room: stamps are checked against a borrowed `&Publisher`, during which nothing
//! can be published; and a [`Turn`] is accepted only by structures of the same eras.
//!
//! Called by: the tree's writer (publisher) and each shard (observer). Limits: as many readers as `eras` was told.
//! When a reader neither raises nor parks, nothing above its floor is freed: a loop parks before it sleeps.
//! Tested: below, `loom_test.rs` (the two fences, with the real arena), `stress_test.rs`.

use std::cell::Cell;

use crossbeam::utils::CachePadded;

use super::sync::{Arc, AtomicU64, Ordering, fence};

/// What a parked reader announces. Not a version: `publish` refuses it.
const IDLE: u64 = u64::MAX;

struct Shared {
    /// Newest version readers may read at. Stored by the publisher only; never falls.
    published: CachePadded<AtomicU64>,
    /// Per reader: a lower bound of what it may read at, or `IDLE`. Stored by its observer only.
    announced: Box<[CachePadded<AtomicU64>]>,
}

/// Identity of one `eras()` call: structures compare it before they trust a turn or a publisher.
#[derive(Clone)]
pub(super) struct Eras(Arc<Shared>);

impl Eras {
    #[inline]
    fn is(&self, other: &Eras) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The writer's half and one [`Observer`] per reader thread, all of them parked, at version 0.
pub fn eras(readers: usize) -> (Publisher, Vec<Observer>) {
    let shared = Shared {
        published: CachePadded::new(AtomicU64::new(0)),
        announced: (0..readers).map(|_| CachePadded::new(AtomicU64::new(IDLE))).collect(),
    };
    let eras = Eras(Arc::new(shared));
    let observers = (0..readers)
        .map(|reader| Observer { eras: eras.clone(), reader, floor: IDLE, seen: Cell::new(0) })
        .collect();
    (Publisher { eras, published: 0 }, observers)
}

/// Decides what readers see. One per [`eras`].
pub struct Publisher {
    eras: Eras,
    /// Same as the shared one, of which this is the only writer.
    published: u64,
}

impl Publisher {
    /// Lets all readers see everything written up to `version`.
    ///
    /// Panics if versions go back: readers rely on their order. The same version again is no change.
    #[inline]
    pub fn publish(&mut self, version: u64) {
        assert!(version >= self.published, "published versions never fall: {version} < {}", self.published);
        assert!(version != IDLE, "the largest u64 means idle");
        if version != self.published {
            self.published = version;
            self.eras.0.published.store(version, Ordering::Release);
        }
    }

    #[inline]
    pub fn published(&self) -> u64 {
        self.published
    }

    /// The smallest version that any reader may still read at; what is published if none reads. Costs a fence and a
    /// load per reader: once per turn, not once per object.
    pub fn horizon(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.floors().min(self.published)
    }

    /// The horizon for what readers find through one pointer and no version: as [`horizon`](Self::horizon), but
    /// without bound if nobody reads. (Header, "what hangs on one pointer".)
    pub(super) fn horizon_of_unlinked(&self) -> u64 {
        fence(Ordering::SeqCst);
        match self.floors() {
            IDLE => IDLE,
            floor => floor.min(self.published),
        }
    }

    /// The smallest announcement, `IDLE` if nobody reads.
    fn floors(&self) -> u64 {
        let announced = self.eras.0.announced.iter().map(|reader| reader.load(Ordering::Acquire));
        announced.min().unwrap_or(IDLE)
    }

    /// The stamp of what a change at `version` unlinks. Changes lie above what readers may already be reading; only
    /// version 0, which nobody published, may be built while it can be read. The stamp is above what is published
    /// even then.
    #[inline]
    pub(super) fn stamp(&self, eras: &Eras, version: u64) -> u64 {
        self.assert_same(eras);
        assert!(
            version > self.published || self.published == 0,
            "change {version} comes after readers were told of {}",
            self.published
        );
        version.max(self.published + 1)
    }

    #[inline]
    pub(super) fn assert_same(&self, eras: &Eras) {
        assert!(self.eras.is(eras), "this structure belongs to another publisher");
    }

    pub(super) fn eras(&self) -> &Eras {
        &self.eras
    }
}

/// One reader thread's announcement. Starts parked.
pub struct Observer {
    eras: Eras,
    reader: usize,
    /// Every read of this reader is at this version or above; `IDLE` while parked.
    floor: u64,
    /// The newest published version this thread has loaded: saves reads a look at the writer's cache line.
    seen: Cell<u64>,
}

impl Observer {
    /// The newest version to read at, and proof that everything written up to it is visible to this thread.
    #[inline]
    pub fn published(&self) -> u64 {
        let published = self.eras.0.published.load(Ordering::Acquire);
        self.seen.set(published);
        published
    }

    /// Begins a turn: what is readable at the floor and above stays allocated while the turn lives. The floor is what
    /// it was at the end of the last turn; after [`park`](Self::park), the version published now.
    #[inline]
    pub fn enter(&mut self) -> Turn<'_> {
        if self.floor == IDLE {
            self.announce();
        }
        Turn { observer: self }
    }

    #[cold]
    fn announce(&mut self) {
        let announced = self.published();
        self.eras.0.announced[self.reader].store(announced, Ordering::Release);
        // Case 2 of the header: whoever computed a horizon without seeing this announcement has published, before
        // that, what is loaded here.
        fence(Ordering::SeqCst);
        self.floor = self.published();
        assert!(announced <= self.floor);
    }

    /// Gives up everything below `to`: the end of a turn that has acted on all up to `to`.
    ///
    /// Panics if parked, if `to` is below the floor, or if this thread hasn't seen `to` published.
    #[inline]
    pub fn raise(&mut self, to: u64) {
        assert!(self.floor != IDLE, "a parked reader has no floor to raise: enter first");
        assert!(to >= self.floor, "a floor never falls: {to} < {}", self.floor);
        assert!(to <= self.seen.get() || to <= self.published(), "floor {to} is not published yet");
        self.floor = to;
        let announced = &self.eras.0.announced[self.reader];
        if announced.load(Ordering::Relaxed) != to {
            announced.store(to, Ordering::Release);
        }
    }

    /// Gives up everything: nothing is kept for this reader until it enters again. For a loop about to sleep.
    pub fn park(&mut self) {
        if self.floor != IDLE {
            self.floor = IDLE;
            self.eras.0.announced[self.reader].store(IDLE, Ordering::Release);
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.park();
    }
}

/// Permission to read. While it lives, everything readable at versions ≥ `floor()` stays allocated.
pub struct Turn<'a> {
    observer: &'a Observer,
}

impl Turn<'_> {
    #[inline]
    pub fn floor(&self) -> u64 {
        self.observer.floor
    }

    /// Looks again: the newest version to read at.
    #[inline]
    pub fn published(&self) -> u64 {
        self.observer.published()
    }

    /// Reading a structure of other eras, or below the floor, would touch freed memory; above published, half a
    /// change.
    #[inline]
    pub(super) fn assert_readable(&self, eras: &Eras, version: u64) {
        self.assert_same(eras);
        assert!(version >= self.observer.floor, "version {version} is below the floor {}", self.floor());
        assert!(
            version <= self.observer.seen.get() || version <= self.published(),
            "version {version} is not published yet"
        );
    }

    #[inline]
    pub(super) fn assert_same(&self, eras: &Eras) {
        assert!(
            self.observer.eras.is(eras),
            "this turn belongs to another publisher than the structure read"
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_is_the_lowest_floor() {
        let (mut publisher, mut observers) = eras(2);
        assert_eq!(publisher.horizon(), 0);
        publisher.publish(10);
        assert_eq!(publisher.horizon(), 10, "all idle: nothing below what is published");
        let (a, b) = observers.split_at_mut(1);
        assert_eq!(a[0].enter().floor(), 10);
        publisher.publish(20);
        assert_eq!(publisher.horizon(), 10);
        assert_eq!(b[0].enter().floor(), 20);
        assert_eq!(a[0].enter().floor(), 10, "a floor stays until it is raised");
        assert_eq!(a[0].enter().published(), 20);
        a[0].raise(15);
        assert_eq!(publisher.horizon(), 15);
        a[0].park();
        assert_eq!(publisher.horizon(), 20);
        publisher.publish(30);
        assert_eq!(publisher.horizon(), 20);
        drop(observers);
        assert_eq!(publisher.horizon(), 30, "a dropped observer holds nothing");
    }

    #[test]
    fn entering_after_parking_starts_at_what_is_published_now() {
        let (mut publisher, mut observers) = eras(1);
        publisher.publish(5);
        assert_eq!(observers[0].enter().floor(), 5);
        observers[0].park();
        publisher.publish(9);
        assert_eq!(observers[0].enter().floor(), 9);
        publisher.publish(9);
        assert_eq!(observers[0].published(), 9);
    }

    #[test]
    fn without_readers_the_horizon_follows() {
        let (mut publisher, _) = eras(0);
        publisher.publish(7);
        assert_eq!(publisher.horizon(), 7);
    }

    #[test]
    #[should_panic(expected = "not published yet")]
    fn a_floor_above_published_is_refused() {
        let (_publisher, mut observers) = eras(1);
        observers[0].enter();
        observers[0].raise(1);
    }

    #[test]
    #[should_panic(expected = "a floor never falls")]
    fn a_falling_floor_is_refused() {
        let (mut publisher, mut observers) = eras(1);
        publisher.publish(5);
        observers[0].enter();
        observers[0].raise(4);
    }

    #[test]
    #[should_panic(expected = "never fall")]
    fn going_back_is_refused() {
        let (mut publisher, _) = eras(1);
        publisher.publish(5);
        publisher.publish(4);
    }
}
