//! What the kernel says of the servers under test: processor time and resident memory, from `/proc/PID`.
//!
//! Called by `load` at both ends of the measured window. Processor time is the threads' sum, in nanoseconds, where the kernel tells it
//! and no thread has ended; else it has the kernel's tick (10 ms) as its unit. Within the window `load` looks in ticks only: a JVM has
//! dozens of threads, and what reading them takes would be seen in its latencies. Format: proc(5). Tested: `process_test.rs`.

use std::fmt;

/// `USER_HZ`: what the kernel counts processor time in towards programs, on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub threads: u64,
    /// Bytes; heap, stacks, private mappings.
    pub resident_anonymous: u64,
    /// Bytes; program text and mapped files, which the kernel can drop and read again.
    pub resident_file: u64,
    /// Bytes; shared memory.
    pub resident_shared: u64,
    /// Bytes; the most that was resident at once since the process began.
    pub resident_peak: u64,
}

/// Processor time of the whole machine since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MachineUsage {
    pub busy_seconds: f64,
    /// Of that, what no program is charged for: interrupts, and the kernel's own threads, which complete writes to disks.
    pub kernel_seconds: f64,
    /// Time in which a virtual processor wanted to run and its host gave the time to others.
    pub stolen_seconds: f64,
}

#[derive(Debug)]
pub struct ProcessError(String);

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProcessError {}

/// What processor time is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// One file of a process.
    Ticks,
    /// One file of each of its threads.
    Nanoseconds,
}

/// The usage of each of `pids`, in their order. Of a process that has ended since: what was `last` seen of it.
pub fn usage_of_each(pids: &[u32], last: &[Usage], precision: Precision) -> Result<Vec<Usage>, ProcessError> {
    let last = last.iter().map(Some).chain(std::iter::repeat(None));
    let of =
        |(&pid, last): (_, Option<&Usage>)| usage(pid, precision).or_else(|error| last.copied().ok_or(error));
    pids.iter().zip(last).map(of).collect()
}

/// The sum, so that an ensemble counts as one server.
pub fn sum(usages: &[Usage]) -> Usage {
    usages.iter().fold(Usage::default(), |sum, one| Usage {
        cpu_seconds: sum.cpu_seconds + one.cpu_seconds,
        threads: sum.threads + one.threads,
        resident_anonymous: sum.resident_anonymous + one.resident_anonymous,
        resident_file: sum.resident_file + one.resident_file,
        resident_shared: sum.resident_shared + one.resident_shared,
        resident_peak: sum.resident_peak + one.resident_peak,
    })
}

fn usage(pid: u32, precision: Precision) -> Result<Usage, ProcessError> {
    let fail = |what| ProcessError(format!("cannot read the usage of process {pid} (--server-pid): {what}"));
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).map_err(|error| fail(format!("{path}: {error}")))
    };
    let stat = read("stat")?;
    let ticks = cpu_seconds(&stat).ok_or_else(|| fail(format!("/proc/{pid}/stat has no times: {stat:?}")))?;
    let status = read("status")?;
    // A process that has ended, and that nobody has asked about, has no memory any more.
    status_field(&status, "VmRSS").ok_or_else(|| fail("it has ended".to_owned()))?;
    let field = |name| status_field(&status, name).unwrap_or(0);
    Ok(Usage {
        cpu_seconds: match precision {
            Precision::Ticks => ticks,
            // Ticks are rounded down. They hold more than the threads' sum only where some that have ended are missing in that.
            Precision::Nanoseconds => ticks.max(threads_seconds(pid)),
        },
        threads: field("Threads"),
        resident_anonymous: field("RssAnon") * 1024,
        resident_file: field("RssFile") * 1024,
        resident_shared: field("RssShmem") * 1024,
        resident_peak: field("VmHWM") * 1024,
    })
}

/// Processor time of the threads that `pid` has now; 0 where the kernel doesn't count it.
fn threads_seconds(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    stats.filter_map(|stat| run_nanos(&stat)).sum::<u64>() as f64 / 1e9
}

/// The first of `schedstat`'s numbers: nanoseconds on a processor; the others are of waiting for one.
fn run_nanos(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

pub fn machine_usage() -> Result<MachineUsage, ProcessError> {
    let stat = std::fs::read_to_string("/proc/stat")
        .map_err(|error| ProcessError(format!("/proc/stat: {error}")))?;
    let mut machine = machine_times(&stat)
        .ok_or_else(|| ProcessError("/proc/stat has no line of all processors".to_owned()))?;
    machine.kernel_seconds += kernel_threads_seconds();
    Ok(machine)
}

/// Of those that are there now. Workers come and go, but seldom within seconds.
fn kernel_threads_seconds() -> f64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = entries.filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        std::fs::read_to_string(entry.path().join("stat")).ok()
    });
    stats.filter(|stat| is_kernel_thread(stat)).filter_map(|stat| cpu_seconds(&stat)).sum()
}

/// By field 9, the flags: `PF_KTHREAD`.
fn is_kernel_thread(stat: &str) -> bool {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let flags = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_ascii_whitespace().nth(6));
    flags.and_then(|flags| flags.parse::<u64>().ok()).is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

/// The line `cpu user nice system idle iowait irq softirq steal …`; `user` holds the time of guests already.
fn machine_times(stat: &str) -> Option<MachineUsage> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else { return None };
    Some(MachineUsage {
        busy_seconds: (user + nice + system + irq + softirq) as f64 / TICKS_PER_SECOND,
        kernel_seconds: (irq + softirq) as f64 / TICKS_PER_SECOND,
        stolen_seconds: steal as f64 / TICKS_PER_SECOND,
    })
}

/// Fields 14 and 15 (utime, stime), counted behind the command's closing bracket: the command may contain spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[path = "process_test.rs"]
mod tests;
