"""From results to the table: medians, ratios, and whether what the table of the issue asks for was reached.

Used by compare.py. Pure: results in, Markdown and CSV out.
"""

import csv
import io
import statistics

SERVERS = ["zookeeper", "ringkeeper", "floor"]


def median(values):
    return statistics.median(values) if values else None


class Table:
    """The results of one run, by row and server."""

    def __init__(self, rows, results):
        self.rows = rows
        self.results = results

    def of(self, row, server, **where):
        return [
            result for result in self.results
            if result["row"] == row and result["server"] == server
            and all(result.get(key) == value for key, value in where.items())
        ]

    def value(self, row, server, **where):
        return median([r["value"] for r in self.of(row, server, **where) if r.get("value") is not None])

    def cell(self, row, server, **where):
        """Median, and the range if there were several rounds."""
        results = [r for r in self.of(row, server, **where) if r.get("value") is not None]
        if not results:
            return "–"
        values = [r["value"] for r in results]
        text = f"{number(median(values))} {results[0]['unit']}"
        if len(values) > 1:
            text += f" ({number(min(values))} to {number(max(values))})"
        return text + marks(results)

    def per_cpu(self, row, server):
        usages = [result.get("server_usage") or {} for result in self.of(row, server)]
        values = [usage["operations_per_cpu_second"] for usage in usages if usage.get("operations_per_cpu_second")]
        return number(median(values)) if values else "–"



def marks(results):
    """What has to be known of a figure that comes from these."""
    return "".join(mark for name, mark in (("noisy", " ~"), ("errors", " **errors**"), ("partial", " **in part**"))
                   if any(result.get(name) for result in results))


def number(value):
    if value >= 10_000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


# name: (must: sentence, predicate; aim: sentence, predicate). A predicate takes (ringkeeper, zookeeper, floor).
REQUIREMENTS = {
    "get32x16": (("6 × ZooKeeper", lambda r, z, f: r >= 6 * z), ("0.7 of the floor", lambda r, z, f: r >= 0.7 * f)),
    "get1x1": (("≤ 1/4 of ZooKeeper's", lambda r, z, f: r <= z / 4), ("≤ 1.4 × the floor", lambda r, z, f: r <= 1.4 * f)),
    "set32x16": (("4 × ZooKeeper", lambda r, z, f: r >= 4 * z), ("8 × ZooKeeper", lambda r, z, f: r >= 8 * z)),
    "set1x1": (("≤ 0.65 of ZooKeeper's", lambda r, z, f: r <= 0.65 * z),
               ("≤ 1.2 × the floor", lambda r, z, f: r <= 1.2 * f)),
    "get16x1": (("2 × ZooKeeper", lambda r, z, f: r >= 2 * z), ("0.85 of the floor", lambda r, z, f: r >= 0.85 * f)),
    "set16x1": (("2 × ZooKeeper", lambda r, z, f: r >= 2 * z), ("0.85 of the floor", lambda r, z, f: r >= 0.85 * f)),
    "million": (("≤ 350 MB", lambda r, z, f: r <= 350), ("≤ 250 MB", lambda r, z, f: r <= 250)),
    "restart": (("≤ 0.8 s", lambda r, z, f: r <= 0.8), ("≤ 0.3 s", lambda r, z, f: r <= 0.3)),
    "restart5": (("≤ 0.8 s", lambda r, z, f: r <= 0.8), ("≤ 0.3 s", lambda r, z, f: r <= 0.3)),
    "snapshot": (("≥ 70 % of without", lambda r, z, f: r >= 0.7), ("≥ 95 %", lambda r, z, f: r >= 0.95)),
}


def verdict(requirement, ringkeeper, zookeeper, floor):
    """One requirement in words: reached, missed, or what is lacking to tell."""
    sentence, holds = requirement
    try:
        return f"{sentence}: {'reached' if holds(ringkeeper, zookeeper, floor) else 'MISSED'}"
    except TypeError:
        return f"{sentence}: not measured"


def ratio(ringkeeper, other):
    return f"{ringkeeper / other:.2f}" if ringkeeper is not None and other else "–"


def markdown(table):
    lines = [
        "| work | Apache ZooKeeper | Ringkeeper | floor | Ringkeeper / ZooKeeper | Ringkeeper / floor | must | aim |",
        "|---|---|---|---|---|---|---|---|",
    ]
    measured = {result["row"] for result in table.results}
    for row in table.rows:
        if row.name not in measured or row.name not in REQUIREMENTS:
            continue
        values = [table.value(row.name, server) for server in ("ringkeeper", "zookeeper", "floor")]
        must, aim = REQUIREMENTS[row.name]
        cells = [table.cell(row.name, server) for server in SERVERS]
        cells += [ratio(values[0], values[1]), ratio(values[0], values[2])]
        noisy = any(r.get("noisy") for r in table.results if r["row"] == row.name)
        cells += [verdict(must, *values) + " ~" * noisy, verdict(aim, *values) + " ~" * noisy]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    lines += ["", "Medians of the rounds, their range in brackets; ~ marks what other work on the machine may have changed.",
              "Round 0 of `raw.csv` is a probe of the capacity for the open loop."]
    lines += per_cpu(table, measured) + memory(table) + open_loop(table) + snapshots(table) + instructions(table)
    return "\n".join(lines) + "\n"


