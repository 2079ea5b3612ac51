//! How a server is started, watched over, asked and stopped: `ringkeeper start|stop|restart|status`, `server --check`, systemd's
//! notifications, the container's variables; and a whole conversation where io_uring is forbidden.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "service/check.rs"]
mod check;
#[path = "service/container.rs"]
mod container;
#[path = "service/control.rs"]
mod control;
#[path = "service/forbidden.rs"]
mod forbidden;
#[path = "service/members.rs"]
mod members;
#[path = "service/memory.rs"]
mod memory;
#[path = "service/samples.rs"]
mod samples;
#[path = "service/station.rs"]
mod station;
#[path = "service/supervision.rs"]
mod supervision;
#[path = "service/vain.rs"]
mod vain;
