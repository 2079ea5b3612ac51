"""Throughput versus the share of reads."""

import rows
from chart import Chart
from scenarios.kit import figure, latency, line, series, servers_in, throughput
from scenarios.sizes import told

NAME = "ratios"
TITLE = "Throughput versus the share of reads"
QUESTION = "How does throughput grow from writes only to reads only, with small and larger data, on 3 and 5 voters?"
SHARES = [0, 0.25, 0.5, 0.75, 0.9, 0.99, 1]
VOTERS = [3, 5]
BYTES = [100, 1024]


def run(kit):
    for voters in kit.sizes(VOTERS):
        kit.tried(f"{voters} voters", lambda voters=voters: of_size(kit, voters))


def of_size(kit, voters):
    targets = kit.targets(voters)
    for size in BYTES:
        for target in targets:
            # Every key: a load of sets, however long, leaves some out, and each read of those would be an error.
            rows.prepare(kit.bench, target, size)
        for round_number in range(1, kit.options.rounds + 1):
            for share in SHARES:
                for target in targets:
                    load = ["--op", op(share), "--sessions", 32, "--outstanding", 16, "--bytes", size]
                    kit.measure(row(voters, size), target, share * 100, load, round_number,
                                label=f"{share:.0%} reads, {size} B, {voters} voters")


def op(share):
    return {0: "set", 1: "get"}.get(share, f"mixed:{share}")


def row(voters, size):
    return f"{voters}-voters-{size}-bytes"


def writes_per_sync(result):
    """Of the leader's log; None of reads alone."""
    operations, writes = figure("operations_per_leader_sync")(result), 1 - result["x"] / 100
    return operations * writes if operations and writes else None


def report(results):
    names, kinds = servers_in(results), list(dict.fromkeys(result["row"] for result in results))
    charts, table = [], []
    for one in kinds:
        lines = [line(results, one, name, throughput) for name in names]
        charts.append(Chart(one.replace("-", " "), "share of reads, %", "operations per second", lines, y_log=True))
        for name in names:
            columns = [dict(series(results, one, name, value)) for value in (
                throughput, latency("p50_us"), latency("p99_us"), figure("cpu_us_per_operation"),
                figure("leader_syncs_per_second"), writes_per_sync)]
            table += [[one.replace("-", " "), name, f"{share:g} %", *(told(column[share]) for column in columns)]
                      for share in sorted(columns[0])]
    header = ["ensemble and data", "server", "reads", "operations/s", "p50 ms", "p99 ms", "CPU µs per operation",
              "leader's syncs/s", "writes per sync"]
    return charts, [("Figures", header, table)]
