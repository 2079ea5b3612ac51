"""What every scenario has at hand: ensembles that it starts and ends, or servers that run already, and loads on them.

A measurement's result is a dictionary as in rows.py, with `x`, the value on the scenario's axis, and beside it `derived`: figures
that say something of the server even where generator and servers share a few processors.
"""

import signal
import statistics
import subprocess
import time

import etcd_server
import rows
from chart import Line
from ensemble import EnsembleRun
from rows import KEYS
from scenarios.running import Running, kind, not_told
from servers import ServerError

SERVER_NAMES = ["zookeeper", "ringkeeper", "etcd"]


class Kit(EnsembleRun):
    """`options` are those of scenario.py."""

    def __init__(self, options, folder):
        super().__init__(options, folder)
        self.directory = self.directory.with_name("scenarios")
        self.running = [Running(*given) for given in options.running]
        self.bench.auth = getattr(options, "auth", [])
        self.counts_instructions = can_count_instructions()
        # Those that the scenario has work for, and that can be had.
        self.servers = [] if self.running else list(options.servers)
        self.left_out = []

    @property
    def names(self):
        return [target.name for target in self.running] or self.servers

    def leave_out(self, reasons):
        """`reasons`: server → why the scenario isn't for it. That is no failure, but told."""
        for one, reason in reasons.items():
            if one in map(kind, self.names):
                self.left_out.append(f"{one} is left out: {reason}.")
                print(f"  {self.left_out[-1]}", flush=True)
                self.without(one)

    def without(self, one):
        self.running = [target for target in self.running if kind(target.name) != one]
        self.servers = [server for server in self.servers if server != one]

    def fetch(self):
        """A server that can't be had is told, and the others are measured all the same."""
        for one in dict.fromkeys(map(kind, self.names)):
            try:
                # Of servers that run already only etcd's need something: the program that puts loads on them.
                if one == "etcd" or one == "zookeeper" and not self.running:
                    self.member(one)(self.directory).fetch()
            except ServerError as error:
                self.failures.append(f"{one}: {error}")
                print(f"  {one} FAILED: {error}", flush=True)
                self.without(one)

    def member(self, name):
        return etcd_server.Etcd if name == "etcd" else super().member(name)

    def ensemble(self, name, voters, observers=0, settings=None, start=None):
        if name != "etcd":
            return super().ensemble(name, voters, observers, settings, start)
        return self.ensemble_of(name, lambda directory: etcd_server.EtcdEnsemble(name, directory, voters, observers, settings), start)

    def own(self, what):
        """Scenarios that start and end servers can't do that to somebody else's."""
        if self.running:
            raise ServerError(f"{what}: that needs servers which this script started itself; leave out --running")

    def sizes(self, wanted):
        """The sizes that are measured: those of the servers that were running already, where there are any."""
        return sorted({len(target.addresses) for target in self.running}) if self.running else wanted

    def targets(self, voters, observers=0, settings=None):
        """One target a server: a fresh ensemble, or those of so many servers that were running already."""
        if self.running:
            found = [target for target in self.running if len(target.addresses) == voters]
            for target in found:
                self.descriptions[target.name] = target.describe()
                rows.prepare(self.bench, target)
            return found
        return [self.ensemble(name, voters, observers, settings) for name in self.servers]

    def target(self, name, voters):
        """That server alone: a fresh ensemble, or what was running already, whatever its size."""
        if not self.running:
            return self.ensemble(name, voters)
        found = next(target for target in self.running if target.name == name)
        self.descriptions[name] = found.describe()
        rows.prepare(self.bench, found)
        return found

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

    def measure(self, row, target, x, arguments, round_number=1, seconds=None, label=None, keys=KEYS, after=None, **more):
        """One load, recorded. `target`: an Ensemble (all its running members), or anything with addresses and pids. `after`: what else
        is to be known of it, once the load is over."""
        seconds = seconds or self.bench.seconds
        arguments = ["--keys", keys, *arguments, "--warmup", self.bench.warmup, "--seconds", seconds]
        result = self.bench.quietest(lambda: self.counted_load(target, arguments))
        result.update(x=x, label=label, **more, **(after() if after else {}))
        result["value"], result["unit"] = result["operations_per_second"], "op/s"
        result["derived"] = derived(result)
        result["line"] = f"{label or x}: {rows.load_line(result)}"
        return self.bench.record(row, target.name, round_number, result)

    def counted_load(self, target, arguments):
        """One load; its result tells beside what the servers counted meanwhile (`counted`), and the leader's instructions."""
        led = target.led() if hasattr(target, "led") else target
        before = [member.counters() for member in led.members]
        with Instructions(led.pids[0] if self.counts_instructions and led.pids else None) as instructions:
            result = self.bench.load(led, arguments)
        if led.members:
            after = [member.counters() for member in led.members]
            result["counted"] = {**counted(before, after), "members": len(led.members), "knows_leader": led.knows_leader}
        if instructions.count and result.get("replies_total"):
            result["instructions_per_operation"] = instructions.count / result["replies_total"]
        return result

    def notes(self):
        """What is not known, and why: a sentence each."""
        if self.running:
            instructions = ["Instructions per operation are not counted: that can be done on the servers' own hosts only (`perf stat`)."]
        else:
            instructions = [] if self.counts_instructions else [NO_INSTRUCTIONS]
        return [*not_told(self.running, self.bench.results), *instructions]


