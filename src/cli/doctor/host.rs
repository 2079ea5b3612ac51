//! Kernel, limits, disk, clock: what a server needs of its host, and what makes it slow.

use std::fs;
use std::path::Path;

use super::{Finding, Level};
use crate::config::{Config, Io};
use crate::io::Loop;
use crate::io::cpu::Cpus;
use crate::io::process::raise_open_files_max;
use crate::server;

/// Sockets beside those of clients: files, rings, peers.
const FILES_BESIDE: u64 = 512;
/// Fewer connections are hardly meant.
const CONNECTIONS_MIN: u64 = 4_096;

/// File systems that are elsewhere.
const REMOTE: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p"];

pub fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![backend(config)];
    findings.extend(processors());
    findings.extend(open_files());
    findings.push(disk(&config.data_log_dir, &read("/proc/mounts").unwrap_or_default(), &write_cache));
    findings.extend(swap(
        &read("/proc/meminfo").unwrap_or_default(),
        read("/proc/sys/vm/swappiness").unwrap_or_default().trim(),
    ));
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    findings.extend(source.map(|source| clock(source.trim())));
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    findings.extend(governor.map(|governor| frequency(governor.trim())));
    findings
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn backend(config: &Config) -> Finding {
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim();
    if config.io == Io::Epoll {
        return Finding::new(Level::Note, format!("Linux {kernel}; epoll, as ringkeeper.io says"));
    }
    match Loop::new(server::backend(config), 16) {
        Ok(io) if io.is_uring() => Finding::new(Level::Fine, format!("Linux {kernel}, io_uring")),
        Ok(io) => Finding::new(Level::Warning, format!("Linux {kernel}; sockets are carried by {}", io.backend_note()))
            .todo("All works, with less throughput. Containers: allow the io_uring_* calls in the seccomp profile; else")
            .todo("the kernel: 6.1 or newer, and sysctl kernel.io_uring_disabled=0."),
        Err(error) => Finding::new(Level::Wrong, format!("Linux {kernel}: {error}")),
    }
}

fn processors() -> Option<Finding> {
    let cpus = Cpus::detect().ok()?;
    let quota = cpus
        .quota_milli
        .map_or(String::new(), |milli| format!(", quota {}.{:03}", milli / 1000, milli % 1000));
    Some(Finding::new(
        Level::Fine,
        format!("{} of {} processors may be used{quota}", cpus.allowed.len(), cpus.online),
    ))
}

/// The server raises its limit to what it may.
fn open_files() -> Option<Finding> {
    let most = raise_open_files_max().ok()?;
    let finding = |level| Finding::new(level, format!("{most} open files at most"));
    Some(if most < CONNECTIONS_MIN + FILES_BESIDE {
        finding(Level::Warning).todo("Each connection is one. LimitNOFILE= in the unit, or ulimit -Hn.")
    } else {
        finding(Level::Fine)
    })
}

/// Of a block device, as the kernel tells it: a partition's is that of its disk.
fn write_cache(device: &str) -> Option<String> {
    let device = fs::canonicalize(device).ok()?;
    let block = fs::canonicalize(Path::new("/sys/class/block").join(device.file_name()?)).ok()?;
    let queue = [block.as_path(), block.parent()?].map(|place| place.join("queue/write_cache"));
    queue.iter().find_map(|file| fs::read_to_string(file).ok())
}

/// A place as /proc/mounts has it: blanks, tabs, newlines and backslashes are a backslash and three octal digits there (proc(5)).
fn unescaped(place: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(place.to_owned(), |place, (escape, character)| place.replace(escape, character))
}

/// `mounts`: as /proc/mounts has them; `write_cache`: [`write_cache`].
fn disk(place: &Path, mounts: &str, write_cache: &dyn Fn(&str) -> Option<String>) -> Finding {
    let there = place.ancestors().find(|ancestor| ancestor.exists());
    let there = there.and_then(|path| fs::canonicalize(path).ok()).unwrap_or_else(|| place.to_owned());
    let lines = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let mount = lines
        .map(|(device, point, kind)| (device, unescaped(point), kind))
        .filter(|(_, point, _)| there.starts_with(point))
        .max_by_key(|(_, point, _)| point.len());
    let Some((device, point, kind)) = mount else {
        return Finding::new(Level::Note, format!("{}: its file system is not known", place.display()));
    };
    let finding = |level, more: &str| Finding::new(level, format!("log on {kind} at {point}{more}"));
    match kind {
        "tmpfs" | "ramfs" => finding(Level::Warning, ", which is memory")
            .todo("What was acknowledged is gone when the host goes down. dataLogDir belongs on a disk."),
        kind if kind.starts_with("fuse") || REMOTE.contains(&kind) => finding(Level::Warning, ", over a network or another program")
            .todo("A write is as slow as that, and as durable as it keeps its word. dataLogDir belongs on a local disk."),
        "overlay" => finding(Level::Warning, ", the container's own layer")
            .todo("It goes with the container. Mount a volume for dataDir and dataLogDir."),
        _ => {
            match write_cache(device).as_deref().map(str::trim) {
                Some("write back") => finding(Level::Note, ", a disk with a volatile write cache: each sync empties it"),
                Some("write through") => finding(Level::Fine, ", a disk without a volatile write cache"),
                _ => finding(Level::Fine, ""),
            }
        }
    }
}

fn swap(meminfo: &str, swappiness: &str) -> Option<Finding> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("SwapTotal:"))?;
    let kib: u64 = total.trim().trim_end_matches("kB").trim().parse().ok()?;
    if kib == 0 || matches!(swappiness, "0" | "1") {
        return None;
    }
    Some(Finding::new(Level::Note, format!("{} MiB of swap, vm.swappiness={swappiness}", kib >> 10)).todo(
        "A tree that is swapped out answers late. sysctl vm.swappiness=1, or MemorySwapMax=0 in the unit.",
    ))
}

fn clock(source: &str) -> Finding {
    match source {
        "tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page" => {
            Finding::new(Level::Fine, format!("clock source {source}"))
        }
        slow => Finding::new(Level::Warning, format!("clock source {slow}: each look at the clock is a system call"))
            .todo("/sys/devices/system/clocksource/clocksource0/available_clocksource lists others; tsc, if it is among them."),
    }
}

fn frequency(governor: &str) -> Finding {
    if governor == "powersave" {
        return Finding::new(Level::Note, "scaling governor powersave: processors that rest wake up slowly")
            .todo("cpupower frequency-set -g performance, where latency matters more than power.");
    }
    Finding::new(Level::Fine, format!("scaling governor {governor}"))
}

#[cfg(test)]
#[path = "host_test.rs"]
mod tests;
