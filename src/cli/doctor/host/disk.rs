//! The file system that the log is on, how it is mounted, and the device below.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Finding, Level};
use crate::config::{Config, LogWrite};

/// File systems that are elsewhere.
const REMOTE: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p"];
/// Those that never write a block where it was.
const COPYING: [&str; 3] = ["btrfs", "zfs", "bcachefs"];

/// As long as a slow sync: then it is felt.
const REST_MICROS_MAX: u64 = 1_000;

/// What the kernel tells of a block device.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub write_cache: Option<String>,
    pub fua: Option<String>,
    /// Of the disk at the bottom: all of them, the chosen one in brackets.
    pub scheduler: Option<String>,
    /// Of an NVMe disk that rests by itself: states that take longer to leave are not entered. Microseconds; 0 allows none.
    pub rest_micros: Option<String>,
}

pub(super) fn look(config: &Config, mounts: &str) -> Vec<Finding> {
    let is_direct = config.log_write == LogWrite::Direct && config.force_sync;
    let mut findings = disk(&config.data_log_dir, mounts, is_direct, &device);
    findings.extend(snapshots(&config.data_dir, &config.data_log_dir, mounts));
    findings
}

/// Where snapshots go, if that is another file system than the log's: a restart begins with them.
pub(super) fn snapshots(data: &Path, log: &Path, mounts: &str) -> Option<Finding> {
    let Mount { point, kind, options, .. } = mount_of(data, mounts).filter(|_| data != log)?;
    let finding = |level, more: &str| Finding::new(level, format!("snapshots on {kind} at {point}{more}"));
    if mount_of(log, mounts).is_some_and(|log| log.point == point) {
        return None;
    }
    let elsewhere = kind.starts_with("fuse") || REMOTE.contains(&kind);
    Some(match kind {
        _ if options.split(',').any(|option| option == "ro") => finding(Level::Wrong, ", mounted read-only")
            .todo("No snapshot can be written, and the log is never purged. mount -o remount,rw")
            .see("file-system"),
        "tmpfs" | "ramfs" => finding(Level::Warning, ", which is memory")
            .todo("They are gone when the host goes down, and the log behind them is not all of the tree. dataDir belongs on a disk.")
            .see("file-system"),
        "overlay" => finding(Level::Warning, ", the container's own layer")
            .todo("They go with the container. Mount a volume for dataDir and dataLogDir.")
            .see("containers"),
        _ if elsewhere => finding(Level::Note, ", over a network or another program")
            .todo("A server that starts waits for it. dataDir belongs on a local disk.")
            .see("file-system"),
        _ => finding(Level::Fine, ""),
    })
}

fn device(name: &str) -> Option<Device> {
    let file = fs::canonicalize(name).ok()?;
    let block = fs::canonicalize(Path::new("/sys/class/block").join(file.file_name()?)).ok()?;
    let read = |block: &Path, file: &str| {
        // A partition's is that of its disk.
        let queues = [block, block.parent()?].map(|place| place.join("queue").join(file));
        queues.iter().find_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_owned())
    };
    let bottom = bottom(block.clone());
    Some(Device {
        write_cache: read(&block, "write_cache"),
        fua: read(&block, "fua"),
        scheduler: read(&bottom, "scheduler"),
        rest_micros: rest_micros(&bottom),
    })
}

/// The controller's file is there only where its transitions are on (nvme_core, APST).
fn rest_micros(block: &Path) -> Option<String> {
    let disks = [Some(block), block.parent()].into_iter().flatten();
    let mut files = disks.map(|disk| disk.join("device/power/pm_qos_latency_tolerance_us"));
    files.find_map(|file| fs::read_to_string(file).ok())
}

/// Below volumes and arrays: the first of the devices that each is made of.
fn bottom(block: PathBuf) -> PathBuf {
    let below = |block: &Path| {
        let first = fs::read_dir(block.join("slaves")).ok()?.flatten().next()?;
        fs::canonicalize(first.path()).ok()
    };
    std::iter::successors(Some(block.clone()), |block| below(block)).take(8).last().unwrap_or(block)
}

/// A place as /proc/mounts has it: blanks, tabs, newlines and backslashes are a backslash and three octal digits there (proc(5)).
fn unescaped(place: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(place.to_owned(), |place, (escape, character)| place.replace(escape, character))
}

struct Mount<'a> {
    name: &'a str,
    point: String,
    kind: &'a str,
    options: &'a str,
}

/// Of a place that may not be there yet: then of the nearest directory above it.
fn mount_of<'a>(place: &Path, mounts: &'a str) -> Option<Mount<'a>> {
    let there = place.ancestors().find(|ancestor| ancestor.exists());
    let there = there.and_then(|path| fs::canonicalize(path).ok()).unwrap_or_else(|| place.to_owned());
    let mount = |line: &'a str| {
        let mut words = line.split(' ');
        let (name, point) = (words.next()?, unescaped(words.next()?));
        Some(Mount { name, point, kind: words.next()?, options: words.next()? })
    };
    let above = mounts.lines().filter_map(mount).filter(|mount| there.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.len())
}

