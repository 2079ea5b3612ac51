"""The rows of the comparison: how each is measured. One function a row kind; each returns plain results.

Used by compare.py, which owns the servers and the order. A result is a dictionary that goes to the raw output as it
is; `value` is what the summary takes the median of, `unit` says of what.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time

import machine
from servers import ServerError
from snapshot_watch import SnapshotWatch, share_while_writing

MILLION_SHAPE = "1000x1000"
MILLION_LAST_PATH = "/preload/p0999/child-00999"
KEYS = 10_000


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table. `must` and `aim` are judged by summary.py."""

    name: str
    title: str
    kind: str  # closed | open | million | restart | snapshot | instructions
    op: str = "get"
    sessions: int = 32
    outstanding: int = 16
    value: str = "operations_per_second"  # or p50_us
    pause: float = 0  # seconds between stop and start


ROWS = [
    Row("get32x16", "get, 32 sessions × 16 outstanding", "closed", "get", 32, 16),
    Row("get1x1", "get, 1 × 1, p50", "closed", "get", 1, 1, "p50_us"),
    Row("set32x16", "set, 32 × 16", "closed", "set", 32, 16),
    Row("set1x1", "set, 1 × 1, p50", "closed", "set", 1, 1, "p50_us"),
    Row("get16x1", "get, 16 × 1", "closed", "get", 16, 1),
    Row("set16x1", "set, 16 × 1", "closed", "set", 16, 1),
    Row("openloop", "open loop of sets over snapshot, segment roll and purge", "open", "set", 32),
    Row("million", "a million znodes of 100 bytes, resident memory", "million"),
    Row("restart", "restart with them, to the first answer", "restart"),
    # Where the machine is a virtual one, its host may have taken back by then what the server freed, and finds it anew for the next.
    Row("restart5", "the same, stopped for five seconds", "restart", pause=5),
    Row("snapshot", "set throughput while a snapshot of that tree is written", "snapshot", "set", 32, 16),
    Row("instructions", "instructions per read at 1, 2, 4, 8 shards", "instructions", "get", 32, 16),
]


# Of a new ensemble, by server; others 3.
WARM_SECONDS = {"zookeeper": 21}

# The generator's exit statuses that come with a result: well, with errors, in part.
GENERATOR_MEASURED = (0, 1, 3)


class Bench:
    """What every row needs: the load binary, the pace, where raw results go, and how noise is treated."""

    def __init__(self, load_binary, raw_directory, seconds, warmup, noise_limit, quiet_wait, retries):
        self.load_binary = load_binary
        self.raw_directory = pathlib.Path(raw_directory)
        self.seconds = seconds
        self.warmup = warmup
        self.noise_limit = noise_limit
        self.quiet_wait = quiet_wait
        self.retries = retries
        self.results = []
        # What there was no room for.
        self.unwritten = []
        # Who the sessions are, as in the shell's addauth; in no result.
        self.auth = []

    def record(self, row, server, round_number, result):
        result = {**result, "server_usage": result.get("server"), "row": row, "server": server, "round": round_number}
        self.results.append(result)
        name = f"{len(self.results):03}-{row}-{server}-{round_number}.json"
        try:
            (self.raw_directory / name).write_text(json.dumps(result, indent=1) + "\n")
        except OSError as error:
            # The result is known all the same, and goes into the tables.
            self.unwritten.append(f"raw/{name} could not be written: {error.strerror}")
            print(f"  {self.unwritten[-1]}", flush=True)
        noise = f"  NOISY: others used {result['noise']:.0%} of the machine" if result.get("noisy") else ""
        errors = f"  ERRORS {result['errors']}" if result.get("errors") else ""
        partial = f"  IN PART: {result['partial']}" if result.get("partial") else ""
        print(f"  {row:<14}{server:<12} round {round_number}: {result['line']}{noise}{errors}{partial}", flush=True)
        return result

    def load(self, server, arguments, keys_exist=True):
        """Runs the load generator once. Returns its JSON, also where it met errors, or measured a part and says why (`partial`)."""
        path = self.raw_directory / "last.json"
        path.unlink(missing_ok=True)
        command = [server.generator or self.load_binary, "--server", ",".join(server.addresses), "--json", path]
        command += [word for pid in server.pids for word in ("--server-pid", str(pid))]
        command += ["--keys-exist"] if keys_exist else []
        command += [str(argument) for argument in arguments]
        told = " ".join(map(str, command))
        # Of servers with another program, etcd's, nothing of the kind is known.
        command += [] if server.generator else [word for auth in self.auth for word in ("--auth", auth)]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode not in GENERATOR_MEASURED or (process.returncode != 0 and not path.exists()):
            said = process.stderr.strip()
            for auth in self.auth:
                said = said.replace(auth, "…")
            raise ServerError(f"load on {server.name} failed: {said}\n{told}")
        if not path.exists():
            return {"output": process.stdout}
        result = json.loads(path.read_text())
        path.unlink()
        return result

    def noise_of(self, result):
        other = result["machine"]["other_cpu_seconds"] + result["machine"]["stolen_cpu_seconds"]
        # A load that was cut before its window began has none.
        return other / result["window_seconds"] / machine.os.cpu_count() if result["window_seconds"] else 0.0

    def quietest(self, measure):
        """A measurement on a machine that is as quiet as it gets: repeated when others were busy, the quietest kept."""
        best = None
        for _ in range(1 + self.retries):
            if self.quiet_wait > 0:
                machine.wait_until_quiet(self.noise_limit, self.quiet_wait)
            result = measure()
            result["noise"] = self.noise_of(result)
            result["noisy"] = result["noise"] > self.noise_limit
            if best is None or result["noise"] < best["noise"]:
                best = result
            if not best["noisy"]:
                break
        return best


