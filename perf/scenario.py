#!/usr/bin/env python3
"""Runs one scenario, or all: starts servers, puts loads on them, writes charts, tables and one HTML page, and cleans up.

The scenarios are in perf/scenarios/, one file each; perf/README.md says what each shows. The result is a folder
perf/runs/<date>-<machine>-<scenario>/ with index.html, summary.md, README.md, raw.csv, charts/ and raw/.

Exit codes: 0 measured; 1 measured, with errors or with a part that failed; 2 not measured.
"""

import argparse
import csv
import datetime
import io
import pathlib
import re
import shutil
import signal
import sys
import time

import chart
import machine
import page
import results
import scenarios
from scenarios import snapshots, tables
from scenarios.kit import SERVER_NAMES, Kit
from servers import ROOT, ServerError

COLUMNS = ["row", "server", "round", "x", "label", "value", "unit", "operations_per_second", "p50_us", "p99_us", "p999_us", "p9999_us",
           "max_us", "cpu_us_per_operation", "leader_cpu_us_per_operation", "operations_per_sync", "syncs_per_second",
           "operations_per_leader_sync", "leader_syncs_per_second", "leader_instructions_per_operation",
           "generator_share_of_a_processor", "noise", "errors", "partial"]
LAST_WORDS = "`index.html` shows it whole; `summary.md` has the tables, `raw.csv` a line per measurement, `raw/` each whole."


def arguments():
    names = [one.NAME for one in scenarios.ALL]
    told = "\n".join(f"  {one.NAME:<12}{one.QUESTION}" for one in scenarios.ALL)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=f"scenarios:\n{told}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     # A short form of --auth would be told with the command.
                                     allow_abbrev=False)
    parser.add_argument("scenario", choices=[*names, "all"])
    parser.add_argument("--only", choices=SERVER_NAMES, help="only this one's servers")
    parser.add_argument("--running", action="append", default=[], metavar="NAME=HOST:PORT[/METRICS],…[+HOST:PORT,…]",
                        help="load servers that run already, on whatever hosts, observers behind the +; METRICS is the port of a server's "
                             "page for Prometheus, which tells its processor time; may be repeated")
    parser.add_argument("--auth", action="append", default=[], metavar="SCHEME:CREDENTIALS",
                        help="who the sessions on servers that run already are, as in addauth; in no result, but among the "
                             "processes of this host; may be repeated. Not etcd's")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each load (default 3)")
    parser.add_argument("--seconds", type=float, default=5, help="measured window of each load (default 5)")
    parser.add_argument("--trees", default="10k,1m", help="snapshots: numbers of znodes (default 10k,1m; 10m needs 16 GiB of memory)")
    parser.add_argument("--zookeeper", default="3.9.5", metavar="VERSION", help="Apache ZooKeeper's version")
    parser.add_argument("--zookeeper-heap", default="1g", metavar="SIZE", help="-Xmx of each member (default 1g)")
    parser.add_argument("--shards", type=int, help="ringkeeper.shards (default: the server decides)")
    parser.add_argument("--dir", default=ROOT / "target" / "perf-data", help="data directories; on a real disk")
    parser.add_argument("--out", help="folder of the result")
    parser.add_argument("--noise", type=float, default=0.08,
                        help="share of the machine that others may use in a good measurement (default 0.08)")
    parser.add_argument("--quiet-wait", type=float, default=30, help="seconds to wait for a quiet machine before each measurement")
    parser.add_argument("--retries", type=int, default=1, help="repeats of a noisy measurement (default 1)")
    parser.add_argument("--binaries", default=ROOT / "target" / "release", help="folder of the release binaries")
    options = parser.parse_args()
    options.binaries = pathlib.Path(options.binaries).resolve()
    options.servers = [options.only] if options.only else SERVER_NAMES
    try:
        options.running = [running(text) for text in options.running]
        options.trees = snapshots.parse_trees(options.trees)
    except ServerError as error:
        parser.error(str(error))
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if options.auth and not options.running:
        parser.error("--auth is for servers that run already: give --running, too")
    if not all(":" in auth for auth in options.auth):
        parser.error("--auth: expected SCHEME:CREDENTIALS")
    return options


def running(text):
    """(name, voters, observers); each server as `Remote` takes it."""
    name, _, addresses = text.partition("=")
    voters, observers = ([one for one in part.split(",") if one] for part in (addresses.partition("+")[0], addresses.partition("+")[2]))
    if not name or not voters or not all(re.fullmatch(r".+:\d+(/\d+)?", address) for address in voters + observers):
        raise ServerError(f"--running {text}: expected NAME=HOST:PORT[/METRICS],… and observers behind a +")
    return name, voters, observers