/// `mounts`: as /proc/mounts has them; `is_direct`: the log is written past the page cache.
pub(super) fn disk(
    place: &Path,
    mounts: &str,
    is_direct: bool,
    device: &dyn Fn(&str) -> Option<Device>,
) -> Vec<Finding> {
    let Some(Mount { name, point, kind, options }) = mount_of(place, mounts) else {
        return vec![Finding::new(Level::Note, format!("{}: its file system is not known", place.display()))];
    };
    let finding = |level, more: &str| Finding::new(level, format!("log on {kind} at {point}{more}"));
    let first = match kind {
        "tmpfs" | "ramfs" => finding(Level::Warning, ", which is memory")
            .todo("What was acknowledged is gone when the host goes down. dataLogDir belongs on a disk.")
            .see("file-system"),
        kind if kind.starts_with("fuse") || REMOTE.contains(&kind) => {
            finding(Level::Warning, ", over a network or another program")
                .todo("A write is as slow as that, and as durable as it keeps its word. dataLogDir belongs on a local disk.")
                .see("file-system")
        }
        "overlay" => finding(Level::Warning, ", the container's own layer")
            .todo("It goes with the container. Mount a volume for dataDir and dataLogDir.")
            .see("containers"),
        _ => {
            let device = device(name).unwrap_or_default();
            let mut findings = vec![cache(&device, is_direct, &finding)];
            findings.extend(copying(kind, &finding));
            findings.extend(self::options(options, device.write_cache.as_deref(), &finding));
            findings.extend(device.scheduler.as_deref().and_then(scheduler));
            findings.extend(device.rest_micros.as_deref().and_then(resting));
            return findings;
        }
    };
    vec![first]
}

type Told<'a> = &'a dyn Fn(Level, &str) -> Finding;

fn cache(device: &Device, is_direct: bool, finding: Told<'_>) -> Finding {
    match (device.write_cache.as_deref(), device.fua.as_deref()) {
        (Some("write back"), Some("1")) if is_direct => finding(
            Level::Fine,
            ", a disk with a volatile write cache, which a write of the log passes (FUA)",
        ),
        (Some("write back"), _) => {
            finding(Level::Note, ", a disk with a volatile write cache: each sync empties it").see("nvme")
        }
        (Some("write through"), _) => finding(Level::Fine, ", a disk without a volatile write cache"),
        _ => finding(Level::Fine, ""),
    }
}

fn copying(kind: &str, finding: Told<'_>) -> Option<Finding> {
    COPYING.contains(&kind).then(|| {
        finding(Level::Note, ", which writes each block to another place: segments made ahead gain nothing")
            .todo("ext4 or xfs for dataLogDir; on btrfs chattr +C on the directory while it is empty.")
            .see("file-system")
    })
}

/// Mount options with which the log is not durable, or not fast.
fn options(options: &str, write_cache: Option<&str>, finding: Told<'_>) -> Vec<Finding> {
    let has = |option: &str| options.split(',').any(|given| given == option);
    let told = |level, more: &str, todo: &str| finding(level, more).todo(todo).see("file-system");
    let mut findings = vec![];
    if has("ro") {
        findings.push(told(
            Level::Wrong,
            ", mounted read-only",
            "Nothing can be logged. mount -o remount,rw",
        ));
    }
    if (has("nobarrier") || has("barrier=0")) && write_cache != Some("write through") {
        findings.push(told(
            Level::Warning,
            ", mounted without barriers: a sync doesn't empty the disk's cache",
            "A power loss loses what was acknowledged, unless the cache has a battery. mount -o remount,barrier=1",
        ));
    }
    if has("data=journal") {
        findings.push(told(
            Level::Note,
            ", mounted with data=journal: the log is written twice, through the page cache",
            "The log has checksums of its own. data=ordered, the default, at the next mount.",
        ));
    }
    if has("sync") {
        let todo = "The log is synced where it has to be; so all other files are, too, snapshots among them. mount -o remount,async";
        findings.push(told(Level::Note, ", mounted sync", todo));
    }
    if has("discard") {
        findings.push(told(
            Level::Note,
            ", mounted with discard: what is removed is trimmed at once, beside the log's writes",
            "fstrim once a week (fstrim.timer) instead: mount -o remount,nodiscard",
        ));
    }
    findings
}

fn resting(micros: &str) -> Option<Finding> {
    let micros: u64 = micros.trim().parse().ok()?;
    (micros > REST_MICROS_MAX).then(|| {
        Finding::new(Level::Note, format!("the log's disk may rest in states that take up to {micros} µs to leave"))
            .todo("nvme_core.default_ps_max_latency_us=0 on the kernel's command line, where a write after a pause must not wait.")
            .see("nvme")
    })
}

fn scheduler(schedulers: &str) -> Option<Finding> {
    let chosen = schedulers.split_once('[')?.1.split_once(']')?.0;
    (chosen != "none").then(|| {
        Finding::new(
            Level::Note,
            format!("the log's disk has the scheduler {chosen}, which may let a write of the log wait"),
        )
        .todo("echo none > /sys/block/DISK/queue/scheduler, on anything but a turning disk.")
        .see("nvme")
    })
}