def load_line(result):
    latency = result["latency"]
    return (
        f"{result['operations_per_second']:>9.0f} op/s  p50 {latency['p50_us']:.0f} p99 {latency['p99_us']:.0f} "
        f"p99.9 {latency['p999_us']:.0f} max {latency['max_us']:.0f} µs  "
        f"{((result.get('server') or {}).get('operations_per_cpu_second') or 0) / 1000:.0f}k op/cpu-s"
    )


def prepare(bench, server, size=100):
    """Makes the keys, or gives all of them data of `size`; unmeasured."""
    arguments = ["--op", "get", "--keys", KEYS, "--bytes", size, "--warmup", 0, "--seconds", 0.1, "--sessions", 1]
    bench.load(server, arguments, False)


def warm(bench, server, seconds):
    """Load before the first measurement, so that a JVM has compiled what it runs: half gets, half sets."""
    for sessions, outstanding in ((32, 16), (1, 1), (16, 1)):
        arguments = ["--op", "mixed:0.5", "--keys", KEYS, "--sessions", sessions, "--outstanding", outstanding]
        bench.load(server, [*arguments, "--warmup", 0, "--seconds", max(0.2, seconds / 3)])


def closed(bench, row, server, round_number):
    arguments = ["--op", row.op, "--sessions", row.sessions, "--outstanding", row.outstanding, "--keys", KEYS]
    arguments += ["--warmup", bench.warmup, "--seconds", bench.seconds]
    result = bench.quietest(lambda: bench.load(server, arguments))
    if row.value == "p50_us":
        result["value"], result["unit"] = result["latency"]["p50_us"], "µs"
    else:
        result["value"], result["unit"] = result["operations_per_second"], "op/s"
    if not result["operations"]:
        # No median of nothing: it would count as the fastest of all.
        result["value"] = None
        result["errors"]["nothing was answered in the window"] = 1
    result["line"] = load_line(result)
    return bench.record(row.name, server.name, round_number, result)


def watched_load(bench, server, arguments, seconds, load=None):
    """A load while the data directory is watched; the result tells what happened there. `load`: in place of the bench's own."""

    def measure():
        with SnapshotWatch(server.data) as watch:
            result = (load or bench.load)(server, [*arguments, "--warmup", bench.warmup, "--seconds", seconds])
        result["snapshots"] = watch.snapshots()
        result["log_files_begun"] = watch.logs_begun()
        result["files_removed"] = watch.files_removed()
        return result

    return bench.quietest(measure)


def open_loop(bench, row, server, round_number, rate, seconds, label):
    """Sets at `rate` while snapshots, log rolls and purges happen: a low snapCount sees to that."""
    server.stop()
    server.settings = {"snapCount": max(1_000, int(rate * seconds / 4)), "autopurge.snapRetainCount": 3,
                       "autopurge.purgeInterval": 1}
    server.start()
    warm(bench, server, 6)
    arguments = ["--op", row.op, "--sessions", row.sessions, "--rate", f"{rate:.0f}", "--keys", KEYS]
    result = watched_load(bench, server, arguments, seconds)
    result["rate_of"] = label
    result["value"], result["unit"] = result["latency"]["p999_us"], "µs"
    result["line"] = (
        f"at {rate:.0f}/s ({label}) p50 {result['latency']['p50_us']:.0f} p99 {result['latency']['p99_us']:.0f} "
        f"p99.9 {result['latency']['p999_us']:.0f} max {result['latency']['max_us']:.0f} µs, "
        f"{len(result['snapshots'])} snapshots, {result['log_files_begun']} log files begun, "
        f"{result['files_removed']} files removed"
    )
    server.stop()
    server.settings = {}
    server.start()
    return bench.record(row.name, server.name, round_number, result)


def status_bytes(pid):
    """Anonymous, file-backed and peak resident bytes, from /proc/PID/status."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if value.strip().endswith("kB"):
            fields[name] = int(value.split()[0]) * 1024
    return {"anonymous": fields["RssAnon"], "file": fields["RssFile"], "peak": fields["VmHWM"]}


def spent_by(pid):
    """What a process has taken since it began: seconds of processor, page faults that needed no disk, bytes from the disk."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    io = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    tick = os.sysconf("SC_CLK_TCK")
    return {"user": int(fields[11]) / tick, "system": int(fields[12]) / tick, "faults": int(fields[7]), "read": int(io["read_bytes"])}


