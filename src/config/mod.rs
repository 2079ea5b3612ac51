//! `zoo.cfg`: as written ([`Raw`]), then checked ([`Config`]).
//!
//! Called by `cli`, which reads the file, the environment and the command line and hands them in as bytes and strings; `myid`
//! and the dynamic file, whose places only the settings tell, it reads when asked to ([`Read`]).
//! Settings come in layers, a later one wins: built-in, file, environment (`ZOO_*`,
//! `RINGKEEPER_LOG_FORMAT`), command line (`-Dname=value`).
//! Every name is taken in three forms: `tickTime`, `zookeeper.tickTime`, and either of them after `-D`.
//!
//! Invariants: a [`Config`] is complete and consistent: no reader of it needs a default or a check of its own. All
//! faults of one start are reported together, each with its place, key, value and what is allowed. Nothing is
//! silently ignored that would change what a client sees.
//! Limits: `base::limits` where a setting has a counterpart there.
//! Tested: raw_test.rs, environment_test.rs, values_test.rs, checked_test.rs, ensemble_test.rs,
//! client_port_test.rs, web_test.rs, effective_test.rs, lines.rs, ports.rs, and random settings in both ends.

mod checked;
mod client_port;
pub mod defaults;
mod effective;
mod ensemble;
mod environment;
mod fault;
mod keys;
mod lines;
mod ports;
mod raw;
mod requests;
mod rewrite;
mod secret;
mod settings;
mod values;
mod web;

pub use checked::{Config, Containers, Io, LogWrite, Purge, Refusal};
pub use client_port::{ClientPort, Resolve};
pub use effective::Checked;
pub use ensemble::{Ensemble, Read};
pub use environment::is_setting;
pub use fault::{Fault, Origin, Severity, Warning};
pub use lines::{AuditLog, LogFormat};
pub use raw::{Raw, Setting};
pub use requests::{ConnectionThrottle, LargeRequests};
pub use rewrite::{is_dynamic, rewritten};
pub use secret::SessionSecret;
pub use values::{SuperDigest, Whitelist};
pub use web::{AdminServer, MetricsServer};
