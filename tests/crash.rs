//! What a server that dies, or whose disk fails it, must not lose: a real process, killed, with its real files.
//!
//! Only about Ringkeeper: files and messages are its own. The simulator looks at crashes between any two writes to the
//! disk; here it is the real kernel, the real process and the real binary. The check of a full disk mounts a small file system and
//! needs root; the check by a trace of system calls needs strace. Where they miss it, they fail and say so.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "crash/files.rs"]
mod files;
#[path = "crash/full_disk.rs"]
mod full_disk;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/stop.rs"]
mod stop;
#[path = "crash/trace.rs"]
mod trace;