def million(bench, row, server, round_number):
    """Fills an empty server with the tree. Leaves it there for the rows that need it."""
    server.stop()
    server.clear()
    server.settings = {}
    server.start()
    empty = status_bytes(server.pid)
    begin = time.monotonic()
    bench.load(server, ["--preload", MILLION_SHAPE, "--warmup", 0, "--seconds", 0.1], False)
    fill_seconds = time.monotonic() - begin
    # What a server gives back after the load, it may give back: ten seconds of quiet.
    filled = status_bytes(server.pid)
    time.sleep(10)
    settled = status_bytes(server.pid)
    result = {"empty": empty, "filled": filled, "settled": settled, "fill_seconds": fill_seconds,
              "value": settled["anonymous"] / 1e6, "unit": "MB"}
    result["line"] = (
        f"{settled['anonymous'] / 1e6:.0f} MB anonymous + {settled['file'] / 1e6:.0f} MB file "
        f"(empty {empty['anonymous'] / 1e6:.0f}, peak {settled['peak'] / 1e6:.0f}), filled in {fill_seconds:.1f} s"
    )
    return bench.record(row.name, server.name, round_number, result)


def restart(bench, row, server, round_number):
    """Stops a server that holds the tree, starts it, and reads the tree's last znode."""
    if bench.quiet_wait > 0:
        machine.wait_until_quiet(bench.noise_limit, bench.quiet_wait)
    server.stop()
    time.sleep(row.pause)
    seconds = server.start(MILLION_LAST_PATH)
    after = status_bytes(server.pid)
    spent = spent_by(server.pid)
    result = {"value": seconds, "unit": "s", "after": after, "spent": spent}
    result["line"] = (
        f"{seconds:.2f} s ({spent['user']:.2f} s in user mode, {spent['system']:.2f} in the kernel's, {spent['faults']} page faults, "
        f"{spent['read'] / 1e6:.0f} MB from the disk), then {after['anonymous'] / 1e6:.0f} MB anonymous"
    )
    return bench.record(row.name, server.name, round_number, result)


def snapshot(bench, row, server, round_number, seconds):
    """Sets at full speed on the tree, long enough that snapshots of it are written meanwhile."""
    arguments = ["--op", row.op, "--sessions", row.sessions, "--outstanding", row.outstanding, "--keys", 1_000_000]
    probe = bench.load(server, [*arguments, "--warmup", bench.warmup, "--seconds", 5])
    server.stop()
    server.settings = {"snapCount": max(1_000, int(probe["operations_per_second"] * seconds / 3))}
    server.start(MILLION_LAST_PATH)
    warm(bench, server, WARM_SECONDS.get(server.name, 3) / 3)
    result = watched_load(bench, server, arguments, seconds)
    snapshots = result["snapshots"]
    share, inside, outside = share_while_writing(result, snapshots)
    lengths = [(end - begin) / 1e9 for begin, end in snapshots]
    result.update(snapshot_seconds=lengths, value=share, unit="share",
                  seconds_inside=inside / 10, seconds_outside=outside / 10)
    written = ", ".join(f"{length:.1f}" for length in lengths) or "none"
    told = "not measurable" if share is None else f"{share:.0%}"
    result["line"] = (
        f"{told} of the throughput without; {inside / 10:.1f} s with and {outside / 10:.1f} s without a snapshot; "
        f"snapshots took {written} s; {result['operations_per_second']:.0f} op/s over all"
    )
    server.stop()
    server.settings = {}
    server.start(MILLION_LAST_PATH)
    return bench.record(row.name, server.name, round_number, result)


def instructions(bench, row, server, round_number, label):
    """Instructions, user and kernel, that the server retires per get, counted by perf."""
    counts_path = bench.raw_directory / "perf-stat.csv"
    events = "instructions:u,instructions:k"
    counter = subprocess.Popen(["perf", "stat", "-x", ",", "-e", events, "-p", str(server.pid), "-o", counts_path],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    arguments = ["--op", "get", "--sessions", row.sessions, "--outstanding", row.outstanding, "--keys", KEYS]
    try:
        result = bench.load(server, [*arguments, "--warmup", bench.warmup, "--seconds", bench.seconds])
    finally:
        counter.send_signal(signal.SIGINT)
        _, err = counter.communicate(timeout=30)
    counts = {}
    for line in counts_path.read_text().splitlines() if counts_path.exists() else []:
        fields = line.split(",")
        if len(fields) > 2 and fields[0].isdigit():
            counts[fields[2].split(":")[1][0]] = int(fields[0])
    counts_path.unlink(missing_ok=True)
    if set(counts) != {"u", "k"}:
        said = f" ({err.strip()})" if err.strip() else ""
        raise ServerError(f"perf counts no instructions on this machine{said}")
    replies = result["replies_total"]
    result.update(user_instructions_per_read=counts["u"] / replies, kernel_instructions_per_read=counts["k"] / replies,
                  value=counts["u"] / replies, unit="user instructions", shards=label)
    result["line"] = (
        f"{label}: {counts['u'] / replies:.0f} user + {counts['k'] / replies:.0f} kernel instructions per get at "
        f"{result['operations_per_second']:.0f} op/s"
    )
    return bench.record(row.name, server.name, round_number, result)
