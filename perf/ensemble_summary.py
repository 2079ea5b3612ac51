"""From the ensembles' results to their table. Pure; medians, cells and CSV are summary.py's.

Used by ensemble.py.
"""

from summary import marks, median, number, ratio, verdict

# row: (must, aim); a predicate takes (ringkeeper, zookeeper, floor). Rows without are stated, not judged.
REQUIREMENTS = {
    "set3": (("5 × ZooKeeper", lambda r, z, f: r >= 5 * z), ("10 × ZooKeeper", lambda r, z, f: r >= 10 * z)),
    "set5": (("6 × ZooKeeper", lambda r, z, f: r >= 6 * z), ("12 × ZooKeeper", lambda r, z, f: r >= 12 * z)),
    "set1": (("≤ 0.5 of ZooKeeper's", lambda r, z, f: r <= 0.5 * z),
             ("≤ 1.3 × the floor", lambda r, z, f: r <= 1.3 * f)),
    "percpu": (("6 × ZooKeeper", lambda r, z, f: r >= 6 * z), ("12 × ZooKeeper", lambda r, z, f: r >= 12 * z)),
    "mixed3": (("8 × ZooKeeper", lambda r, z, f: r >= 8 * z), ("12 × ZooKeeper", lambda r, z, f: r >= 12 * z)),
    "kill": (("≤ 80 ms", lambda r, z, f: r <= 80), ("≤ 25 ms", lambda r, z, f: r <= 25)),
    "stop": (("≤ 100 ms", lambda r, z, f: r <= 100), ("≤ 30 ms", lambda r, z, f: r <= 30)),
}
TABLE_ROWS = ["set3", "set5", "set1", "set1f", "percpu", "mixed3", "get3", "kill", "stop"]


def floor_microseconds(table):
    """Two round trips over loopback and the sync of a quorum of three, all of the same run; None if not measured."""
    hop, sync = table.value("hop", "floor"), table.value("syncers", "floor")
    return None if hop is None or sync is None else 2 * hop + sync


def operations_per_cpu(table, server):
    usages = [result.get("server_usage") or {} for result in table.of("set3", server)]
    return median([usage["operations_per_cpu_second"] for usage in usages if usage.get("operations_per_cpu_second")])


def slope(points):
    """Least squares through (x, y): (slope, value at x = 0). None without two different x."""
    count = len(points)
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    steep = (sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points))
    return steep, mean_y - steep * mean_x


def points(table, row, server):
    return [(result["count"], result["value"]) for result in table.of(row, server)]


def markdown(table):
    titles = {row.name: row.title for row in table.rows}
    titles["percpu"] = "operations per CPU-second of all servers, set, 3 voters"
    lines = ["| work | Apache ZooKeeper | Ringkeeper | floor | Ringkeeper / ZooKeeper | must | aim |",
             "|---|---|---|---|---|---|---|"]
    measured = {result["row"] for result in table.results}
    for name in TABLE_ROWS:
        source = "set3" if name == "percpu" else name
        if source in measured:
            lines.append(table_line(table, name, source, titles[name]))
    lines += ["", "Medians of the rounds, their range in brackets; ~ marks what other work on the machine may have changed."]
    lines += floors(table, measured) + slopes(table, measured) + lost(table, measured) + open_loop(table)
    return "\n".join(lines) + "\n"


def table_line(table, name, source, title):
    if name == "percpu":
        zookeeper, ringkeeper = (operations_per_cpu(table, server) for server in ("zookeeper", "ringkeeper"))
        cells = ["–" if value is None else f"{number(value)} op/CPU-s" for value in (zookeeper, ringkeeper)]
    else:
        zookeeper, ringkeeper = (table.value(source, server) for server in ("zookeeper", "ringkeeper"))
        cells = [table.cell(source, server) for server in ("zookeeper", "ringkeeper")]
    floor = floor_microseconds(table) if name in ("set1", "set1f") else None
    cells += ["–" if floor is None else f"{number(floor)} µs", ratio(ringkeeper, zookeeper)]
    noisy = " ~" * any(result.get("noisy") for result in table.results if result["row"] == source)
    judged = REQUIREMENTS.get(name)
    cells += [verdict(one, ringkeeper, zookeeper, floor) + noisy for one in judged] if judged else ["stated", ""]
    return f"| {title} | " + " | ".join(cells) + " |"


def floors(table, measured):
    if not {"hop", "syncers"} & measured:
        return []
    lines = ["", "## Floor of a single write", "",
             f"- A round trip over loopback (1 × 1 get from the floor server): {table.cell('hop', 'floor')}.",
             f"- Three processes append and sync at once, until two of them have: {table.cell('syncers', 'floor')}."]
    everyone = median([result["all_us"] for result in table.of("syncers", "floor")])
    if everyone is not None:
        lines.append(f"- Until all three have: {number(everyone)} µs.")
    floor = floor_microseconds(table)
    if floor is not None:
        lines.append(f"- Two round trips and the sync of two: {number(floor)} µs, the floor in the table.")
    return lines


