//! Agreement: who leads, and what the ensemble has decided. Payloads are opaque.
//!
//! Called by `replica` and the simulator. Pure state machines: inputs in, outputs out, time as an argument.
//!
//! * [`quorum`], [`member`]: the configuration of the ensemble and what a quorum of it is; [`ServerSet`].
//! * [`election`], [`vote`]: fast leader election; [`election_links`]: who dials whom for it.

pub mod election;
pub mod election_links;
mod election_words;
pub mod member;
mod properties;
pub mod quorum;
mod servers;
pub mod vote;

pub use election::Election;
pub use election_links::Links;
pub use member::{Endpoint, Fault, Member, Role};
pub use quorum::{Acks, Config, Joint};
pub use servers::ServerSet;
pub use vote::{Standing, Vote};
