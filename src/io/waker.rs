//! Rings a loop's bell from any thread.
//!
//! An eventfd which nobody ever reads: both backends watch it for *signals* (edge-triggered), so one write is one wake-up
//! and costs the sleeper no read. Its counter would overflow after 2^64 − 2 wake-ups.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::error::Error;

/// Makes [`Loop::wait`](super::Loop::wait) of one loop return; [`Event::Woken`](super::Event::Woken) follows. A wake-up before
/// the wait counts; several may become one event.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(super) fn new() -> Result<Waker, Error> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Error::last("make an eventfd"));
        }
        // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
        Ok(Waker(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub fn wake(&self) {
        ring(self.0.as_raw_fd());
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Async-signal-safe. A failed write means a full counter, which can't be, or a closed descriptor of a loop that ended.
pub(super) fn ring(fd: RawFd) {
    let one = 1u64;
    // SAFETY: eight readable bytes on our stack for the duration of the call.
    unsafe { libc::write(fd, (&raw const one).cast(), 8) };
}
