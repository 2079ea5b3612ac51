//! Who carries the sockets, and the limits that the kernel sets a process.

use super::super::{Finding, Level};
use super::text;
use crate::config::{Config, Io};
use crate::io::Loop;
use crate::server;

/// Sockets beside those of clients: files, rings, peers.
const FILES_BESIDE: u64 = 512;
/// Fewer connections are hardly meant.
const CONNECTIONS_MIN: u64 = 4_096;

/// What a ring and its receive buffers' slots take of a user's locked memory: measured on 6.18, as tuning/mlock.md tells.
const LOCKED_KIB_PER_LOOP: u64 = 216;
/// CAP_IPC_LOCK, as a bit of CapEff: who has it is not counted.
const MAY_LOCK: u64 = 1 << 14;

/// Threads beside the loops: for files, ports, words, and the kernel's own for what a ring can't do at once.
const THREADS_BESIDE: u64 = 32;

pub(super) fn backend(config: &Config) -> Finding {
    let kernel = text("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim();
    if config.io == Io::Epoll {
        return Finding::new(Level::Note, format!("Linux {kernel}; epoll, as ringkeeper.io says"))
            .see("ring");
    }
    match Loop::new(server::backend(config), 16) {
        Ok(io) if io.is_uring() => Finding::new(Level::Fine, format!("Linux {kernel}, io_uring")),
        Ok(io) => {
            let finding = Finding::new(
                Level::Warning,
                format!("Linux {kernel}; sockets are carried by {}", io.backend_note()),
            );
            let disabled = text("/proc/sys/kernel/io_uring_disabled");
            let todo = remedy(kernel, disabled.trim(), &text("/proc/self/status"));
            finding.todo(format!("All works, with less throughput. {todo}")).see("ring")
        }
        Err(error) => Finding::new(Level::Wrong, format!("Linux {kernel}: {error}")).see("ring"),
    }
}

/// Of a refused ring: who refuses it. `disabled`: the sysctl; `status`: /proc/self/status.
pub(super) fn remedy(kernel: &str, disabled: &str, status: &str) -> String {
    let mut numbers = kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(u32::MAX));
    let has_filter = field(status, "Seccomp:") == Some("2");
    match disabled {
        _ if version < (6, 1) => "io_uring needs Linux 6.1 or newer.".to_owned(),
        "2" => "sysctl kernel.io_uring_disabled=0: it is 2, which forbids io_uring to everybody.".to_owned(),
        "1" => {
            "sysctl kernel.io_uring_disabled=0: it is 1, which leaves io_uring to the group kernel.io_uring_group.".to_owned()
        }
        _ if has_filter => {
            "A seccomp filter is in force: let it allow io_uring_setup, io_uring_enter and io_uring_register.".to_owned()
        }
        _ => "Locked memory (ulimit -l), a security module?".to_owned(),
    }
}

/// `limits`, `status`: of /proc/self. Whether the kernel counts rings here is its own affair: newer ones do.
pub(super) fn locked_memory(config: &Config, limits: &str, status: &str, loops: usize) -> Option<Finding> {
    let may_lock = u64::from_str_radix(field(status, "CapEff:")?, 16).ok()? & MAY_LOCK != 0;
    let limit = field(limits, "Max locked memory")?.parse::<u64>().ok()? >> 10;
    let needed = LOCKED_KIB_PER_LOOP * loops as u64;
    if config.io == Io::Epoll || may_lock || limit >= needed {
        return None;
    }
    let what = format!(
        "{limit} KiB of locked memory at most; the rings of {loops} event loops may count for {needed}"
    );
    Some(
        Finding::new(Level::Warning, what)
            .todo("A loop whose ring is refused runs on epoll. LimitMEMLOCK=infinity in the unit, ulimit -l, --ulimit memlock=-1.")
            .see("mlock"),
    )
}

/// The first word behind a name that begins a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

/// The server raises its limit to what it may.
pub(super) fn open_files(most: u64) -> Finding {
    let finding = |level| Finding::new(level, format!("{most} open files at most"));
    if most < CONNECTIONS_MIN + FILES_BESIDE {
        finding(Level::Warning)
            .todo("Each connection is one. LimitNOFILE= in the unit, or ulimit -Hn.")
            .see("containers")
    } else {
        finding(Level::Fine)
    }
}

/// The kernel cuts a listener's backlog to `somaxconn`, and says nothing (listen(2)).
pub(super) fn backlog(somaxconn: &str, wanted: i32) -> Option<Finding> {
    let most: i32 = somaxconn.trim().parse().ok()?;
    let what = format!("net.core.somaxconn={most}: {most} clients wait to be accepted, not {wanted}");
    (most < wanted).then(|| {
        Finding::new(Level::Note, what)
            .todo(format!("Who comes beyond, as when all clients come back at once, tries again later. sysctl net.core.somaxconn={wanted}"))
            .see("sockets")
    })
}

/// Of the control group; a thread is one.
pub(super) fn processes(most: Option<u64>, loops: usize) -> Option<Finding> {
    let needed = loops as u64 + THREADS_BESIDE;
    let most = most.filter(|&most| most < needed)?;
    Some(
        Finding::new(Level::Warning, format!("{most} threads at most (pids.max); {needed} may be needed"))
            .todo("A server that gets no thread doesn't start. TasksMax= in the unit, --pids-limit of a container.")
            .see("containers"),
    )
}
