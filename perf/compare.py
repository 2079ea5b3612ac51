#!/usr/bin/env python3
"""Measures Apache ZooKeeper, Ringkeeper and the floor side by side, and says what was reached.

Rows are those of rows.py. Rounds are interleaved (ZooKeeper, Ringkeeper, floor, ZooKeeper, …), so that a machine that
changes its pace does so for all. The result is a folder perf/runs/<date>-<machine>/ with README.md (what, where, how),
index.html, summary.md, raw.csv and raw/ (each measurement whole). See perf/README.md. Needs python3 only; ZooKeeper needs a JDK and
Maven.

Exit codes: 0 measured; 1 measured, with errors in some load or with rows that failed; 2 not measured.
"""

import argparse
import datetime
import pathlib
import sys

import machine
import page
import results
import rows
import servers
import summary
from servers import ROOT, ServerError

SHARDS = [1, 2, 4, 8]
WARM_SECONDS_ZOOKEEPER = 24


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [row.name for row in rows.ROWS]
    parser.add_argument("--rows", default=",".join(names), help=f"which rows, of {', '.join(names)}")
    parser.add_argument("--servers", default=",".join(summary.SERVERS), help="which of zookeeper, ringkeeper, floor")
    parser.add_argument("--rounds", type=int, default=5,
                        help="rounds of the closed-loop rows, and restarts (default 5)")
    parser.add_argument("--seconds", type=float, default=8, help="measured window of each closed-loop load (default 8)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 3 s, short long rows: a look, not a result")
    parser.add_argument("--zookeeper", default="3.9.5", metavar="VERSION", help="Apache ZooKeeper's version")
    parser.add_argument("--zookeeper-heap", default="4g", metavar="SIZE", help="its -Xmx (default 4g)")
    parser.add_argument("--shards", type=int, help="ringkeeper.shards (default: the server decides)")
    parser.add_argument("--dir", default=ROOT / "target" / "perf-data", help="data directories; on a real disk")
    parser.add_argument("--out", help="folder of the result (default perf/runs/<date>-<machine>)")
    parser.add_argument("--noise", type=float, default=0.08,
                        help="share of the machine that others may use in a good measurement (default 0.08)")
    parser.add_argument("--quiet-wait", type=float, default=30,
                        help="seconds to wait for a quiet machine before each measurement (default 30)")
    parser.add_argument("--retries", type=int, default=1, help="repeats of a noisy measurement (default 1)")
    parser.add_argument("--binaries", default=ROOT / "target" / "release", help="folder of the release binaries")
    options = parser.parse_args()
    options.binaries = pathlib.Path(options.binaries).resolve()
    options.rows = options.rows.split(",")
    options.servers = options.servers.split(",")
    for given, known in ((options.rows, names), (options.servers, summary.SERVERS)):
        for name in given:
            if name not in known:
                parser.error(f"{name!r} is none of {', '.join(known)}")
    if options.quick:
        options.rounds, options.seconds = min(options.rounds, 2), min(options.seconds, 3)
    return options