def per_cpu(table, measured):
    rows = [row for row in table.rows if row.kind == "closed" and row.name in measured]
    if not rows:
        return []
    lines = ["", "## Operations per CPU-second of the server", "", "| work | Apache ZooKeeper | Ringkeeper | floor |",
             "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.title} | " + " | ".join(table.per_cpu(row.name, server) for server in SERVERS) + " |")
    return lines


def memory(table):
    results = [result for result in table.results if result["row"] == "million"]
    if not results:
        return []
    lines = ["", "## A million znodes: resident memory", "",
             "| server | empty, anonymous | filled, anonymous | after 10 s, anonymous | file-backed | peak | time to fill |",
             "|---|---|---|---|---|---|---|"]
    for result in results:
        cells = [result["empty"]["anonymous"], result["filled"]["anonymous"], result["settled"]["anonymous"],
                 result["settled"]["file"], result["settled"]["peak"]]
        lines.append(f"| {result['server']} | " + " | ".join(f"{cell / 1e6:.0f} MB" for cell in cells)
                     + f" | {result['fill_seconds']:.1f} s |")
    return lines


def open_loop(table):
    results = [result for result in table.results if result["row"] == "openloop"]
    if not results:
        return []
    lines = ["", "## Open loop of sets over snapshots, log rolls and purges", "",
             "Latency from the intended start. *late* is the generator's own share: how long after its intended start a "
             "request was handed to the socket, at the 99.9th percentile.", "",
             "| server | rate | p50 | p99 | p99.9 | max | late | snapshots | log files begun | files removed | errors |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for result in results:
        latency = result["latency"]
        cells = [f"{result['rate']:,.0f}/s ({result['rate_of']})"]
        cells += [f"{latency[key]:,.0f} µs" for key in ("p50_us", "p99_us", "p999_us", "max_us")]
        cells += [f"{result['sent_late']['p999_us']:,.0f} µs", str(len(result["snapshots"]))]
        cells += [str(result["log_files_begun"]), str(result["files_removed"]), str(result["errors"] or "none")]
        lines.append(f"| {result['server']}{marks([result])} | " + " | ".join(cells) + " |")
    lines.append("")
    for label in dict.fromkeys(result["rate_of"] for result in results):
        own = table.of("openloop", "ringkeeper", rate_of=label)
        java = table.of("openloop", "zookeeper", rate_of=label)
        if not own:
            continue
        p999, p50 = median([r["latency"]["p999_us"] for r in own]), median([r["latency"]["p50_us"] for r in own])
        p99 = median([r["latency"]["p99_us"] for r in java])
        must = verdict(("p99.9 below ZooKeeper's p99", lambda r, z, f: r < z), p999, p99, None)
        aim = verdict(("p99.9 ≤ 3 × its own p50", lambda r, z, f: r <= 3 * p50), p999, p99, None)
        lines.append(f"- {label}: {must}; {aim}.")
    return lines


def snapshots(table):
    lines = []
    for result in (result for result in table.results if result["row"] == "snapshot"):
        lengths = ", ".join(f"{length:.1f} s" for length in result["snapshot_seconds"]) or "none begun"
        late = [length for length in result["snapshot_seconds"] if length > 60]
        limit = "" if not late else "; longer than 60 s: MISSED"
        lines.append(f"- {result['server']}: snapshots during the load took {lengths}{limit}; "
                     f"{result['seconds_inside']:.1f} s with, {result['seconds_outside']:.1f} s without.")
    return ["", "## Snapshots of the million while sets went on", "", *lines] if lines else []


def instructions(table):
    results = [result for result in table.results if result["row"] == "instructions"]
    if not results:
        return []
    lines = ["", "## Instructions per get (32 × 16)", "", "| server | threads | user | kernel | op/s |", "|---|---|---|---|---|"]
    for result in results:
        lines.append(f"| {result['server']}, {result['shards']} | {result['server_usage']['threads']} | "
                     f"{result['user_instructions_per_read']:.0f} | "
                     f"{result['kernel_instructions_per_read']:.0f} | {result['operations_per_second']:,.0f} |")
    own = [r["user_instructions_per_read"] for r in results if r["server"] == "ringkeeper"]
    threads = {r["server_usage"]["threads"] for r in results if r["server"] == "ringkeeper"}
    if len(own) > 1 and len(threads) == 1:
        lines += ["", "Flatness not measured: Ringkeeper ran as many threads at each setting, so it didn't heed "
                      "`ringkeeper.shards`."]
    elif len(own) > 1:
        spread = max(own) / min(own) - 1
        lines += ["", f"Spread over the numbers of shards: {spread:.1%} of user instructions "
                      f"({'flat' if spread <= 0.1 else 'NOT flat'}; flat is up to 10 %)."]
    return lines


def as_csv(results):
    """One line a measurement."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "server", "round", "value", "unit", "operations_per_second", "p50_us", "p99_us", "p999_us",
                     "max_us", "server_cpu_seconds", "generator_cpu_seconds", "noise", "errors"])
    for result in results:
        latency = result.get("latency", {})
        writer.writerow([
            result["row"], result["server"], result["round"], result.get("value"), result.get("unit"),
            result.get("operations_per_second"), latency.get("p50_us"), latency.get("p99_us"), latency.get("p999_us"),
            latency.get("max_us"), (result.get("server_usage") or {}).get("cpu_seconds"),
            result.get("generator", {}).get("cpu_seconds"), result.get("noise"), sum((result.get("errors") or {}).values()),
        ])
    return out.getvalue()
