//! What the kernel knows of this process: for metrics, `envi`, `mntr` and `doctor`. And what `start` and `stop` do to others.

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use super::error::Error;
use super::socket::check;

/// Bytes resident in memory now.
pub fn resident_bytes() -> Result<u64, Error> {
    let text = read("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| malformed("/proc/self/statm"))?;
    // SAFETY: takes no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Ok(pages * u64::try_from(page).expect("every Linux has a page size"))
}

/// Descriptors open now. Walks a directory: for metrics, not for the hot path.
pub fn open_files() -> Result<u64, Error> {
    let entries = fs::read_dir("/proc/self/fd").map_err(|e| Error::new("list /proc/self/fd", e))?;
    // Less the one that lists them.
    Ok((entries.count() as u64).saturating_sub(1))
}

/// How many descriptors may be open.
pub fn open_files_max() -> Result<u64, Error> {
    Ok(open_files_limit()?.rlim_cur)
}

/// Raises the soft limit to the hard one and returns it: a connection is a descriptor.
pub fn raise_open_files_max() -> Result<u64, Error> {
    let mut limit = open_files_limit()?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is readable during the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })
        .map_err(|e| Error::new("raise the limit of open files", e))?;
    Ok(limit.rlim_cur)
}

/// From here on memory that the process touches for the first time comes in small pages, whatever the allocator has asked for. A
/// huge page is zeroed as a whole, and where memory is scattered made first, while whoever touched it waits: up to some
/// milliseconds in a virtual machine (tuning/huge-pages.md). A kernel that can't is none that makes them.
pub fn refuse_huge_pages() {
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: takes no pointers.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, yes, none, none, none) };
}

/// Processor time of all threads so far: user and system.
pub fn cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable, and all-zero is valid for it even if the call failed, which it can't.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let duration =
        |t: libc::timeval| Duration::new(t.tv_sec.unsigned_abs(), (t.tv_usec as u32).saturating_mul(1000));
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// Processor time of each thread that runs, by its name. What the system doesn't tell is left out.
pub fn threads_cpu_time() -> Vec<(String, Duration)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return vec![] };
    let time = |task: std::io::Result<fs::DirEntry>| {
        let path = task.ok()?.path();
        let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        // Nanoseconds on a processor, then others.
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        let nanos = text.split_whitespace().next()?.parse().ok()?;
        Some((name, Duration::from_nanos(nanos)))
    };
    tasks.filter_map(time).collect()
}

pub fn id() -> u32 {
    std::process::id()
}

/// The program that is started by `command` belongs to no terminal: none can hang up on it.
pub fn detach(command: &mut Command) {
    let leave = || {
        // SAFETY: takes no pointers, and is async-signal-safe.
        check(unsafe { libc::setsid() })
    };
    // SAFETY: between fork and exec only a system call is made; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(leave) };
}

/// Asks a process to end (SIGTERM).
pub fn terminate(id: u32) -> Result<(), Error> {
    let failed = |error| Error::new("send SIGTERM to process", error).on(id);
    // 0 and what is negative would be groups of processes.
    let Some(id) = libc::pid_t::try_from(id).ok().filter(|id| *id > 0) else {
        return Err(failed(std::io::Error::other("no process has that number")));
    };
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(id, libc::SIGTERM) }).map_err(failed)
}

fn open_files_limit() -> Result<libc::rlimit, Error> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable during the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })
        .map_err(|e| Error::new("ask for the limit of open files", e))?;
    Ok(limit)
}

fn read(path: &'static str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|e| Error::of_file("read", path.as_ref(), e))
}

fn malformed(path: &'static str) -> Error {
    Error::of_file("understand", path.as_ref(), std::io::Error::other("unexpected content"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_shows_in_the_resident_bytes() {
        let before = resident_bytes().unwrap();
        let block = vec![1u8; 64 << 20];
        let after = resident_bytes().unwrap();
        assert!(after > before + (32 << 20), "{before} to {after} with {} bytes more", block.len());
    }

    #[test]
    fn open_files_are_counted_and_bounded() {
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_files().unwrap() >= files.len() as u64);
        assert!(raise_open_files_max().unwrap() >= open_files().unwrap());
        assert_eq!(raise_open_files_max().unwrap(), open_files_max().unwrap());
    }

    #[test]
    fn a_detached_process_ends_when_it_is_asked_to() {
        let mut command = Command::new("cat");
        command.stdin(std::process::Stdio::piped());
        detach(&mut command);
        let mut child = command.spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        // Behind the name in brackets: state, parent, group, session.
        let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap();
        assert_eq!(session, child.id().to_string());
        terminate(child.id()).unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()),
            Some(libc::SIGTERM)
        );
        for nobody in [0, u32::MAX] {
            assert!(terminate(nobody).is_err());
        }
    }

    #[test]
    fn threads_are_told_by_their_names() {
        let told = threads_cpu_time();
        assert!(!told.is_empty());
        assert!(
            told.iter()
                .all(|(name, time)| !name.is_empty() && *time <= cpu_time() * 2 + Duration::from_secs(1))
        );
    }

    #[test]
    fn work_shows_in_the_cpu_time() {
        let before = cpu_time();
        let mut sum = 0u64;
        while cpu_time() < before + Duration::from_millis(5) {
            sum = (0..10_000u64).fold(sum, |a, b| a.wrapping_mul(31).wrapping_add(b));
        }
        assert_ne!(sum, 1);
    }
}
