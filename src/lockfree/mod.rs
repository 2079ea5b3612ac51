//! What threads share: one writer, many readers which never lock, never wait and never write a shared line but their
//! own, once per turn. Knows nothing of ZooKeeper: versions are `u64`s that rise, things are slots and hashes.
//!
//! | module | is | writer's half | reader's half |
//! |---|---|---|---|
//! | [`eras`](mod@eras) | what may still be read, so what may be freed; **the proof is there** | [`Publisher`] | [`Observer`], [`Turn`] |
//! | [`versions`] | slots with chains of immutable versions | [`Arena`] | [`View`] |
//! | [`index`](mod@index) | 64-bit hash to slots | [`IndexWriter`] | [`IndexReader`] |
//! | [`bag`] | a set of slots, iterated while it changes | [`Bag`] | [`Bag`] |
//! | [`ring`](mod@ring) | bounded queue between two threads | [`Producer`] | [`Consumer`] |
//! | [`doorbell`] | who must be woken; the system call is room `io`'s | [`Doorbell`] | [`Doorbell`] |
//!
//! # How they fit together
//!
//! ```text
//! writer, for version z                      reader, one turn of its loop
//!   insert / update in arena, index, bag       turn = observer.enter()
//!   push the notice of z into each ring        v = turn.published()
//!   publisher.publish(z)                       act on notices ≤ v, in order, reading at each one's version
//!   ring the doorbells                         read at v; arm watches "after v"
//!   arena.reclaim, index.reclaim               observer.raise(v); before sleeping: observer.park()
//! ```
//!
//! **Notices before data, nothing between a read and its watch.** Let a reader have loaded v.
//! (a) The notice of every z ≤ v is in its ring: pushed before publish(z) (program order), and the reader's Acquire
//! load read publish(v) or a later store. It acts on them before it reads at v: so an event precedes the data it
//! announces.
//! (b) It doesn't act on a notice of z > v, though it may be in the ring already: so no event precedes its data by a
//! read at an older version that comes later, and a watch armed "after v" still has the notices of all z > v to come.
//! (c) Reading at v shows v exactly: the newest version with `since` ≤ v, whatever the writer has put in front of it.
//! `loom_test.rs` runs this, and a canary with the order turned round which it must catch.
//!
//! **Deleting.** What readers at older versions must still find stays in index and bag. The writer marks it deleted
//! by a version (`update`) and publishes; when `reclaim` calls back with the slot, the version before the mark is
//! freed, so no reader can read below the mark: now the writer takes the slot out of index and bag, and releases
//! it. The slot number comes back only after every reader has begun a turn since.
//!
//! # Unsafe
//!
//! This room and `io` may. What the unsafe blocks here stand on, once for all: memory is freed only by the one
//! writer, in `reclaim`, under a horizon of the very `Publisher` which the structure was made for (checked by
//! identity), or by the last half to be dropped; references given out borrow the `Turn` (which pins the floor) and
//! the reader's half (which pins the structure); a stamp lies above all that is published, which a shared borrow of
//! the `Publisher` holds still; floors and versions are asserted at each read. So safe code outside can't cause a
//! use after free, in whatever order it calls, from whatever thread.
//!
//! # Testing
//!
//! ```text
//! # models, stress with real threads
//! cargo test --lib lockfree::
//! cd tests/lockfree           # this room by itself
//! # interleavings and weak memory, about a minute
//! RUSTFLAGS="--cfg ringkeeper_loom" cargo test lockfree::loom
//! # undefined behaviour
//! MIRIFLAGS="-Zmiri-strict-provenance" cargo +nightly miri test lockfree::
//! # use after free
//! RUSTFLAGS="-Zsanitizer=address" cargo +nightly test --target x86_64-unknown-linux-gnu lockfree::
//! ```
//! The first, second and fourth have passed; Miri was not at hand when this was written. By hand, once: 25 faults
//! put into the code one at a time (an ordering weakened, a fence or a re-load left out, a stamp too low by one);
//! loom caught all but a swap of two stores in `Bag::push`, which changes nothing a reader can see. Sizes shrink
//! under Miri and loom. Loom treats SeqCst accesses as weaker than they are, so this room has SeqCst fences only.
#![allow(unsafe_code)]

pub mod bag;
mod blob;
pub mod doorbell;
pub mod eras;
pub mod index;
pub mod ring;
mod sync;
pub mod versions;

pub use bag::Bag;
pub use blob::Blob;
pub use doorbell::Doorbell;
pub use eras::{Observer, Publisher, Turn, eras};
pub use index::{Candidates, IndexReader, IndexWriter, index};
pub use ring::{Consumer, Producer, ring};
pub use versions::{Arena, Fresh, SLOTS_MAX, View, arena};

#[cfg(all(test, ringkeeper_loom))]
mod loom_test;
#[cfg(all(test, not(ringkeeper_loom)))]
mod stress_test;
