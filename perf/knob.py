#!/usr/bin/env python3
"""Measures one knob: the same server with two or more values of it, side by side in one run, by turns.

A knob is a line of zoo.cfg; with --env a variable of the server's environment; with --host something of the machine, which the
command given sets. tuning/ says which there are. The result is a folder perf/runs/<date>-<machine>-knob-<name>/ with the same
files as a scenario's.

Exit codes: 0 measured; 1 measured, with errors or with a value that failed; 2 not measured.
"""

import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

import results
import rows
import scenario
from chart import Chart, Line
from ensembles import Ensemble
from scenarios.kit import Kit, latency, servers_in, throughput
from scenarios.sizes import told
from scenarios.tables import spread
from servers import ROOT, ServerError

LOADS = "32x16,1x1"
# What the server says of forceSync=no, which it does all the same.
CONSEQUENCE = "acknowledged writes are lost"
OPS = ["get", "set"]


def arguments():
    examples = """examples:
  perf/knob.py ringkeeper.shards 1 2
  perf/knob.py preAllocSize 4096 65536 --op set
  perf/knob.py ringkeeper.logWrite direct mmap --op set --voters 3
  perf/knob.py ringkeeper.hugePages false true --op set --loads 32@400000
  perf/knob.py --env MIMALLOC_ALLOW_THP 1 0 --op get --keys 1000000
  perf/knob.py --host 'echo {value} > /sys/block/sda/queue/scheduler' scheduler none mq-deadline --op set"""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=examples,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the setting, as in zoo.cfg")
    parser.add_argument("values", nargs="+", help="two or more; the others are held against the first. default: the line is left out")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--env", action="store_true", help="NAME is a variable of the server's environment")
    kind.add_argument("--host", metavar="COMMAND", help="run by the shell before each measurement, with {value} replaced; NAME only "
                                                        "names it. At the end it is run with the first value: give the present one first")
    parser.add_argument("--op", choices=[*OPS, "both"], default="both", help="default both")
    parser.add_argument("--loads", default=LOADS, help="a list of sessions x outstanding, or sessions @ requests a "
                        f"second in an open loop (default {LOADS})")
    parser.add_argument("--keys", type=int, default=rows.KEYS, help=f"znodes that are read and written (default {rows.KEYS})")
    parser.add_argument("--voters", type=int, default=1, help="1 or an ensemble of so many (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each load (default 5)")
    parser.add_argument("--seconds", type=float, default=5, help="measured window of each load (default 5)")
    parser.add_argument("--dir", default=ROOT / "target" / "perf-data", help="data directories; on a real disk")
    parser.add_argument("--out", help="folder of the result")
    parser.add_argument("--noise", type=float, default=0.08,
                        help="share of the machine that others may use in a good measurement (default 0.08)")
    parser.add_argument("--quiet-wait", type=float, default=30, help="seconds to wait for a quiet machine before each measurement")
    parser.add_argument("--retries", type=int, default=1, help="repeats of a noisy measurement (default 1)")
    parser.add_argument("--binaries", default=ROOT / "target" / "release", help="folder of the release binaries")
    options = parser.parse_args()
    options.binaries = pathlib.Path(options.binaries).resolve()
    # What a kit of scenarios asks for beside.
    options.servers, options.running, options.shards = ["ringkeeper"], [], None
    options.ops = OPS if options.op == "both" else [options.op]
    try:
        options.values = checked_values(options.values)
        options.loads = parse_loads(options.loads)
    except ServerError as error:
        parser.error(str(error))
    if options.host and "{value}" not in options.host:
        parser.error("--host: {value} is not in the command, so every value would be the same")
    if min(options.rounds, options.voters, options.keys) < 1:
        parser.error("--rounds, --voters and --keys must be 1 or more")
    return options


def checked_values(values):
    if len(values) < 2:
        raise ServerError("two values or more: one is held against the other")
    if len(set(values)) < len(values):
        raise ServerError(f"a value twice: {' '.join(values)}")
    return values


