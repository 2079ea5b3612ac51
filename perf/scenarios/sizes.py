"""Write throughput and latency versus ensemble size."""

from chart import Chart
from scenarios.kit import figure, latency, line, series, servers_in, throughput

NAME = "sizes"
TITLE = "Writes versus ensemble size"
QUESTION = "What does a voter more cost in throughput, in latency, and in the leader's processor time?"
SIZES = [1, 3, 5, 7, 9]
FULL, ALONE = "set-32x16", "set-1x1"


def run(kit):
    for size in kit.sizes(SIZES):
        kit.tried(f"{size} voters", lambda size=size: of_size(kit, size))


def of_size(kit, size):
    targets = kit.targets(size)
    for round_number in range(1, kit.options.rounds + 1):
        for target in targets:
            load = ["--op", "set", "--sessions", 32, "--outstanding", 16]
            kit.measure(FULL, target, size, load, round_number, label=f"{size} voters")
            load = ["--op", "set", "--sessions", 1, "--outstanding", 1]
            kit.measure(ALONE, target, size, load, round_number, label=f"{size} voters")


def report(results):
    names = servers_in(results)

    def lines(row, value):
        return [line(results, row, name, value) for name in names]

    charts = [
        Chart("set, 32 sessions × 16 outstanding", "voters", "writes per second", lines(FULL, throughput)),
        Chart("set, 1 × 1, median latency", "voters", "ms", lines(ALONE, latency("p50_us"))),
        Chart("leader's processor time per write, 32 × 16", "voters", "µs",
              lines(FULL, figure("leader_cpu_us_per_operation"))),
        Chart("writes per sync of the leader's log, 32 × 16", "voters", "writes", lines(FULL, figure("operations_per_leader_sync"))),
    ]
    header = ["server", "voters", "writes/s", "p50 ms", "p99 ms", "1 × 1 p50 ms", "1 × 1 p99 ms",
              "leader's CPU µs per write", "all members' CPU µs per write", "leader's syncs/s", "writes per sync"]
    table = []
    for name in names:
        columns = [dict(series(results, row, name, value)) for row, value in (
            (FULL, throughput), (FULL, latency("p50_us")), (FULL, latency("p99_us")), (ALONE, latency("p50_us")),
            (ALONE, latency("p99_us")), (FULL, figure("leader_cpu_us_per_operation")),
            (FULL, figure("cpu_us_per_operation")), (FULL, figure("leader_syncs_per_second")),
            (FULL, figure("operations_per_leader_sync")))]
        for size in sorted(columns[0]):
            table.append([name, size, *(told(column.get(size)) for column in columns)])
    return charts, [("Figures", header, table), ("What a voter more costs the leader", *slopes(results, names))]


def slopes(results, names):
    """Least squares over the sizes from 3 on: a lone server has no followers to send to."""
    lines = []
    for name in names:
        points = series(results, FULL, name, figure("leader_cpu_us_per_operation"))
        points = [(x, y) for x, y in points if x >= 3 and y is not None]
        lines.append([name, told(slope(points))])
    return ["server", "µs of the leader's CPU per write and voter, 32 × 16"], lines


def slope(points):
    """Of the line through the points with the least squares; None for fewer than two."""
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def told(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
