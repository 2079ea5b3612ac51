"""Latency versus offered load, and where it turns up."""

from chart import Chart
from scenarios.kit import figure, latency, line, median, series, servers_in, throughput
from scenarios.sizes import told

NAME = "offered"
TITLE = "Latency versus offered load, three voters"
QUESTION = "Up to which rate are writes answered in time, counted from when each was due?"
VOTERS = 3
ROW = "set-open"
ORDER = "one server after the other"
SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
# The knee: the last rate whose p99 is at most so many times that of the lowest rate, and of which so much is answered.
KNEE_FACTOR, KNEE_ANSWERED = 3, 0.98


def run(kit):
    # Each in a part of its own: one that can't go on keeps nobody else from being measured.
    for name in kit.names:
        kit.tried(name, lambda name=name: of(kit, name))


def of(kit, name):
    target = kit.target(name, VOTERS)
    full = kit.measure("set-32x16", target, 0, ["--op", "set", "--sessions", 32, "--outstanding", 16],
                       label="closed loop, 32 × 16")["operations_per_second"]
    for round_number in range(1, kit.options.rounds + 1):
        for share in SHARES:
            rate = round(full * share)
            load = ["--op", "set", "--sessions", 32, "--rate", rate]
            kit.measure(ROW, target, rate, load, round_number, label=f"{share:.0%} of {full:.0f}/s")


def knee(points):
    """`points`: (rate, p99, answered per second) by rising rate. The last rate before latency turns up; None without one."""
    if not points:
        return None
    limit, found = points[0][1] * KNEE_FACTOR, None
    for rate, p99, answered in points:
        if p99 > limit or answered < rate * KNEE_ANSWERED:
            break
        found = rate
    return found


def report(results):
    names = servers_in(results)
    charts, marks, table, knees = [], [], [], []
    for name in names:
        p50, p99, p999, answered, syncs, each = (series(results, ROW, name, value) for value in (
            latency("p50_us"), latency("p99_us"), latency("p999_us"), throughput, figure("leader_syncs_per_second"),
            figure("operations_per_leader_sync")))
        points = [(rate, high, got) for (rate, high), (_, got) in zip(p99, answered)]
        at = knee(points)
        knees.append([name, told(at), told(median([y for x, y in p99 if x == at]))])
        if at is not None:
            marks.append((at, f"knee, {name}"))
        for (rate, got), *others in zip(answered, p50, p99, p999, syncs, each):
            table.append([name, told(rate), told(got), *(told(value) for _, value in others)])
    for title, value in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")):
        lines = [line(results, ROW, name, latency(value)) for name in names]
        charts.append(Chart(f"set, {title} from the intended start", "offered, writes per second", "ms", lines,
                            x_log=True, y_log=True, marks=marks))
    header = ["server", "offered/s", "answered/s", "p50 ms", "p99 ms", "p99.9 ms", "leader's syncs/s", "writes per sync"]
    return charts, [("The knee", ["server", "writes/s", "p99 ms there"], knees), ("Figures", header, table)]
