//! Cores: which we may use, how much of them, and pinning a thread to one.

use std::fs;
use std::mem;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::socket::check;

/// What the kernel tells of the processors this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Cores of the affinity mask, ascending.
    pub allowed: Vec<usize>,
    /// Cores of the machine that are online.
    pub online: usize,
    /// The container's CPU quota in thousandths of a core, the smallest on the way to the root.
    pub quota_milli: Option<u64>,
    /// The cgroup's cpuset is a partition: nobody else runs on these cores. The one sign of exclusiveness that the kernel
    /// gives; without it, cores may still be exclusive by arrangement (isolcpus, Kubernetes' static policy).
    pub is_partition: bool,
}

impl Cpus {
    pub fn detect() -> Result<Cpus, Error> {
        // SAFETY: takes no pointers.
        let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let root = Path::new("/sys/fs/cgroup");
        Ok(Cpus {
            allowed: allowed()?,
            online: usize::try_from(online).unwrap_or(1),
            quota_milli: quota_milli(root, &groups),
            is_partition: is_partition(root, &groups),
        })
    }

    /// How many threads can run at once: allowed cores, less what the quota forbids; a started core counts. At least 1.
    pub fn usable(&self) -> usize {
        let quota = self.quota_milli.map_or(usize::MAX, |milli| milli.div_ceil(1000) as usize);
        self.allowed.len().min(quota).max(1)
    }

    /// Some cores of the machine are not ours.
    pub fn is_restricted(&self) -> bool {
        self.allowed.len() < self.online
    }
}

/// Cores the calling thread may run on, ascending.
pub fn allowed() -> Result<Vec<usize>, Error> {
    // SAFETY: a mask of no cores is all zeroes.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is writable for the size given.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) })
        .map_err(|e| Error::new("ask for the allowed cores", e))?;
    // SAFETY: the index is below the set's size.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// Keeps the calling thread on one core.
pub fn pin(core: usize) -> Result<(), Error> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(Error::of_code("pin a thread to", libc::EINVAL).on(format_args!("core {core}")));
    }
    // SAFETY: a mask of no cores is all zeroes; the index was checked.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: `set` is readable for the size given.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })
        .map_err(|e| Error::new("pin a thread to", e).on(format_args!("core {core}")))
}

/// The smallest quota of our control groups, version 2 or 1. Formats: cgroups(7), Documentation/admin-guide/cgroup-v2.rst.
fn quota_milli(root: &Path, groups: &str) -> Option<u64> {
    let mut smallest: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let version_2 = controllers.is_empty();
        if !version_2 && !controllers.split(',').any(|name| name == "cpu") {
            continue;
        }
        let top = if version_2 { root.to_owned() } else { root.join("cpu") };
        for directory in upwards(&top, group) {
            let quota = if version_2 { quota_2(&directory) } else { quota_1(&directory) };
            smallest = smallest.into_iter().chain(quota).min();
        }
    }
    smallest
}

/// `max 100000` or `150000 100000`: microseconds of CPU time per period.
fn quota_2(directory: &Path) -> Option<u64> {
    let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
    let mut fields = text.split_whitespace();
    milli(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)
}

/// A quota of -1 is none.
fn quota_1(directory: &Path) -> Option<u64> {
    let number = |file| fs::read_to_string(directory.join(file)).ok()?.trim().parse::<u64>().ok();
    milli(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn milli(quota: u64, period: u64) -> Option<u64> {
    quota.checked_mul(1000)?.checked_div(period)
}

fn is_partition(root: &Path, groups: &str) -> bool {
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::")) else { return false };
    upwards(root, group).into_iter().take(1).any(|directory| {
        fs::read_to_string(directory.join("cpuset.cpus.partition"))
            .is_ok_and(|kind| matches!(kind.trim(), "root" | "isolated"))
    })
}

/// The group's directory and all above it, up to the root.
fn upwards(root: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|part| root.join(part)).collect()
}

#[cfg(test)]
#[path = "cpu_test.rs"]
mod tests;