def slopes(table, measured):
    if not {"followers", "observers"} & measured:
        return []
    lines = ["", "## Leader's CPU per write", "",
             "At one rate for every count, low enough that each write is alone, all sessions at the leader. Medians; the slope is "
             "that of least squares through all measurements.", "", "| server | of | rate | per count | slope per member | at none |", "|---|---|---|---|---|---|"]
    found = {}
    for server in ("zookeeper", "ringkeeper"):
        for row in ("followers", "observers"):
            results = table.of(row, server)
            if not results:
                continue
            counts = sorted({result["count"] for result in results})
            each = ", ".join(f"{count}: {table.value(row, server, count=count):.2f}" for count in counts)
            line = slope(points(table, row, server))
            told = ("–", "–") if line is None else (f"{line[0]:.2f} µs", f"{line[1]:.2f} µs")
            noisy = " ~" * any(result.get("noisy") for result in results)
            lines.append(f"| {server}{noisy} | {row} | {results[0]['rate']:,.0f}/s | {each} | {told[0]} | {told[1]} |")
            if line is not None:
                found[server, row] = line[0]
    own = found.get(("ringkeeper", "observers")), found.get(("ringkeeper", "followers"))
    if None not in own:
        judged = "reached" if own[0] <= 0.6 * own[1] else "MISSED"
        if min(own) <= 0:
            judged = "not told: no member costs less than nothing, so noise is larger than the slopes"
        lines += ["", f"An observer costs {own[0]:.2f} µs a write, a follower {own[1]:.2f}: ≤ 0.6 of a follower: {judged}."]
    return lines


def lost(table, measured):
    lines = []
    for row in ("kill", "stop"):
        for server in ("zookeeper", "ringkeeper"):
            results = table.of(row, server)
            if results:
                values = ", ".join(number(value) for value in sorted(result["value"] for result in results))
                everyone = median([result["all_clients_ms"] for result in results])
                closed = median([r["leader_hung_up_ms"] for r in results if r.get("leader_hung_up_ms") is not None])
                sessions = sum(client["sessions_lost"] for result in results for client in result["clients"])
                lines.append(f"| {row} | {server} | {len(results)} | {table.cell(row, server)} | {number(everyone)} ms | "
                             f"{values} | {'–' if closed is None else number(closed) + ' ms'} | {sessions} |")
    if not lines:
        return []
    return ["", "## Leader lost", "",
            "From the signal until one, or each, of the two survivors' clients had a write acknowledged again; for `stop` "
            "beyond syncLimit × tickTime. A killed process's sockets close when the kernel has taken its memory apart.", "",
            "| row | server | times | first client | all clients, median | every value, ms | leader's sockets closed, median "
            "| sessions lost |", "|---|---|---|---|---|---|---|---|", *lines]


def open_loop(table):
    results = [result for result in table.results if result["row"] == "openloop"]
    if not results:
        return []
    lines = ["", "## Open loop of sets over snapshots and segment rolls, 3 voters", "",
             "Latency from the intended start; *late* is the generator's own share at the 99.9th percentile.", "",
             "| server | rate | p50 | p99 | p99.9 | max | late | snapshots | log files begun | errors |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for result in results:
        latency = result["latency"]
        cells = [f"{result['rate']:,.0f}/s ({result['rate_of']})"]
        cells += [f"{latency[key]:,.0f} µs" for key in ("p50_us", "p99_us", "p999_us", "max_us")]
        cells += [f"{result['sent_late']['p999_us']:,.0f} µs", str(len(result["snapshots"]))]
        cells += [str(result["log_files_begun"]), str(result["errors"] or "none")]
        lines.append(f"| {result['server']}{marks([result])} | " + " | ".join(cells) + " |")
    lines.append("")
    java = [result["latency"]["p99_us"] for result in table.of("openloop", "zookeeper")]
    for label in dict.fromkeys(result["rate_of"] for result in table.of("openloop", "ringkeeper")):
        own = table.of("openloop", "ringkeeper", rate_of=label)
        p999, p50 = median([r["latency"]["p999_us"] for r in own]), median([r["latency"]["p50_us"] for r in own])
        below = ("p99.9 below ZooKeeper's p99 at half of its capacity", lambda r, z, f: r < z)
        must = verdict(below, p999, median(java), None)
        aim = verdict(("p99.9 ≤ 3 × its own p50", lambda r, z, f: r <= 3 * p50), p999, 0, None)
        lines.append(f"- Ringkeeper at {label}: {must}; {aim}.")
    return lines