NO_INSTRUCTIONS = ("Instructions per operation: this machine counts none (`perf stat`), as most virtual machines; perf/instructions.py "
                   "counts those of single operations of the code, with valgrind.")


def counted(before, after):
    """By kind a list, a server an entry: what each counted between the two. None what it doesn't tell, or began anew meanwhile."""
    kinds = dict.fromkeys(kind for one in (*before, *after) for kind in one)
    return {kind: [difference(one.get(kind), other.get(kind)) for one, other in zip(before, after)] for kind in kinds}


def difference(before, after):
    return None if before is None or after is None or after < before else after - before


def syncs(each, operations, seconds, knows_leader=True):
    """Of `each` server's syncs, the leader's first, in so many seconds, with so many operations."""
    found = {}
    for prefix, one, count in (("", "sync", sum(each) if each and None not in each else None),
                               ("leader_", "leader_sync", each[0] if each and knows_leader else None)):
        if count is not None and seconds:
            found[f"{prefix}syncs_per_second"] = count / seconds
            if count:
                found[f"operations_per_{one}"] = operations / count
    return found


def derived(result):
    """Figures that don't hang on how many processors there are."""
    usage, operations = result.get("server") or {}, result["operations"]
    told, replies, rate = result.get("counted", {}), result.get("replies_total"), result["operations_per_second"]
    each, of, knows_leader = usage.get("cpu_seconds_each") or [], operations, told.get("knows_leader", True)
    if told.get("cpu_seconds") and None not in told["cpu_seconds"]:
        # As syncs: of warm-up and window alike, the same load.
        each, of = told["cpu_seconds"], replies
    elif len(each) != told.get("members", len(each)):
        # Of servers that run already the kernel tells only of those on this host.
        each = []
    found = {}
    if of and each:
        found["cpu_us_per_operation"] = sum(each) * 1e6 / of
        if knows_leader:
            found["leader_cpu_us_per_operation"] = each[0] * 1e6 / of
    if replies and rate:
        found.update(syncs(told.get("syncs"), replies, replies / rate, knows_leader))
    if result.get("instructions_per_operation"):
        found["leader_instructions_per_operation"] = result["instructions_per_operation"]
    own = result["generator"]["cpu_seconds"]
    # A load that was cut before its window began has none.
    if result["window_seconds"]:
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


def line(results, row, server, value):
    """A server's line of a chart: medians, with the rounds' ranges."""
    found = {}
    for result in results:
        if (result["row"], result["server"]) == (row, server) and value(result) is not None:
            found.setdefault(result["x"], []).append(value(result))
    ranges = [(x, min(values), max(values)) for x, values in sorted(found.items()) if len(values) > 1]
    return Line(server, series(results, row, server, value), ranges=ranges)


def servers_in(results):
    return list(dict.fromkeys(result["server"] for result in results))


def throughput(result):
    return result["operations_per_second"]


def latency(name):
    return lambda result: result["latency"][name] / 1000


def figure(name):
    return lambda result: result["derived"].get(name)
