//! Names the file when a mapped page can't be had, then aborts.
//!
//! A store to or load from a mapping becomes SIGBUS when the disk fails or somebody truncated the file. Nothing can be
//! saved then (the faulting instruction can't be skipped), but the operator learns where to look. Mappings are kept in a
//! fixed table of atomics, which a handler may read at any time.
//! Limits: REGIONS_MAX mappings are named; more work as well but go unnamed.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::error::Error;
use super::signal::set_handler;

const REGIONS_MAX: usize = 256;

/// A mapping known to the handler. Free where `bytes` is zero.
struct Region {
    /// Whose registration this is; 0 free. Guards the other fields between registrations.
    taken: AtomicUsize,
    start: AtomicUsize,
    /// Stored last when registering, first when leaving.
    bytes: AtomicUsize,
    path: AtomicPtr<u8>,
    path_bytes: AtomicUsize,
}

static REGIONS: [Region; REGIONS_MAX] = [const {
    Region {
        taken: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        path: AtomicPtr::new(ptr::null_mut()),
        path_bytes: AtomicUsize::new(0),
    }
}; REGIONS_MAX];

/// Keeps a mapping in the handler's table. Lives as long as the mapping.
pub(super) struct Registration {
    region: Option<&'static Region>,
    /// What `region.path` points to.
    _path: Box<[u8]>,
}

impl Registration {
    pub(super) fn new(map: &[u8], path: &Path) -> Registration {
        let mut name: Box<[u8]> = path.as_os_str().as_bytes().into();
        let free = |r: &&Region| r.taken.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let region = if map.is_empty() { None } else { REGIONS.iter().find(free) };
        if let Some(region) = region {
            region.start.store(map.as_ptr() as usize, Ordering::Relaxed);
            region.path.store(name.as_mut_ptr(), Ordering::Relaxed);
            region.path_bytes.store(name.len(), Ordering::Relaxed);
            region.bytes.store(map.len(), Ordering::Release);
        }
        Registration { region, _path: name }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(region) = self.region {
            region.bytes.store(0, Ordering::Release);
            region.taken.store(0, Ordering::Release);
        }
    }
}

/// Call once, before files are mapped.
pub fn install_sigbus_handler() -> Result<(), Error> {
    let handler = on_sigbus as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
    set_handler(libc::SIGBUS, handler as libc::sighandler_t, libc::SA_SIGINFO | libc::SA_ONSTACK)
        .map_err(|e| Error::new("handle SIGBUS", e))
}

/// Only async-signal-safe things: atomics, the stack, write(2), abort(3).
extern "C" fn on_sigbus(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a SA_SIGINFO handler; si_addr is the faulting address for SIGBUS.
    let address = unsafe { (*info).si_addr() } as usize;
    say(b"ringkeeper: fatal: SIGBUS: ");
    let hit = REGIONS.iter().find(|region| {
        let bytes = region.bytes.load(Ordering::Acquire);
        let start = region.start.load(Ordering::Relaxed);
        (start..start + bytes).contains(&address)
    });
    match hit {
        Some(region) => {
            let path = region.path.load(Ordering::Relaxed);
            // SAFETY: the mapping that faulted is in use by the interrupted code, so its registration lives, and with it
            // the name: `Registration` is dropped only with the mapping.
            let path = unsafe { std::slice::from_raw_parts(path, region.path_bytes.load(Ordering::Relaxed)) };
            say(b"cannot access ");
            say(path);
            say(b" at offset ");
            say_number(address - region.start.load(Ordering::Relaxed));
            say(b": the disk failed, or the file was truncated by somebody else\n");
        }
        None => say(b"outside of every mapped file that is known by name\n"),
    }
    // SAFETY: async-signal-safe; doesn't return.
    unsafe { libc::abort() }
}

fn say(text: &[u8]) {
    // SAFETY: `text` is readable for its length.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

fn say_number(mut number: usize) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return say(&digits[first..]);
        }
    }
}
