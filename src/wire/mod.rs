//! Bytes to records and back: ZooKeeper's jute encoding, the client protocol, transactions as logged and proposed, and
//! what servers say to each other ([`peer`]).
//!
//! Called by `shard` (requests in, replies out), by `tree` (requests to transactions, transactions to changes), by
//! `replica` and by the simulator's clients. Pure: a function of the bytes handed in.
//!
//! * Decoding borrows: strings, buffers and vectors are slices of the input, and nothing is allocated. [`Vector`] checks
//!   its elements once, when it is decoded, and decodes them again while iterating.
//! * Encoding appends to a `Vec<u8>`. One declaration per record ([`jute`]'s `record!`) gives both directions, so that
//!   they can't drift apart.
//! * Input from outside is checked, never asserted: whatever the bytes, the answer is a record or a [`DecodeError`].
//!   Bytes behind a fully decoded record are ignored, as ZooKeeper ignores them.
//!
//! Limits: a record is as long as its frame ([`frame`], `jute.maxbuffer`). A vector's count is held against the bytes
//! that are left before anything is done with it.
//! Tested: golden bytes of the specification's examples, one hand-written encoding per record, round trips of random
//! records, and decoders fed with every prefix and with random damage (`*_test.rs` beside the files).

pub mod acl;
pub mod client;
mod error;
pub mod frame;
pub mod java_text;
pub mod jute;
mod opcode;
pub mod peer;
mod stat;
pub mod txn;
pub mod vector;

pub use acl::{Acl, AclList, OwnedAcl};
pub use error::ErrorCode;
pub use jute::{Decode, DecodeError, Encode, Reader, Text};
pub use opcode::{Class, Opcode};
pub use stat::{Stat, StatPersisted};
pub use vector::Vector;

#[cfg(test)]
mod testing;
