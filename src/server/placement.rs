//! Which threads there are, and which core each is pinned to (design decision 4).
//!
//! One or two cores: one event loop with replica and shard together. Three or more: the replica on a core of its own, a
//! shard on each other. The replica's ring writes the log; the threads for files come beside and are never pinned: they
//! sleep in the disk. `ringkeeper.shards` overrides the count. Threads are pinned only if `ringkeeper.cores` says so or the
//! cpuset is exclusively ours: several servers on one host must not all pin core 0. The container's CPU quota counts; how
//! long a loop may look before it sleeps is in `attention.rs`.

use crate::base::limits;
use crate::config::Config;
use crate::io::cpu::{self, Cpus};

use super::Fatal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    pub shards: usize,
    /// Cores in the order of threads: the replica (or the one loop) first, then the shards. Empty: nobody is pinned.
    cores: Vec<usize>,
}

impl Placement {
    pub fn choose(config: &Config) -> Result<Placement, Fatal> {
        let cpus = Cpus::detect().map_err(Fatal::Io)?;
        let cores = config.cores.as_ref().map(|cores| cores.iter().map(|&core| usize::from(core)).collect());
        let placement = Placement::of(&cpus, config.shards, cores);
        if let Some(missing) = placement.cores.iter().find(|core| !cpus.allowed.contains(core)) {
            return Err(Fatal::Foreign(format!(
                "ringkeeper.cores names core {missing}, which this process may not use (it may use {:?})",
                cpus.allowed
            )));
        }
        Ok(placement)
    }

    fn of(cpus: &Cpus, shards: Option<usize>, named: Option<Vec<usize>>) -> Placement {
        let usable = named.as_ref().map_or(cpus.usable(), |cores| cores.len().min(cpus.usable()));
        let by_rule = if usable <= 2 { 1 } else { usable - 1 };
        let shards = shards.unwrap_or(by_rule).clamp(1, limits::SHARDS_MAX);
        let exclusive = cpus.is_partition.then(|| cpus.allowed.clone());
        Placement { shards, cores: named.or(exclusive).unwrap_or_default() }
    }

    /// Event loops, each with a ring and a thread of its own.
    pub fn loops(&self) -> usize {
        if self.shards == 1 { 1 } else { self.shards + 1 }
    }

    /// Pins the calling thread: 0 is the replica or the one loop, 1 the first shard. With fewer cores than threads they
    /// go round.
    pub fn pin(&self, thread: usize) -> Result<(), Fatal> {
        if self.cores.is_empty() {
            return Ok(());
        }
        cpu::pin(self.cores[thread % self.cores.len()]).map_err(Fatal::Io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(count: usize, is_partition: bool) -> Cpus {
        Cpus { allowed: (0..count).collect(), online: count, quota_milli: None, is_partition }
    }

    #[test]
    fn the_rule_of_the_design() {
        for (cores, shards) in [(1, 1), (2, 1), (3, 2), (4, 3), (16, 15)] {
            let placement = Placement::of(&cpus(cores, false), None, None);
            assert_eq!(placement, Placement { shards, cores: vec![] }, "{cores} cores");
        }
    }

    #[test]
    fn a_quota_counts_and_settings_win() {
        let limited = Cpus { quota_milli: Some(1500), ..cpus(16, false) };
        assert_eq!(Placement::of(&limited, None, None).loops(), 1);
        assert_eq!(Placement::of(&limited, Some(4), None).loops(), 5);
        assert_eq!(Placement::of(&cpus(16, false), None, Some(vec![2, 3, 4])).shards, 2);
    }

    #[test]
    fn only_named_or_exclusive_cores_are_pinned() {
        assert_eq!(Placement::of(&cpus(4, false), None, None).cores, Vec::<usize>::new());
        assert_eq!(Placement::of(&cpus(4, true), None, None).cores, [0, 1, 2, 3]);
        assert_eq!(Placement::of(&cpus(4, true), None, Some(vec![2])).cores, [2]);
    }
}
