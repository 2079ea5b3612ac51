"""Throughput and latency versus the number of sessions."""

from chart import Chart
from scenarios.kit import figure, latency, line, series, servers_in, throughput
from scenarios.sizes import told

NAME = "sessions"
TITLE = "One session to a thousand"
QUESTION = "What do few synchronous clients get, and what do many?"
COUNTS = [1, 10, 100, 1000]
VOTERS = [1, 3]
OPS = ["get", "set"]


def run(kit):
    for voters in kit.sizes(VOTERS):
        kit.tried(f"{voters} voters", lambda voters=voters: of_size(kit, voters))


def of_size(kit, voters):
    targets = kit.targets(voters)
    for round_number in range(1, kit.options.rounds + 1):
        for op in OPS:
            for count in COUNTS:
                for target in targets:
                    load = ["--op", op, "--sessions", count, "--outstanding", 1]
                    kit.measure(f"{op}-{voters}-voters", target, count, load, round_number,
                                label=f"{count} sessions, {op}, {voters} voters")


def writes_per_sync(result):
    """Of the leader's log; None of reads, beside which only what opens and closes sessions is written."""
    return figure("operations_per_leader_sync")(result) if result["row"].startswith("set") else None


def report(results):
    names, rows = servers_in(results), list(dict.fromkeys(result["row"] for result in results))
    charts, table = [], []
    for row in rows:
        title = row.replace("-", " ")
        for value, what in ((throughput, "operations per second"), (latency("p50_us"), "p50, ms")):
            lines = [line(results, row, name, value) for name in names]
            charts.append(Chart(f"{title}, 1 outstanding each", "sessions", what, lines, x_log=True, y_log=True))
        for name in names:
            columns = [dict(series(results, row, name, value)) for value in (
                throughput, latency("p50_us"), latency("p99_us"), figure("cpu_us_per_operation"),
                figure("leader_syncs_per_second"), writes_per_sync)]
            table += [[title, name, count, *(told(column[count]) for column in columns)] for count in sorted(columns[0])]
    header = ["load", "server", "sessions", "operations/s", "p50 ms", "p99 ms", "CPU µs per operation", "leader's syncs/s",
              "writes per sync"]
    return charts, [("Figures", header, table)]
