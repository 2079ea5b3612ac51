//! Kernel, limits, processors, memory, disk: what a server needs of its host, and what makes it slow.
//!
//! | file | looks at |
//! |---|---|
//! | `host/kernel.rs` | io_uring and who forbids it, locked memory, open files, the backlog, processes |
//! | `host/processors.rs` | processors against loops, quota, memory nodes, governor, idle states, halt polling, clock |
//! | `host/memory.rs` | memory against the tree, huge pages, swap |
//! | `host/disk.rs` | file systems of log and snapshots, mount options, the log's device |
//! | `host/network.rs` | interrupts at the loops' processors, queues of the network card |
//! | `host/settings.rs` | settings of the server that keep it below what the host could do |
//!
//! Each check takes the kernel's texts as arguments, and says nothing where there are none. What isn't right names the page of
//! tuning/ that says why. Control groups and limits are those of the doctor: it has to run where the server does.

mod disk;
mod kernel;
mod memory;
mod network;
mod processors;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use super::{Finding, Level};
use crate::config::Config;
use crate::io::cpu::Cpus;
use crate::io::process::raise_open_files_max;
use crate::server::{self, Placement};

pub fn look(config: &Config) -> Vec<Finding> {
    let placement = Placement::choose(config);
    let loops = placement.as_ref().map_or(1, Placement::loops);
    let groups = Groups { own: &text("/proc/self/cgroup"), read: &|file| fs::read_to_string(file).ok() };
    let mut findings = vec![kernel::backend(config)];
    findings.extend(kernel::locked_memory(
        config,
        &text("/proc/self/limits"),
        &text("/proc/self/status"),
        loops,
    ));
    match (placement, Cpus::detect()) {
        (Err(fatal), _) => findings.push(Finding::new(Level::Wrong, fatal.to_string()).see("placement")),
        (Ok(_), Ok(cpus)) => {
            findings.push(processors::placed(&cpus, loops));
            findings.extend(settings::look(config, cpus.usable(), loops));
        }
        (Ok(_), Err(_)) => {}
    }
    findings.extend(processors::nodes(&text("/sys/devices/system/node/online"), config.cores.is_some()));
    findings.extend(raise_open_files_max().ok().map(kernel::open_files));
    findings.extend(kernel::backlog(&text("/proc/sys/net/core/somaxconn"), server::client_backlog(config)));
    findings.extend(kernel::processes(groups.least("pids.max"), loops));
    findings.extend(disk::look(config, &text("/proc/mounts")));
    let meminfo = text("/proc/meminfo");
    findings.extend(memory::room(&meminfo, groups.least("memory.max"), memory::newest_snapshot(config)));
    findings.extend(memory::huge_pages(
        &text("/sys/kernel/mm/transparent_hugepage/enabled"),
        &text("/sys/kernel/mm/transparent_hugepage/defrag"),
        config.huge_pages,
    ));
    findings.extend(memory::swap(
        &meminfo,
        text("/proc/sys/vm/swappiness").trim(),
        groups.least("memory.swap.max"),
    ));
    findings
        .extend(processors::clock(&text("/sys/devices/system/clocksource/clocksource0/current_clocksource")));
    findings.extend(processors::frequency(&processors::governors(Path::new("/sys/devices/system/cpu"))));
    findings.extend(processors::idle(&processors::idle_states(Path::new(
        "/sys/devices/system/cpu/cpu0/cpuidle",
    ))));
    findings.extend(processors::halt_polling(
        &text("/sys/devices/system/cpu/cpuidle/current_governor"),
        &text("/sys/module/haltpoll/parameters/guest_halt_poll_ns"),
    ));
    findings.extend(
        config
            .cores
            .as_ref()
            .and_then(|cores| network::interrupts(&text("/proc/interrupts"), &text("/proc/uptime"), cores)),
    );
    findings.extend(network::queues(&network::cards(Path::new("/sys/class/net")), loops));
    findings
}

/// Empty where it can't be read.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The control groups of this process, version 2 (cgroups(7)).
struct Groups<'a> {
    /// As /proc/self/cgroup has it.
    own: &'a str,
    read: &'a dyn Fn(&Path) -> Option<String>,
}

impl Groups<'_> {
    /// The smallest limit on the way to the root; none where there is no number.
    fn least(&self, file: &str) -> Option<u64> {
        let own = self.own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let places =
            Path::new(own).ancestors().map(|group| PathBuf::from("/sys/fs/cgroup").join(group).join(file));
        places.filter_map(|place| (self.read)(&place)?.trim().parse().ok()).min()
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
#[path = "host_test.rs"]
mod tests;
