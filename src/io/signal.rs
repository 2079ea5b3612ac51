//! SIGTERM, SIGINT and SIGHUP ask the server to stop: a flag, and a ring of one loop's bell.

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::error::Error;
use super::socket::check;
use super::waker::{self, Waker};

static STOP: AtomicBool = AtomicBool::new(false);
/// The eventfd to ring; its waker was leaked, so it stays open.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGTERM, SIGINT and SIGHUP set the flag that is returned and wake the loop of `waker`. A second call moves the
/// bell to another loop. Another signal while stopping changes nothing: kill -9 stays. SIGHUP, which a terminal sends that is
/// closed, stops Java's servers orderly, too; who started this one under `nohup` wants it to stay.
pub fn install(waker: &Waker) -> Result<&'static AtomicBool, Error> {
    let waker = waker.clone();
    BELL.store(waker.fd(), Ordering::SeqCst);
    mem::forget(waker); // the handler may run at any time, so the descriptor must never be closed
    flag()
}

/// As [`install`], for who looks at the flag by himself and sleeps in no loop of ours.
pub fn flag() -> Result<&'static AtomicBool, Error> {
    let ignored = is_ignored(libc::SIGHUP).map_err(|e| Error::new("ask how signals are handled", e))?;
    let hangup = (!ignored).then_some(libc::SIGHUP);
    for signal in [libc::SIGTERM, libc::SIGINT].into_iter().chain(hangup) {
        let handler = on_stop as extern "C" fn(i32) as libc::sighandler_t;
        set_handler(signal, handler, libc::SA_RESTART).map_err(|e| Error::new("handle signals", e))?;
    }
    Ok(&STOP)
}

fn is_ignored(signal: i32) -> std::io::Result<bool> {
    // SAFETY: all-zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: `action` is writable during the call, and nothing is set.
    check(unsafe { libc::sigaction(signal, ptr::null(), &mut action) })?;
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

pub(super) fn set_handler(signal: i32, handler: libc::sighandler_t, flags: i32) -> std::io::Result<()> {
    // SAFETY: all-zero is a valid sigaction with an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is readable during the call; callers pass functions of the signature their flags ask for, which
    // do only what a signal handler may.
    check(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })
}

/// Only async-signal-safe things: atomics and write(2); errno is left as it was.
extern "C" fn on_stop(_signal: i32) {
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    STOP.store(true, Ordering::SeqCst);
    waker::ring(BELL.load(Ordering::SeqCst));
    // SAFETY: as above.
    unsafe { *errno = before };
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, Event, Loop};
    use super::*;

    /// The only test that may raise these signals: the handler belongs to the whole process.
    #[test]
    fn signals_that_ask_to_stop_wake_the_loop() {
        let mut io = Loop::new(Backend::Epoll, 1).unwrap();
        // These tests may run under nohup.
        set_handler(libc::SIGHUP, libc::SIG_IGN, 0).unwrap();
        install(&io.doorbell()).unwrap();
        assert!(is_ignored(libc::SIGHUP).unwrap(), "who ignores it goes on ignoring it");
        set_handler(libc::SIGHUP, libc::SIG_DFL, 0).unwrap();
        let stop = install(&io.doorbell()).unwrap();
        assert!(!stop.load(Ordering::SeqCst));
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            stop.store(false, Ordering::SeqCst);
            // SAFETY: the handler is installed; takes no pointers.
            assert_eq!(unsafe { libc::raise(signal) }, 0);
            assert!(stop.load(Ordering::SeqCst));
            io.wait(None).unwrap();
            assert!(matches!(io.next_event(), Some(Event::Woken)));
        }
    }
}
