"""What the machine is, and whether it is quiet enough to measure on.

Used by compare.py. Names no host and no path: a run's folder is published.
"""

import os
import pathlib
import re
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def first_line(path, default="unknown"):
    try:
        return pathlib.Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return default


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def label():
    """Short, for a folder's name: processor and number of cores."""
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)|CPU|Processor|@.*", "", cpu_model()).lower()).strip("-")
    return f"{words}-{os.cpu_count()}cpu"


def memory_gib():
    match = re.search(r"MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    return round(int(match.group(1)) / 2**20, 1) if match else None


def file_system(directory):
    """Type of the file system that `directory` lies on, and the mount options which a sync's cost hangs on."""
    result = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", directory], capture_output=True, text=True)
    kind, _, options = result.stdout.strip().partition(" ")
    costly = ("data=", "barrier", "nobarrier", "sync", "discard", "noatime", "lazytime", "commit=")
    kept = [option for option in options.strip().split(",") if option.startswith(costly)]
    return ", ".join([kind or "unknown", *kept])


def scheduling():
    """The policy that this script and all that it starts run under: a real-time one hides others' work."""
    names = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_RR: "SCHED_RR", os.SCHED_FIFO: "SCHED_FIFO"}
    policy = os.sched_getscheduler(0)
    return f"{names.get(policy, policy)}, nice {os.getpriority(os.PRIO_PROCESS, 0)}"


def sync_microseconds(directory, count=400):
    """Median and 99th percentile of a 4 KiB pwrite and fdatasync in place, in a file of 4 MiB written before."""
    path = pathlib.Path(directory) / "sync-probe"
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.pwrite(fd, bytes(4 << 20), 0)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        block, times = b"x" * 4096, []
        for i in range(count):
            begin = time.monotonic_ns()
            os.pwrite(fd, block, (i % 1024) * 4096)
            os.fdatasync(fd)
            times.append((time.monotonic_ns() - begin) / 1000)
    finally:
        os.close(fd)
        path.unlink()
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def git(*arguments):
    root = pathlib.Path(__file__).resolve().parent.parent
    return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True).stdout.strip()


def resting():
    """A guest's processors may look for work before they go back to the host; what a lone request takes hangs on that."""
    governor = first_line("/sys/devices/system/cpu/cpuidle/current_governor", "unknown")
    if governor != "haltpoll":
        return f"idle governor {governor}"
    nanoseconds = first_line("/sys/module/haltpoll/parameters/guest_halt_poll_ns", "unknown")
    return f"idle governor haltpoll, guest_halt_poll_ns {nanoseconds}"


def describe(directory):
    """Rows of (what, value)."""
    p50, p99 = sync_microseconds(directory)
    changed = " (with uncommitted changes)" if git("status", "--porcelain", "--untracked-files=no") else ""
    governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "not visible")
    return [
        ("processor", f"{cpu_model()}, {os.cpu_count()} processors visible"),
        ("memory", f"{memory_gib()} GiB"),
        ("kernel", f"{os.uname().sysname} {os.uname().release.split('-')[0]} {os.uname().machine}"),
        ("frequency governor", governor),
        ("processors with nothing to do", resting()),
        ("scheduling", scheduling()),
        ("TCP congestion control", first_line("/proc/sys/net/ipv4/tcp_congestion_control")),
        ("file system of the data", file_system(directory)),
        ("pwrite of 4 KiB + fdatasync there", f"p50 {p50:.0f} µs, p99 {p99:.0f} µs"),
        ("commit", git("rev-parse", "--short=12", "HEAD") + changed),
    ]


def cpu_seconds(pid):
    """Processor time that the threads of a process have used so far, of their own and of the kernel for them; 0 of none."""
    used = 0
    for schedule in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            used += int(schedule.read_text().split()[0])
        except (OSError, IndexError):
            # A thread that has just ended.
            continue
    return used / 1e9


def busy_ticks():
    fields = [int(field) for field in first_line("/proc/stat").split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return user + nice + system + irq + softirq + steal


def busy_share(seconds=0.5):
    """Share of all processors that was busy or stolen during `seconds`; the servers are idle meanwhile."""
    before = busy_ticks()
    begin = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - begin
    return (busy_ticks() - before) / TICKS_PER_SECOND / elapsed / os.cpu_count()


def wait_until_quiet(limit, seconds_max):
    """Waits until less than `limit` of the machine is busy, at most `seconds_max`. Returns the last share seen."""
    deadline = time.monotonic() + seconds_max
    while (share := busy_share()) > limit and time.monotonic() < deadline:
        time.sleep(1)
    return share
