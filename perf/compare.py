#!/usr/bin/env python3
"""Measures Apache ZooKeeper, Ringkeeper and the floor side by side, and says what was reached.

Rows are those of rows.py. Rounds are interleaved (ZooKeeper, Ringkeeper, floor, ZooKeeper, …), so that a machine that
changes its pace does so for all. The result is a folder perf/runs/<date>-<machine>/ with README.md (what, where, how),
summary.md, raw.csv and raw/ (each measurement whole). See perf/README.md. Needs python3 only; ZooKeeper needs a JDK and
Maven.

Exit codes: 0 measured; 1 measured, with errors in some load; 2 not measured.
"""

import argparse
import datetime
import pathlib
import shlex
import shutil
import subprocess
import sys

import machine
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


def result_folder(options, suffix=""):
    if options.out:
        folder = pathlib.Path(options.out)
    else:
        base = ROOT / "perf" / "runs" / f"{datetime.date.today().isoformat()}-{machine.label()}{suffix}"
        folder, count = base, 1
        while folder.exists():
            count += 1
            folder = base.with_name(f"{base.name}-{count}")
    (folder / "raw").mkdir(parents=True)
    return folder


def check_directory(directory):
    directory.mkdir(parents=True, exist_ok=True)
    if machine.file_system(directory).startswith(("tmpfs", "ramfs")):
        raise ServerError(f"{directory} lies in memory, where a sync costs nothing: give --dir on a disk")
    free_gib = shutil.disk_usage(directory).free / 2**30
    if free_gib < 10:
        raise ServerError(f"{directory} has {free_gib:.1f} GiB free; logs and snapshots of a run need 10: give --dir")


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
            self.closed()
            self.instructions()
            self.open_loop()
            self.million_rows()
        finally:
            for server in self.servers:
                server.stop(hard=True)

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


def command_without_folders(script):
    """The command line; folders are this machine's own business and change no result."""
    words, skip = [], False
    for word in sys.argv[1:]:
        folder = word.split("=")[0] in ("--dir", "--out", "--binaries")
        if not folder and not skip:
            words.append(word)
        skip = folder and "=" not in word
    return shlex.join([script, *words])


def write_result(comparison):
    options, folder, results = comparison.options, comparison.folder, comparison.bench.results
    lines = [f"# Comparison of {datetime.date.today().isoformat()}", "", f"Command: `{command_without_folders('perf/compare.py')}`", "",
             "| | |", "|---|---|"]
    lines += [f"| {what} | {value} |" for what, value in machine.describe(comparison.directory)]
    lines += [f"| {server.name} | {server.describe()} |" for server in comparison.servers]
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    noisy = sum(1 for result in results if result.get("noisy"))
    lines += [
        f"| built with | {rustc}, release profile of Cargo.toml |",
        f"| rounds | {options.rounds}, interleaved; windows of {options.seconds:g} s |",
        f"| noise | others used more than {options.noise:.0%} of the machine in {noisy} of {len(results)} measurements |",
        "", "`summary.md` has the table, `raw.csv` a line per measurement, `raw/` each measurement whole.",
    ]
    (folder / "README.md").write_text("\n".join(lines) + "\n")
    (folder / "raw.csv").write_text(summary.as_csv(results))
    text = summary.markdown(summary.Table(rows.ROWS, results))
    (folder / "summary.md").write_text(f"# Summary\n\n{text}")
    print(f"\n{text}\nwritten to {folder}")


def main():
    options = arguments()
    try:
        check_directory(pathlib.Path(options.dir))
        binary = pathlib.Path(options.binaries) / "ringkeeper-load"
        if not binary.exists():
            raise ServerError("the load generator isn't built: run cargo build --release")
        folder = result_folder(options)
        comparison = Comparison(options, folder)
        try:
            comparison.run()
        finally:
            # What was measured before a failure is kept.
            write_result(comparison)
    except ServerError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    return 1 if any(result.get("errors") or result.get("partial") for result in comparison.bench.results) else 0


if __name__ == "__main__":
    sys.exit(main())