class Comparison:
    """The servers of one run, and the rows in their order."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.load_binary = pathlib.Path(options.binaries) / "ringkeeper-load"
        self.directory = pathlib.Path(options.dir).resolve()
        warmup = 1 if options.quick else 2
        self.bench = rows.Bench(self.load_binary, folder / "raw", options.seconds, warmup, options.noise,
                                options.quiet_wait, options.retries)
        self.servers = [self.make(name) for name in options.servers]
        # Rows that could not be measured, and why.
        self.failures = []

    def make(self, name):
        if name == "zookeeper":
            version, heap = self.options.zookeeper, self.options.zookeeper_heap
            return servers.ZooKeeper(self.directory, self.load_binary, version, heap)
        if name == "ringkeeper":
            binary = pathlib.Path(self.options.binaries) / "ringkeeper"
            return servers.Ringkeeper(self.directory, self.load_binary, binary, self.options.shards)
        return servers.Floor(self.directory, self.load_binary)

    def selected(self, kind):
        return [row for row in rows.ROWS if row.kind == kind and row.name in self.options.rows]

    def real_servers(self):
        return [server for server in self.servers if server.name != "floor"]

    def run(self):
        for server in self.servers:
            if server.name == "zookeeper":
                server.fetch()
        try:
            self.start_all()
            self.measure()
        finally:
            for server in self.servers:
                server.stop(hard=True)

    def measure(self):
        """All rows, by kind. What can't be measured is told; the others are, all the same."""
        for what, rows_of_kind in (("closed loops", self.closed), ("instructions", self.instructions), ("open loop", self.open_loop),
                                   ("a million znodes", self.million_rows)):
            try:
                rows_of_kind()
            except ServerError as error:
                self.failures.append(f"{what}: {error}")
                print(f"NOT MEASURED: {self.failures[-1]}", flush=True)

    def start_all(self):
        for server in self.servers:
            server.clear()
            print(f"{server.name}: started in {server.start():.2f} s", flush=True)
            rows.prepare(self.bench, server)
        if self.selected("closed") or self.selected("open") or self.selected("instructions"):
            for server in self.servers:
                rows.warm(self.bench, server, WARM_SECONDS_ZOOKEEPER if server.name == "zookeeper" else 3)

    def closed(self):
        for round_number in range(1, self.options.rounds + 1):
            for row in self.selected("closed"):
                for server in self.servers:
                    rows.closed(self.bench, row, server, round_number)

    def instructions(self):
        for row in self.selected("instructions"):
            for server in self.servers:
                if server.name != "ringkeeper":
                    rows.instructions(self.bench, row, server, 1, "its own threads")
                    continue
                for shards in SHARDS:
                    directory = self.directory / f"shards-{shards}"
                    other = servers.Ringkeeper(directory, self.load_binary, server.binary, shards)
                    other.clear()
                    other.start()
                    try:
                        rows.prepare(self.bench, other)
                        rows.warm(self.bench, other, 3)
                        rows.instructions(self.bench, row, other, 1, f"{shards} shards")
                    finally:
                        other.stop(hard=True)

    def capacity(self, server):
        """Sets a second at 32 × 16: the median of that row, or a probe where it wasn't asked for."""
        table = summary.Table(rows.ROWS, self.bench.results)
        measured = table.value("set32x16", server.name)
        if measured is None:
            row = next(row for row in rows.ROWS if row.name == "set32x16")
            measured = rows.closed(self.bench, row, server, 0)["value"]
        return measured

    def open_loop(self):
        seconds = 12 if self.options.quick else 40
        for row in self.selected("open"):
            labels = {"zookeeper": "half of ZooKeeper's capacity", "ringkeeper": "half of Ringkeeper's capacity"}
            rates = [(labels[server.name], self.capacity(server) / 2) for server in self.real_servers()]
            for label, rate in rates:
                for server in self.real_servers():
                    rows.open_loop(self.bench, row, server, 1, rate, seconds, label)

    def million_rows(self):
        filling = self.selected("million") + self.selected("restart") + self.selected("snapshot")
        if not filling:
            return
        row = next(row for row in rows.ROWS if row.kind == "million")
        for server in self.real_servers():
            rows.million(self.bench, row, server, 1)
        for row in self.selected("restart"):
            for round_number in range(1, self.options.rounds + 1):
                for server in self.real_servers():
                    rows.restart(self.bench, row, server, round_number)
        for row in self.selected("snapshot"):
            for server in self.real_servers():
                rows.snapshot(self.bench, row, server, 1, 30 if self.options.quick else 90)


def write_result(comparison):
    options, folder, measured = comparison.options, comparison.folder, comparison.bench.results
    facts = [
        *machine.describe(comparison.directory),
        *((server.name, server.describe()) for server in comparison.servers),
        results.built_with(),
        ("rounds", f"{options.rounds}, interleaved; windows of {options.seconds:g} s"),
        results.generator(measured),
        results.noise(options, measured),
    ]
    command = results.command_without_folders("perf/compare.py")
    failures = results.not_measured(comparison)
    text = summary.markdown(summary.Table(rows.ROWS, measured)) + failures
    print(f"\n{text}")
    charts = results.series_charts(measured, {row.name: row.title for row in rows.ROWS})
    results.save(folder, {
        "README.md": f"# Comparison of {datetime.date.today().isoformat()}\n\nCommand: `{command}`\n\n"
                     + page.markdown_table(["", ""], facts)
                     + "\n\n`index.html` shows it whole; `summary.md` has the table, `raw.csv` a line per measurement, `raw/` each "
                       "measurement whole.\n" + failures,
        "raw.csv": summary.as_csv(measured),
        "summary.md": f"# Summary\n\n{text}",
        **results.pages("Servers side by side", "What do the same loads get from each of them?", [("command", command), *facts], text,
                        charts),
    })
    print(f"written to {folder}")


def main():
    options = arguments()
    results.check(options)
    folder = results.new_folder(options)
    comparison = Comparison(options, folder)
    try:
        comparison.run()
    finally:
        # What was measured before a failure is kept.
        write_result(comparison)
    bench = comparison.bench
    faulty = any(result.get("errors") or result.get("partial") for result in bench.results)
    return 1 if comparison.failures or bench.unwritten or faulty else 0


if __name__ == "__main__":
    sys.exit(results.guarded("compare.py", main))