def parse_loads(text):
    """`32x16,4@900` as names with the generator's arguments."""
    loads = {}
    for part in text.split(","):
        load = re.fullmatch(r"([1-9]\d*)([x@])([1-9]\d*)", part)
        if not load:
            raise ServerError(f"--loads {text}: expected SESSIONSxOUTSTANDING or SESSIONS@RATE,…")
        loads[part] = ["--sessions", int(load[1]), "--outstanding" if load[2] == "x" else "--rate", int(load[3])]
    return loads


def file_name(text):
    """A part of a folder's or file's name."""
    return re.sub(r"[^A-Za-z0-9_.,=-]+", "-", text).strip("-.")


def turns(values, round_number):
    """Every round begins with another one: who comes second finds caches and the disk as the first has left them."""
    at = (round_number - 1) % len(values)
    return values[at:] + values[:at]


def objections(output, name):
    """What the server said of the setting, where it doesn't do what it says: then it is not that which is measured."""
    return [line.strip() for line in output.splitlines()
            if name in line and re.search(r"\b(WARN|ERROR)\b", line) and CONSEQUENCE not in line]


class Knob:
    """Of the form of a scenario: what `scenario.write` makes files of."""

    TELLS_RANGES = True

    def __init__(self, options):
        self.options = options
        self.NAME = f"knob-{file_name(options.name)}"
        self.TITLE = f"{options.name}: {' against '.join(options.values)}"
        members = "a lone server" if options.voters == 1 else f"{options.voters} voters"
        self.QUESTION = f"What does {options.name} change for {members}?"

    def x_of(self, value):
        """On a chart: the number that it is, if all are; else the place in the list."""
        try:
            return [float(one) for one in self.options.values][self.options.values.index(value)]
        except ValueError:
            return self.options.values.index(value) + 1

    def run(self, kit):
        options, targets = self.options, {}
        try:
            for value in options.values:
                try:
                    targets[value] = self.start(kit, value)
                except ServerError as error:
                    kit.failures.append(f"{options.name}={value}: {error}")
                    print(f"  FAILED: {error}", flush=True)
            if len(targets) < 2:
                return
            for round_number in range(1, options.rounds + 1):
                for op in options.ops:
                    for name, load in options.loads.items():
                        for value in turns(list(targets), round_number):
                            self.measure(kit, targets[value], value, f"{op}-{name}", ["--op", op, *load], round_number)
        finally:
            if options.host:
                self.set_host(options.values[0])
            kit.stop()

    def start(self, kit, value):
        options = self.options
        is_line = not (options.env or options.host) and value != "default"
        name = file_name(f"{options.name}={value}")
        settings = {options.name: value} if is_line else {}
        make = lambda directory: Ensemble(name, directory, self.member(kit, value), options.voters, settings=settings)  # noqa: E731
        ensemble = kit.ensemble_of(name, make)
        what = "standalone" if options.voters == 1 else f"{options.voters} voters"
        kit.descriptions[name] = f"Ringkeeper, release build, {what}"
        # Without the folder, which is named after the knob.
        output = ensemble.members[0].output.read_text(errors="replace").replace(str(ensemble.directory), "")
        for line in objections(output, options.name) if is_line else []:
            raise ServerError(f"the server doesn't take it so: {line}")
        if options.keys != rows.KEYS:
            arguments = ["--op", "get", "--keys", options.keys, "--warmup", 0, "--seconds", 0.1, "--sessions", 1]
            kit.bench.load(ensemble, arguments, False)
        return ensemble

    def member(self, kit, value):
        def make(directory):
            member = kit.member("ringkeeper")(directory)
            if self.options.env and value != "default":
                member.variables = {self.options.name: value}
            return member

        return make

    def set_host(self, value):
        command = self.options.host.replace("{value}", value)
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        if done.returncode != 0:
            raise ServerError(f"--host: `{command}` failed: {done.stderr.strip() or done.stdout.strip()}")

    def measure(self, kit, target, value, row, load, round_number):
        options = self.options
        if options.host:
            self.set_host(value)
        kit.measure(row, target, self.x_of(value), load, round_number,
                    label=f"{options.name}={value}", keys=options.keys, after=lambda: {"anonymous_bytes": anonymous(target)})

    def report(self, results):
        names = servers_in(results)
        loads = list(dict.fromkeys(result["row"] for result in results))
        charts, tables = [], []
        for row in loads:
            of_row = [result for result in results if result["row"] == row]
            tables.append((row.replace("-", ", "), HEADER, table(of_row, names)))
            listed = ", ".join(f"{self.x_of(value):g}: {value}" for value in self.options.values)
            for figure, what in ((throughput, "operations per second"), (latency("p50_us"), "p50, ms"), (latency("p99_us"), "p99, ms")):
                charts.append(Chart(row.replace("-", ", "), f"{self.options.name} ({listed})", what, [line(of_row, figure)]))
        return charts, tables


