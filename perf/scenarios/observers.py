"""Reads versus observers, and what they cost writes."""

import etcd_server
from chart import Chart
from scenarios.kit import figure, latency, line, series, servers_in, throughput
from scenarios.sizes import slope, told
from servers import ServerError

NAME = "observers"
TITLE = "Reads versus observers"
QUESTION = "How many more reads does an observer serve, and what do writes pay for it?"
VOTERS, OBSERVERS_MAX = 3, 6
WITHOUT = {"etcd": etcd_server.OBSERVERS}
ORDER = "one server after the other"
READS, WRITES, ALONE = "get-32x16", "set-32x16", "set-1x1"


def run(kit):
    for target in kit.running:
        kit.tried(f"{target.name}, {len(target.observers)} observers that run", lambda target=target: running(kit, target))
    for name in kit.servers:
        kit.tried(f"{name}, 0 to {OBSERVERS_MAX} observers", lambda name=name: of(kit, name))


def of(kit, name):
    """One ensemble: all its observers are listed, and started one after the other."""
    ensemble = kit.ensemble(name, VOTERS, OBSERVERS_MAX)
    observers = ensemble.members[VOTERS:]
    for round_number in range(1, kit.options.rounds + 1):
        for observer in observers:
            observer.stop(hard=True)
        for count in range(OBSERVERS_MAX + 1):
            if count:
                ensemble.launch(observers[count - 1])
                observers[count - 1].wait()
                kit.warm_member(ensemble, observers[count - 1])
            for row, load in (
                (READS, ["--op", "get", "--sessions", 32, "--outstanding", 16]),
                (WRITES, ["--op", "set", "--sessions", 32, "--outstanding", 16]),
                (ALONE, ["--op", "set", "--sessions", 1, "--outstanding", 1]),
            ):
                kit.measure(row, ensemble, count, load, round_number, label=f"{count} observers")


def running(kit, target):
    """Somebody else's observers are there all the time: reads go to more and more of them, writes pay for all of them at once."""
    if not target.observers:
        raise ServerError(f"{target.name} has no observers: name them behind the voters, --running {target.name}=VOTER,…+OBSERVER,…")
    target, most = kit.target(target.name, len(target.addresses)), len(target.observers)
    for round_number in range(1, kit.options.rounds + 1):
        for count in range(most + 1):
            load = ["--op", "get", "--sessions", 32, "--outstanding", 16]
            kit.measure(READS, target.beside(count), count, load, round_number, label=f"{count} observers")
        for row, sessions, outstanding in ((WRITES, 32, 16), (ALONE, 1, 1)):
            load = ["--op", "set", "--sessions", sessions, "--outstanding", outstanding]
            kit.measure(row, target, most, load, round_number, label=f"{most} observers")


def report(results):
    names = servers_in(results)

    def lines(row, value):
        return [line(results, row, name, value) for name in names]

    per_read = figure("cpu_us_per_operation")
    charts = [
        Chart("get, 32 × 16", "observers beside the voters", "reads per second", lines(READS, throughput)),
        Chart("set, 32 × 16", "observers beside the voters", "writes per second", lines(WRITES, throughput)),
        Chart("set, 1 × 1, median latency", "observers beside the voters", "ms", lines(ALONE, latency("p50_us"))),
        Chart("processor time per read, all members", "observers beside the voters", "µs", lines(READS, per_read)),
    ]
    header = ["server", "observers", "reads/s", "CPU µs per read", "reads/s with a processor for each member",
              "writes/s", "1 × 1 p50 ms", "leader's CPU µs per write", "leader's syncs/s", "writes per sync"]
    table = []
    for name in names:
        reads, cpu, writes, alone, leader, syncs, each = (dict(series(results, row, name, value)) for row, value in (
            (READS, throughput), (READS, per_read), (WRITES, throughput), (ALONE, latency("p50_us")),
            (WRITES, figure("leader_cpu_us_per_operation")), (WRITES, figure("leader_syncs_per_second")),
            (WRITES, figure("operations_per_leader_sync"))))
        for count in sorted(reads):
            # Each member serves its own sessions' reads: on hosts of their own each has a processor for them.
            apart = (VOTERS + count) * 1e6 / cpu[count] if cpu.get(count) else None
            others = (column.get(count) for column in (writes, alone, leader, syncs, each))
            table.append([name, count, *(told(value) for value in (reads[count], cpu.get(count), apart, *others))])
    slopes = [[name, told(slope([(x, y) for x, y in series(results, WRITES, name, figure("leader_cpu_us_per_operation"))
                                 if y is not None]))] for name in names]
    return charts, [("Figures", header, table),
                    ("What an observer more costs the leader", ["server", "µs of CPU per write and observer"], slopes)]
