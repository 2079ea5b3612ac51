"""What every scenario has at hand: ensembles that it starts and ends, or servers that run already, and loads on them.

A measurement's result is a dictionary as in rows.py, with `x`, the value on the scenario's axis, and beside it `derived`: figures
that say something of the server even where generator and servers share a few processors.
"""

import signal
import statistics
import subprocess
import time

import ensembles
import rows
from ensemble import EnsembleRun
from rows import KEYS
from servers import ServerError

SERVER_NAMES = ["zookeeper", "ringkeeper"]


class Running:
    """Servers that somebody else started: loads are put on them; they are not started, stopped or killed."""

    def __init__(self, name, addresses):
        self.name, self.addresses, self.pids = name, addresses, []

    def describe(self):
        return f"{len(self.addresses)} servers that were running already"


class Kit(EnsembleRun):
    """`options` are those of scenario.py."""

    def __init__(self, options, folder):
        super().__init__(options, folder)
        self.directory = self.directory.with_name("scenarios")
        self.running = [Running(name, addresses) for name, addresses in options.running]
        self.counts_instructions = can_count_instructions()

    @property
    def names(self):
        return [target.name for target in self.running] or self.options.servers

    def fetch(self):
        if not self.running and "zookeeper" in self.options.servers:
            self.member("zookeeper")(self.directory).fetch()

    def own(self, what):
        """Scenarios that start and end servers can't do that to somebody else's."""
        if self.running:
            raise ServerError(f"{what}: that needs servers which this script started itself; leave out --running")

    def targets(self, voters, observers=0, settings=None):
        """One target a server: a fresh ensemble, or what was running already."""
        if self.running:
            for target in self.running:
                self.descriptions[target.name] = target.describe()
                rows.prepare(self.bench, target)
            return self.running
        return [self.ensemble(name, voters, observers, settings) for name in self.options.servers]

    def tried(self, what, action):
        """Runs a part of a scenario; one that fails is told, and the others are measured all the same."""
        begin = time.monotonic()
        print(f"{what}:", flush=True)
        try:
            action()
        except ServerError as error:
            self.failures.append(f"{what}: {error}")
            print(f"  FAILED: {error}", flush=True)
        finally:
            self.stop()
        print(f"  ({time.monotonic() - begin:.0f} s)", flush=True)

    def measure(self, row, target, x, arguments, round_number=1, seconds=None, label=None, **more):
        """One load, recorded. `target`: an Ensemble (all its running members), or anything with addresses and pids."""
        led = leader_first(target)
        seconds = seconds or self.bench.seconds
        arguments = ["--keys", KEYS, *arguments, "--warmup", self.bench.warmup, "--seconds", seconds]

        def once():
            syncs, begin = sync_count(target), time.monotonic()
            with Instructions(led.pids[0] if self.counts_instructions and led.pids else None) as counted:
                result = self.bench.load(led, arguments)
            after = sync_count(target)
            if counted.count and result.get("replies_total"):
                result["instructions_per_operation"] = counted.count / result["replies_total"]
            if syncs is not None and after is not None:
                result["syncs_per_second"] = (after - syncs) / (time.monotonic() - begin)
            return result

        result = self.bench.quietest(once)
        result.update(x=x, label=label, **more)
        result["value"], result["unit"] = result["operations_per_second"], "op/s"
        result["derived"] = derived(result)
        result["line"] = f"{label or x}: {rows.load_line(result)}"
        return self.bench.record(row, target.name, round_number, result)


def leader_first(target):
    """Sessions go to all members; processor time is told apart, the leader's first."""
    if not isinstance(target, ensembles.Ensemble):
        return target
    leader = target.leader() if len(target.running) > 1 else target.running[0]
    others = [member.pid for member in target.running if member is not leader]
    return ensembles.Target(target.name, target.addresses, [leader.pid, *others])


def sync_count(target):
    """Syncs of the log, of all members since their start; None where they don't tell."""
    if not isinstance(target, ensembles.Ensemble):
        return None
    total = 0
    for member in target.running:
        for line in ensembles.ask(member.port, b"mntr").splitlines():
            if line.startswith("zk_cnt_fsynctime"):
                total += int(float(line.split()[1]))
    return total


def derived(result):
    """Figures that don't hang on how many processors there are."""
    usage, operations = result.get("server") or {}, result["operations"]
    each = usage.get("cpu_seconds_each") or []
    found = {}
    if operations and each:
        found["cpu_us_per_operation"] = sum(each) * 1e6 / operations
        found["leader_cpu_us_per_operation"] = each[0] * 1e6 / operations
    if operations and result.get("syncs_per_second"):
        found["operations_per_sync"] = result["operations_per_second"] / result["syncs_per_second"]
    if result.get("instructions_per_operation"):
        found["leader_instructions_per_operation"] = result["instructions_per_operation"]
    own = result["generator"]["cpu_seconds"]
    found["generator_share_of_a_processor"] = own / result["window_seconds"]
    return found


class Instructions:
    """Counts what a process retires while the block runs; nothing where the machine lets nobody count, or `pid` is None."""

    def __init__(self, pid):
        self.pid, self.count, self.process = pid, None, None

    def __enter__(self):
        if self.pid is not None:
            command = ["perf", "stat", "-x", ",", "-e", "instructions", "-p", str(self.pid)]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            _, told = self.process.communicate(timeout=30)
            numbers = [line.split(",")[0] for line in told.splitlines() if "instructions" in line]
            self.count = next((int(number) for number in numbers if number.isdigit()), None)


def can_count_instructions():
    try:
        run = subprocess.run(["perf", "stat", "-x", ",", "-e", "instructions:u", "true"], capture_output=True, text=True)
    except OSError:
        return False
    return run.returncode == 0 and run.stderr.split(",")[0].strip().isdigit()


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def series(results, row, server, value):
    """[(x, median of the rounds)] of a row; `value` picks from a result."""
    found = {}
    for result in results:
        if (result["row"], result["server"]) == (row, server):
            found.setdefault(result["x"], []).append(value(result))
    return [(x, median(values)) for x, values in sorted(found.items())]


def servers_in(results):
    return list(dict.fromkeys(result["server"] for result in results))


def throughput(result):
    return result["operations_per_second"]


def latency(name):
    return lambda result: result["latency"][name] / 1000


def figure(name):
    return lambda result: result["derived"].get(name)