def as_csv(measured):
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for result in measured:
        errors = sum(result.get("errors", {}).values())
        table.writerow({**result, **result.get("latency", {}), **result.get("derived", {}), "errors": errors})
    return out.getvalue()


def rounds(scenario, options):
    order = getattr(scenario, "ORDER", "the servers by turns")
    return f"{1 if getattr(scenario, 'ONE_ROUND', False) else options.rounds}, {order}"


def facts(scenario, kit, seconds, script):
    options, measured = kit.options, kit.bench.results
    counted = "counted" if kit.counts_instructions and not kit.running else "not counted"
    return [
        ("command", results.command_without_folders(script)),
        *machine.describe(kit.directory),
        *kit.descriptions.items(),
        results.built_with(),
        ("rounds", f"{rounds(scenario, options)}; windows of {options.seconds:g} s; {seconds / 60:.1f} minutes in all"),
        results.generator(measured),
        ("instructions of the leader", counted),
        results.noise(options, measured),
    ]


def failed(kit):
    return [*kit.failures, *kit.bench.unwritten]


def write(scenario, kit, folder, seconds, script="perf/scenario.py"):
    """Also after a failure: what was measured is kept, and what wasn't is told."""
    measured = kit.bench.results
    # A result is published: where things lie on this machine is its own business.
    told = [" / ".join(str(failure).replace(str(kit.directory), "DIR").replace(str(folder), "OUT").replace(f"{ROOT}/", "").splitlines())
            for failure in failed(kit)]
    where = ("The servers were running already; machine, commit and compiler that are told here are the generator's." if kit.running else
             f"All servers and the load generator shared this machine's {machine.os.cpu_count()} processors.")
    parts = [f"Measured in part: {one['server']}, {one['row']}, {one.get('label') or one.get('x')}: {one['partial']}."
             for one in measured if one.get("partial")]
    notes = [where, *kit.left_out, *kit.notes(), *(f"Not measured: {failure}" for failure in told), *parts]
    files = pages(scenario, measured, facts(scenario, kit, seconds, script), notes, datetime.date.today().isoformat())
    print("\n" + files["summary.md"])
    results.save(folder, files)
    print(f"written to {folder}, {seconds / 60:.1f} minutes")


def pages(scenario, measured, known, notes, day):
    """Name → text of all that tells of a result but `raw/`. `known`: (what, value); `notes`: sentences about this run."""
    noise = dict(known).get("noise", "")
    limit = re.search(r"\d+%", noise)
    notes = [*notes, *tables.failed_requests(measured), *tables.noisy(limit[0] if limit else "their share", measured)]
    charts, own = scenario.report(measured) if measured else ([], [])
    ranges = [] if getattr(scenario, "TELLS_RANGES", False) else tables.ranges(measured)
    own = [*own, *ranges, *tables.apart(measured)]
    text = "\n\n".join([f"## {title}\n\n{page.markdown_table(header, lines)}" for title, header, lines in own])
    return {
        **{f"charts/{number:02}.svg": chart.svg(one) + "\n" for number, one in enumerate(charts, 1)},
        "index.html": page.page(scenario.TITLE, scenario.QUESTION, known, charts, own, notes),
        "raw.csv": as_csv(measured),
        "summary.md": f"# {scenario.TITLE}\n\n{scenario.QUESTION}\n\n" + "\n".join(notes) + f"\n\n{text}\n",
        "README.md": f"# {scenario.TITLE}, {day}\n\n{page.markdown_table(['', ''], known)}\n\n" + "\n".join(notes)
                     + f"\n\n{LAST_WORDS}\n",
    }


def measure(scenario, options):
    begin = time.monotonic()
    folder = results.new_folder(options, f"-{scenario.NAME}")
    kit = Kit(options, folder)
    shutil.rmtree(kit.directory, ignore_errors=True)
    kit.directory.mkdir(parents=True)
    kit.leave_out(getattr(scenario, "WITHOUT", {}))
    kit.fetch()
    try:
        if kit.names:
            scenario.run(kit)
    finally:
        kit.stop()
        write(scenario, kit, folder, time.monotonic() - begin)
    if not kit.bench.results:
        return 0 if options.scenario == "all" and kit.left_out and not kit.failures else 2
    return 1 if failed(kit) or any(result.get("errors") or result.get("partial") for result in kit.bench.results) else 0


def main():
    options = arguments()
    # As Ctrl-C: what was started is ended, what was measured is written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = [one for one in scenarios.ALL if options.scenario in (one.NAME, "all")]
    results.check(options)
    if options.out and len(chosen) > 1:
        raise ServerError("--out is for one scenario; without it each gets a folder of its own")
    worst = 0
    for scenario in chosen:
        print(f"== {scenario.TITLE}", flush=True)
        worst = max(worst, measure(scenario, options))
    return worst


if __name__ == "__main__":
    sys.exit(results.guarded("scenario.py", main))
