//! The client protocol as seen from outside: a real server process and a raw socket. Clients that others wrote: `clients.rs`.
//!
//! Every test has a server of its own. The expectations are ZooKeeper 3.9's: `tests/run --apache` runs these same
//! tests against Apache ZooKeeper. What they can't share is marked by `is_ringkeeper()`.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "conformance/acls.rs"]
mod acls;
#[path = "conformance/auth.rs"]
mod auth;
#[path = "conformance/connect.rs"]
mod connect;
#[path = "conformance/containers.rs"]
mod containers;
#[path = "conformance/creates.rs"]
mod creates;
#[path = "conformance/large_requests.rs"]
mod large_requests;
#[path = "conformance/malformed.rs"]
mod malformed;
#[path = "conformance/multi.rs"]
mod multi;
#[path = "conformance/order.rs"]
mod order;
#[path = "conformance/quotas.rs"]
mod quotas;
#[path = "conformance/reads.rs"]
mod reads;
#[path = "conformance/reads_more.rs"]
mod reads_more;
#[path = "conformance/sessions.rs"]
mod sessions;
#[path = "conformance/watches.rs"]
mod watches;
#[path = "conformance/watches_more.rs"]
mod watches_more;
#[path = "conformance/words.rs"]
mod words;
#[path = "conformance/words_more.rs"]
mod words_more;
#[path = "conformance/wrap.rs"]
mod wrap;
#[path = "conformance/writes.rs"]
mod writes;
