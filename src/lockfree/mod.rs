//! What threads share: one writer, many readers which never lock and never wait. Knows nothing of ZooKeeper.
#![allow(unsafe_code)]

pub mod bag;
pub mod doorbell;
pub mod eras;
pub mod index;
pub mod ring;
mod sync;
pub mod versions;

pub use bag::Bag;
pub use doorbell::Doorbell;
pub use eras::{Observer, Publisher, Turn, eras};
pub use index::{Candidates, IndexReader, IndexWriter, index};
pub use ring::{Consumer, Producer, ring};
pub use versions::{Arena, SLOTS_MAX, View, arena};

#[cfg(all(test, loom))]
mod loom_test;
#[cfg(all(test, not(loom)))]
mod stress_test;