def anonymous(target):
    return sum(rows.status_bytes(pid)["anonymous"] for pid in target.pids)


HEADER = ["", "operations/s", "against the first, round by round", "p50 µs", "p99 µs", "p99.9 µs", "operations per CPU-second", "anonymous MB"]


def per_cpu_second(result):
    spent = result["derived"].get("cpu_us_per_operation")
    return 1e6 / spent if spent else None


def table(results, names):
    """A line a value: medians, and in brackets the range of the rounds."""
    out = []
    for name in names:
        own = [result for result in results if result["server"] == name]
        noisy = " ~" if any(result.get("noisy") for result in own) else ""
        errors = " **errors**" if any(result.get("errors") for result in own) else ""
        percentiles = [lambda result, key=key: result["latency"][key] for key in ("p50_us", "p99_us", "p999_us")]
        figures = [throughput, None, *percentiles, per_cpu_second, lambda result: result["anonymous_bytes"] / 1e6 if "anonymous_bytes" in result else None]
        cells = [spread([figure(result) for result in own]) if figure else against(results, names[0], name) for figure in figures]
        out.append([name + noisy + errors, *cells])
    return out


def against(results, first, name):
    """Throughput as a multiple of the first value's in the same round: what the machine does slowly is in both."""
    if first == name:
        return "1"
    base = {result["round"]: throughput(result) for result in results if result["server"] == first}
    ratios = [throughput(result) / base[result["round"]] for result in results
              if result["server"] == name and base.get(result["round"])]
    if not ratios:
        return "–"
    above = sum(1 for ratio in ratios if ratio > 1)
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}; more in {above} of {len(ratios)})"


def line(results, figure):
    """One line through the medians, with the rounds' ranges."""
    by_x = {}
    for result in results:
        by_x.setdefault(result["x"], []).append(figure(result))
    points = [(x, statistics.median(values)) for x, values in sorted(by_x.items())]
    return Line("median and range of the rounds", points, colour_of="ringkeeper",
                ranges=[(x, min(values), max(values)) for x, values in sorted(by_x.items())])


def main():
    options = arguments()
    begin = time.monotonic()
    results.check(options)
    knob = Knob(options)
    folder = results.new_folder(options, f"-{knob.NAME}")
    kit = Kit(options, folder)
    kit.directory = kit.directory.with_name("knob")
    shutil.rmtree(kit.directory, ignore_errors=True)
    kit.directory.mkdir(parents=True)
    try:
        knob.run(kit)
    finally:
        scenario.write(knob, kit, folder, time.monotonic() - begin, "perf/knob.py")
    if not kit.bench.results:
        return 2
    return 1 if scenario.failed(kit) or any(result.get("errors") for result in kit.bench.results) else 0


if __name__ == "__main__":
    sys.exit(results.guarded("knob.py", main))
