//! The only room that makes system calls. It moves bytes and knows no ZooKeeper word.
//!
//! Called by `server` (one [`Loop`] per event-loop thread, one [`DirectFile`] or [`SegmentFile`] per log) and by `cli`. Nothing
//! above sees a file descriptor, a pointer, a completion entry or an errno: only ids, byte slices and typed errors.
//!
//! ```text
//!  Loop ── table (who waits for what; owns every byte the kernel may touch) ── operation: Submission ▼  Completion ▲
//!                                                                            ├─ uring   the kernel's ring
//!                                                                            └─ epoll   readiness, dressed as a ring
//! ```
//!
//! Invariants: 1. memory handed to the kernel lives until the operation's last completion has been reaped, also when
//! its socket is gone. 2. a completion for an operation that isn't in flight is our bug and panics. 3. completions are
//! never run inside one another: the driver takes them one by one. 4. `table` is driven by submissions and completions
//! only, so it is tested against the kernel *and* against a fake ring (`table_test.rs`).
//! Limits: connections per loop as given to [`Loop::new`]; beyond that `adopt` gives the socket back.
#![allow(unsafe_code)]

mod allocator;
mod buffers;
mod clock;
pub mod cpu;
mod direct_file;
mod directory;
pub mod entropy;
mod epoll;
mod error;
mod event_loop;
mod mapped_file;
mod operation;
pub mod process;
mod sigbus;
pub mod signal;
mod socket;
mod supervisor;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod uring;
mod waker;

pub use allocator::Allocator;
pub use clock::Clock;
pub use direct_file::DirectFile;
pub use directory::{Directory, Entry, FileWriter, Lock, Space};
pub use error::{Error, ErrorKind};
pub use event_loop::{Backend, Event, Loop};
pub use mapped_file::{MappedFile, SegmentFile};
pub use sigbus::install_sigbus_handler;
pub use socket::AcceptedSocket;
pub use supervisor::{Supervisor, Surroundings};
pub use table::{CloseReason, ListenerId};
pub use waker::Waker;
