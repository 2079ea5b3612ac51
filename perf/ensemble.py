#!/usr/bin/env python3
"""Measures ensembles of Apache ZooKeeper and of Ringkeeper side by side, and says what was reached.

Rows are those of ensemble_rows.py. All members of both ensembles run on this machine, and rounds alternate
(ZooKeeper, Ringkeeper, ZooKeeper, …). The result is a folder perf/runs/<date>-<machine>-ensemble/ with README.md,
index.html, summary.md, raw.csv and raw/, as compare.py's. See perf/README.md.

Exit codes: 0 measured; 1 measured, with errors or with a group of rows that failed; 2 not measured.
"""

import argparse
import datetime
import pathlib
import shutil
import sys
import time

import ensemble_rows
import ensemble_summary
import machine
import page
import results
import rows
import servers
import summary
from ensemble_rows import FLOOR_ROWS, ROWS
from ensembles import Ensemble, Target
from servers import ROOT, ServerError

# Sets a second at which each is alone: the next one comes when the last was answered and all members rest. Where several
# share a group, as at higher rates, more members make larger groups, and the leader's cost per write goes down with them.
LONE_RATE = 1_500
FOLLOWER_COUNTS = [1, 2, 3, 4]
OBSERVERS_MAX = 3
# Short, so that a silent leader's ten trials don't take minutes: what is measured is the time beyond the detection.
STOP_SETTINGS = {"tickTime": 500, "syncLimit": 2}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", default=",".join(names), help=f"which rows, of {', '.join(names)}")
    parser.add_argument("--only", choices=ensemble_rows.SERVERS, help="only this one's ensembles (and the floors)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the loads (default 5)")
    parser.add_argument("--seconds", type=float, default=8, help="measured window of each load (default 8)")
    parser.add_argument("--kills", type=int, default=10, help="leaders killed (default 10)")
    parser.add_argument("--stops", type=int, default=5, help="leaders stopped (default 5)")
    parser.add_argument("--zookeeper-slopes", action="store_true",
                        help="rows followers and observers of ZooKeeper too: some five minutes more")
    parser.add_argument("--zookeeper", default="3.9.5", metavar="VERSION", help="Apache ZooKeeper's version")
    parser.add_argument("--zookeeper-heap", default="1g", metavar="SIZE", help="-Xmx of each member (default 1g)")
    parser.add_argument("--shards", type=int, help="ringkeeper.shards (default: the server decides)")
    parser.add_argument("--dir", default=ROOT / "target" / "perf-data", help="data directories; on a real disk")
    parser.add_argument("--out", help="folder of the result (default perf/runs/<date>-<machine>-ensemble)")
    parser.add_argument("--noise", type=float, default=0.08,
                        help="share of the machine that others may use in a good measurement (default 0.08)")
    parser.add_argument("--quiet-wait", type=float, default=30,
                        help="seconds to wait for a quiet machine before each measurement (default 30)")
    parser.add_argument("--retries", type=int, default=1, help="repeats of a noisy measurement (default 1)")
    parser.add_argument("--binaries", default=ROOT / "target" / "release", help="folder of the release binaries")
    options = parser.parse_args()
    options.binaries = pathlib.Path(options.binaries).resolve()
    options.rows = options.rows.split(",")
    options.servers = [options.only] if options.only else ensemble_rows.SERVERS
    for name in options.rows:
        if name not in names:
            parser.error(f"{name!r} is none of {', '.join(names)}")
    for what in ("rounds", "kills", "stops"):
        if getattr(options, what) < 1:
            parser.error(f"--{what} must be 1 or more")
    return options


