//! Agreement: who leads, and what the ensemble has decided. Payloads are opaque.
//!
//! Called by `replica` and the simulator. Pure state machines: inputs in, outputs out, time as an argument.
//!
//! * [`quorum`], [`member`]: the configuration of the ensemble and what a quorum of it is; [`ServerSet`].

pub mod member;
mod properties;
pub mod quorum;
mod servers;

pub use member::{Endpoint, Fault, Member, Role};
pub use quorum::{Acks, Config, Joint};
pub use servers::ServerSet;
