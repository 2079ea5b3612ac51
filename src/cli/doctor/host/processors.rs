//! Processors: how many, whose, and how soon they are awake.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::{Finding, Level};
use crate::io::cpu::Cpus;

/// To leave an idle state takes as long as a sync of a good disk: then it is felt.
const WAKING_MICROS_MAX: u64 = 100;

/// `loops`: what the server would start here.
pub(super) fn placed(cpus: &Cpus, loops: usize) -> Finding {
    let milli = cpus.quota_milli;
    let quota = milli.map_or(String::new(), |milli| format!(", quota {}.{:03}", milli / 1000, milli % 1000));
    let placed =
        if loops == 1 { "one event loop".to_owned() } else { format!("a replica and {} shards", loops - 1) };
    let what = format!("{} of {} processors may be used{quota}: {placed}", cpus.allowed.len(), cpus.online);
    let finding = |level| Finding::new(level, what);
    if loops > cpus.usable() {
        return finding(Level::Warning)
            .todo("That is more loops than processors: each hands its work to one that isn't running. Take ringkeeper.shards out.")
            .see("placement");
    }
    match milli {
        Some(..1000) => finding(Level::Warning)
            .todo("Less than one processor: when it is used up, the server stands still until the next period. Raise it or take it away.")
            .see("containers"),
        Some(_) => finding(Level::Note)
            .todo("When the quota is used up, the server stands still until the next period. Exclusive processors do better.")
            .see("containers"),
        None => finding(Level::Fine),
    }
}

/// Of memory. `online`: as `0-1,3`.
pub(super) fn nodes(online: &str, cores_are_named: bool) -> Option<Finding> {
    let count_of = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        (last.parse::<usize>().ok()? + 1).checked_sub(first.parse().ok()?)
    };
    let count = online.trim().split(',').map(count_of).sum::<Option<usize>>()?;
    (count > 1 && !cores_are_named).then(|| {
        Finding::new(Level::Note, format!("{count} memory nodes: a loop may run far from the tree that it reads"))
            .todo("Name cores of one node in ringkeeper.cores, or start it with numactl --cpunodebind=N --membind=N.")
            .see("placement")
    })
}

pub(super) fn clock(source: &str) -> Option<Finding> {
    match source.trim() {
        "" => None,
        source @ ("tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page") => {
            Some(Finding::new(Level::Fine, format!("clock source {source}")))
        }
        slow => Some(
            Finding::new(Level::Warning, format!("clock source {slow}: each look at the clock is a system call"))
                .todo("/sys/devices/system/clocksource/clocksource0/available_clocksource lists others; tsc, if it is among them.")
                .see("governor"),
        ),
    }
}

/// Drivers in whose active modes `powersave` isn't the lowest speed, but one that follows the load (intel_pstate.rst, amd-pstate.rst of
/// the kernel's admin-guide/pm). In their other modes they have other names: `intel_cpufreq`, `amd-pstate`.
const FOLLOW_THE_LOAD: [&str; 2] = ["intel_pstate", "amd-pstate-epp"];

/// Each processor's, of those that tell, with its driver where that is needed to know what it does. `place`: /sys/devices/system/cpu.
pub(super) fn governors(place: &Path) -> Vec<String> {
    let read = |entry: &fs::DirEntry, file: &str| {
        let text = fs::read_to_string(entry.path().join("cpufreq").join(file)).ok()?;
        Some(text.trim().to_owned())
    };
    let of = |entry: fs::DirEntry| {
        let governor = read(&entry, "scaling_governor")?;
        let driver = read(&entry, "scaling_driver").unwrap_or_default();
        let is_named = governor == "powersave" && FOLLOW_THE_LOAD.contains(&driver.as_str());
        let told =
            if is_named { format!("{governor} of {driver}, which follows the load") } else { governor };
        entry.file_name().to_str()?.starts_with("cpu").then_some(told)
    };
    fs::read_dir(place).into_iter().flatten().flatten().filter_map(of).collect()
}

pub(super) fn frequency(governors: &[String]) -> Option<Finding> {
    let saving = governors.iter().filter(|governor| *governor == "powersave").count();
    let names: BTreeSet<&str> = governors.iter().map(String::as_str).collect();
    match (saving, names.into_iter().collect::<Vec<_>>().join(", ")) {
        (_, names) if names.is_empty() => None,
        (0, names) => Some(Finding::new(Level::Fine, format!("scaling governor {names}"))),
        _ => Some(
            Finding::new(
                Level::Note,
                format!(
                    "scaling governor powersave on {saving} of {} processors: those that rest wake up slowly",
                    governors.len()
                ),
            )
            .todo("cpupower frequency-set -g performance, where latency matters more than power.")
            .see("governor"),
        ),
    }
}

/// One way of a processor to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdleState {
    pub name: String,
    /// To leave it.
    pub micros: u64,
    pub is_disabled: bool,
}

/// `place`: of one processor. What can't be read is left out.
pub(super) fn idle_states(place: &Path) -> Vec<IdleState> {
    let read =
        |state: &Path, file| fs::read_to_string(state.join(file)).ok().map(|text| text.trim().to_owned());
    let state = |state: &Path| {
        let micros = read(state, "latency")?.parse().ok()?;
        Some(IdleState { name: read(state, "name")?, micros, is_disabled: read(state, "disable")? != "0" })
    };
    let states = fs::read_dir(place).into_iter().flatten().flatten();
    states.filter_map(|entry| state(&entry.path())).collect()
}

pub(super) fn idle(states: &[IdleState]) -> Option<Finding> {
    let IdleState { name, micros, .. } =
        states.iter().filter(|state| !state.is_disabled).max_by_key(|state| state.micros)?;
    (*micros >= WAKING_MICROS_MAX).then(|| {
        Finding::new(Level::Note, format!("a processor that rests in state {name} takes {micros} µs to wake"))
            .todo("A server with little to do answers that much later. cpupower idle-set -D 50, where latency matters more than power.")
            .see("governor")
    })
}

/// A guest's processor that has nothing to do can look for something itself before the host takes it, with the governor `haltpoll`
/// of idle states (Documentation/virt/guest-halt-polling.rst). `nanoseconds`: how long at the most.
pub(super) fn halt_polling(governor: &str, nanoseconds: &str) -> Option<Finding> {
    let nanoseconds: u64 = nanoseconds.trim().parse().ok().filter(|_| governor.trim() == "haltpoll")?;
    if nanoseconds > 0 {
        return Some(Finding::new(
            Level::Fine,
            format!(
                "a processor with nothing to do looks for work for up to {nanoseconds} ns before it rests"
            ),
        ));
    }
    Some(
        Finding::new(Level::Note, "a processor with nothing to do goes back to the host at once, which has to wake it".to_owned())
            .todo("echo 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns, where latency matters more than power.")
            .see("halt-polling"),
    )
}