class EnsembleRun:
    """The ensembles of one run, a group of rows at a time."""

    def __init__(self, options, folder):
        self.options = options
        self.directory = pathlib.Path(options.dir).resolve() / "ensembles"
        self.load_binary = options.binaries / "ringkeeper-load"
        warmup = min(2, options.seconds / 4)
        self.bench = rows.Bench(self.load_binary, folder / "raw", options.seconds, warmup, options.noise,
                                options.quiet_wait, options.retries)
        self.failures = []
        self.count = 0
        self.descriptions = {}
        self.started = []

    def member(self, name):
        """What makes a member of `name`'s ensembles in a directory."""
        if name == "zookeeper":
            version, heap = self.options.zookeeper, self.options.zookeeper_heap
            return lambda directory: servers.ZooKeeper(directory, self.load_binary, version, heap)
        binary = self.options.binaries / "ringkeeper"
        return lambda directory: servers.Ringkeeper(directory, self.load_binary, binary, self.options.shards)

    def ensemble(self, name, voters, observers=0, settings=None, start=None):
        """A fresh ensemble, started, with the keys in it; of ZooKeeper warmed."""
        make = lambda directory: Ensemble(name, directory, self.member(name), voters, observers, settings)  # noqa: E731
        return self.ensemble_of(name, make, start)

    def ensemble_of(self, name, make, start=None):
        """The same of what `make(directory)` gives."""
        # A directory of its own, so that what members printed in a group that failed is there after the run.
        self.count += 1
        ensemble = make(self.directory / f"{self.count:02}-{name}")
        self.started.append(ensemble)
        seconds = ensemble.start(start)
        print(f"{name}: {len(ensemble.running)} members answered after {seconds:.2f} s", flush=True)
        self.descriptions[name] = ensemble.describe()
        rows.prepare(self.bench, ensemble)
        rows.warm(self.bench, ensemble, rows.WARM_SECONDS.get(name, 3))
        return ensemble

    def warm_member(self, ensemble, member):
        """Sessions at this one alone: a JVM that is new compiles what it runs in the first seconds."""
        seconds = rows.WARM_SECONDS.get(ensemble.name, 3) / 3
        rows.warm(self.bench, Target(ensemble.name, [member.address], [member.pid], ensemble.generator), seconds)

    def both(self, voters, settings=None):
        return [self.ensemble(name, voters, settings=settings) for name in self.options.servers]

    def stop(self):
        """Ends the ensembles of a group. Their data goes, which is gigabytes; what they printed stays."""
        started, self.started = self.started, []
        for ensemble in started:
            ensemble.stop(hard=True)
            ensemble.clear_data()

    def asked(self, *kinds):
        return [row for row in ROWS if row.kind in kinds and row.name in self.options.rows]

    def run(self):
        if "zookeeper" in self.options.servers:
            self.member("zookeeper")(self.directory).fetch()
        groups = [
            (self.three_voters, self.asked("closed3", "kill")),
            (self.five_voters, self.asked("closed5")),
            (self.followers, self.asked("followers")),
            (self.observers, self.asked("observers")),
            (self.silent, self.asked("stop")),
            (self.open_loop, self.asked("open")),
        ]
        for group, asked in groups:
            if not asked:
                continue
            begin = time.monotonic()
            print(f"{', '.join(row.name for row in asked)}:", flush=True)
            try:
                group(asked)
            except ServerError as error:
                # The other groups have ensembles of their own.
                self.failures.append(f"{', '.join(row.name for row in asked)}: {error}")
                print(f"  FAILED: {error}", flush=True)
            finally:
                self.stop()
            print(f"  ({time.monotonic() - begin:.0f} s)", flush=True)

    def three_voters(self, asked):
        ensembles = self.both(3)
        closed = [row for row in asked if row.kind == "closed3"]
        with_floor = any(row.name.startswith("set1") for row in closed)
        floor = None
        try:
            if with_floor:
                floor = servers.Floor(self.directory, self.load_binary)
                floor.clear()
                floor.start()
                rows.prepare(self.bench, floor)
            for round_number in range(1, self.options.rounds + 1):
                if floor is not None:
                    hop, sync = FLOOR_ROWS
                    rows.closed(self.bench, hop, floor, round_number)
                    ensemble_rows.sync_floor(self.bench, sync, floor.directory, round_number)
                for row in closed:
                    for ensemble in ensembles:
                        ensemble_rows.closed(self.bench, row, ensemble, round_number)
        finally:
            if floor is not None:
                floor.stop(hard=True)
        for row in (row for row in asked if row.kind == "kill"):
            self.leaders_lost(row, ensembles, self.options.kills)

    def leaders_lost(self, row, ensembles, times):
        """Alternating. An ensemble that fails a trial is left out of the later ones, and told."""
        ensembles = list(ensembles)
        for round_number in range(1, times + 1):
            for ensemble in list(ensembles):
                try:
                    ensemble_rows.leader_lost(self.bench, row, ensemble, round_number)
                except ServerError as error:
                    ensembles.remove(ensemble)
                    printed = ensemble.directory.name
                    self.failures.append(f"{row.name}, {ensemble.name} ({printed}), trial {round_number}: {error}")
                    print(f"  FAILED: {error}", flush=True)

    def five_voters(self, asked):
        ensembles = self.both(5)
        for round_number in range(1, self.options.rounds + 1):
            for row in asked:
                for ensemble in ensembles:
                    ensemble_rows.closed(self.bench, row, ensemble, round_number)

    def slope_servers(self):
        return [name for name in self.options.servers
                if name == "ringkeeper" or self.options.zookeeper_slopes or self.options.only]

    def followers(self, asked):
        for name in self.slope_servers():
            for count in reversed(FOLLOWER_COUNTS):
                ensemble = self.ensemble(name, count + 1)
                for round_number in range(1, self.options.rounds + 1):
                    for row in asked:
                        ensemble_rows.leader_cpu(self.bench, row, ensemble, round_number, LONE_RATE, count)
                self.stop()

    def observers(self, asked):
        """One ensemble: all its observers listed, and started one after the other."""
        for name in self.slope_servers():
            ensemble = self.ensemble(name, 3, OBSERVERS_MAX)
            observers = ensemble.members[3:]
            for round_number in range(1, self.options.rounds + 1):
                for observer in observers:
                    observer.stop(hard=True)
                for count in range(OBSERVERS_MAX + 1):
                    if count:
                        ensemble.launch(observers[count - 1])
                        observers[count - 1].wait()
                        self.warm_member(ensemble, observers[count - 1])
                    for row in asked:
                        ensemble_rows.leader_cpu(self.bench, row, ensemble, round_number, LONE_RATE, count)
            self.stop()

    def silent(self, asked):
        ensembles = self.both(3, STOP_SETTINGS)
        for row in asked:
            self.leaders_lost(row, ensembles, self.options.stops)

    def open_loop(self, asked):
        seconds = max(12, 3 * self.options.seconds)
        table = summary.Table(ROWS, self.bench.results)
        halves = {}
        for name in self.options.servers:
            measured = table.value("set3", name)
            if measured is None:
                ensemble = self.ensemble(name, 3)
                measured = ensemble_rows.probe(self.bench, ensemble)
                self.stop()
            halves[name] = measured / 2
        labels = {"zookeeper": "half of ZooKeeper's capacity", "ringkeeper": "half of Ringkeeper's capacity"}
        for name in self.options.servers:
            # At its own half, and Ringkeeper at ZooKeeper's, so that there is a rate which both follow.
            for whose in dict.fromkeys(["zookeeper", name] if "zookeeper" in halves else [name]):
                settings = ensemble_rows.open_loop_settings(halves[whose], seconds)
                ensemble = self.ensemble(name, 3, settings=settings)
                for row in asked:
                    ensemble_rows.open_loop(self.bench, row, ensemble, 1, halves[whose], seconds, labels[whose])
                self.stop()


def write_result(run, folder, seconds):
    options, measured = run.options, run.bench.results
    facts = [
        *machine.describe(run.directory),
        *run.descriptions.items(),
        results.built_with(),
        ("rounds", f"{options.rounds}, alternating; windows of {options.seconds:g} s; {seconds / 60:.1f} minutes in all"),
        results.generator(measured),
        results.noise(options, measured),
    ]
    command = results.command_without_folders("perf/ensemble.py")
    failures = results.not_measured(run)
    text = ensemble_summary.markdown(summary.Table([*ROWS, *FLOOR_ROWS], measured)) + failures
    print(f"\n{text}")
    charts = results.series_charts(measured, {row.name: row.title for row in ROWS})
    results.save(folder, {
        "README.md": f"# Ensembles, {datetime.date.today().isoformat()}\n\nCommand: `{command}`\n\n"
                     + page.markdown_table(["", ""], facts)
                     + "\n\nAll members of both ensembles and the load generator run on this machine, over loopback. `index.html` shows "
                       "it whole; `summary.md` has the table, `raw.csv` a line per measurement, `raw/` each measurement whole.\n"
                     + failures,
        "raw.csv": summary.as_csv(measured),
        "summary.md": f"# Summary\n\n{text}",
        **results.pages("Ensembles side by side", "What do the same loads get from ensembles of each, and what when a leader is lost?",
                        [("command", command), *facts], text, charts),
    })
    print(f"written to {folder}, {seconds / 60:.1f} minutes")


def main():
    options = arguments()
    begin = time.monotonic()
    results.check(options)
    folder = results.new_folder(options, "-ensemble")
    run = EnsembleRun(options, folder)
    shutil.rmtree(run.directory, ignore_errors=True)
    run.directory.mkdir(parents=True)
    try:
        run.run()
    finally:
        run.stop()
        # What was measured before a failure is kept.
        write_result(run, folder, time.monotonic() - begin)
    failed = run.failures or run.bench.unwritten or any(result.get("errors") for result in run.bench.results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(results.guarded("ensemble.py", main))
