#!/usr/bin/env python3
"""What an abused server does to another client's latency, Ringkeeper beside Apache ZooKeeper.

    perf/neighbours.py [--scenarios garbage,idle] [--servers ringkeeper] [--seconds 5] [--rounds 1] [--quick]

For each scenario the server is started fresh. A *neighbour*, one session, sends get and set of 100 bytes in turn, 2 ms
after each answer: first alone, then while another process abuses the server. The result is a folder
perf/runs/<date>-<machine>-neighbours/ as compare.py's. Needs ringkeeper-load, to wait for the start and to warm up.
How perf/disturb.py differs: there an open loop of 16 sessions is measured, not one client that waits.

Exit codes: 0 measured; 1 measured, but a neighbour had errors, an abuse failed or a server was gone; 2 not measured.
"""

import argparse
import csv
import datetime
import io
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import machine
import page
from abuses import CAP, SCENARIOS
from disturb import ANSWER_SECONDS, GET_DATA, Session, create, read, set_data
from results import generator, check, command_without_folders, guarded, new_folder, pages, save
from servers import ROOT, Ringkeeper, ServerError, ZooKeeper

PAUSE_SECONDS, LEAVING_SECONDS = 0.002, 1
WARM_SECONDS = {"zookeeper": 4, "ringkeeper": 1}


def percentile(samples, share):
    """By nearest rank; None of nothing."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def without_omission(samples, interval):
    """The samples, with those that a client at this interval would have seen during each long one."""
    more = list(samples)
    for sample in samples:
        while (sample := sample - interval) > 0:
            more.append(sample)
    return more


def latency(samples):
    """p50, p99, max in ms, and p99 with what the pause of a waiting client omits."""
    whole = without_omission(samples, 2 * PAUSE_SECONDS * 1e3)
    return {"count": len(samples), "p50": percentile(samples, 0.5), "p99": percentile(samples, 0.99),
            "max": percentile(samples, 1), "p99_corrected": percentile(whole, 0.99)}


class Neighbour:
    """The client whose latency is measured. Each get must bring what its last set left."""

    def __init__(self, port):
        self.port, self.session, self.number, self.errors = port, Session(port), 0, {}
        self.expected = "x" * 100
        self.session.request(create("/neighbour", data=self.expected))

    def once(self, kind):
        try:
            if self.session is None:
                self.session = Session(self.port)
            if kind == "get":
                body = self.session.request(read(GET_DATA, "/neighbour"))
                if self.expected is not None and body[4:104] != self.expected.encode():
                    raise OSError("a get brought something else than the last set")
            else:
                self.number += 1
                data, self.expected = f"{self.number:0100}", None
                self.session.request(set_data("/neighbour", data))
                self.expected = data
        except OSError as error:
            self.errors[str(error)] = self.errors.get(str(error), 0) + 1
            if self.session:
                self.session.socket.close()
            self.session = None

    def run(self, going):
        """(when begun in ns, kind, ms) of each, errors too: a client that waited in vain has waited."""
        samples = []
        while going():
            for kind in ("get", "set"):
                begin = time.monotonic_ns()
                self.once(kind)
                samples.append((begin, kind, (time.monotonic_ns() - begin) / 1e6))
                time.sleep(PAUSE_SECONDS)
        return samples


def memory_mib(pid, field):
    match = re.search(rf"{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(match.group(1)) / 1024 if match else 0


def answers(port):
    """Whether a new client's set and get are answered, and after how many ms; or what went wrong."""
    begin = time.monotonic()
    try:
        session = Session(port)
        session.request(set_data("/neighbour", "afterwards"))
        if session.request(read(GET_DATA, "/neighbour"))[4:14] != b"afterwards":
            return "NO: a get brought something else than the last set"
    except OSError as error:
        return f"NO: {error}"
    return f"in {(time.monotonic() - begin) * 1e3:.0f} ms"


def run_abuse(name, server, options, neighbour, folder):
    """Runs the abuse beside the neighbour. Returns (samples, phases as (name, ns), facts, fault or None)."""
    printed = folder / f"{server.name}-{name}.txt"
    scale = 10 if options.quick else 1
    command = [sys.executable, ROOT / "perf" / "abuses.py", name, "--port", str(server.port), "--seconds", str(options.seconds)]
    command += ["--scale", str(scale)]
    with open(printed, "wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
    ended, limit = None, time.monotonic() + CAP * options.seconds + 4 * ANSWER_SECONDS

    def going():
        nonlocal ended
        if ended is None and (child.poll() is not None or time.monotonic() > limit):
            ended = time.monotonic()
        return ended is None or time.monotonic() < ended + LEAVING_SECONDS

    try:
        samples = neighbour.run(going)
        fault = "the abuse didn't end" if child.poll() is None else None
    finally:
        child.kill()
        child.wait()
    lines = printed.read_text(errors="replace").splitlines()
    printed.unlink()
    if child.returncode and not fault:
        fault = lines[-1] if lines else f"the abuse ended with code {child.returncode}"
    phases = [(line.split()[1], int(line.split()[2])) for line in lines if line.startswith("phase ")]
    facts = [json.loads(line[6:]) for line in lines if line.startswith("facts ")]
    return samples, phases, facts[0] if facts else {}, fault


def by_phase(samples, phases):
    """Samples of each phase; those before the first belong to no abuse. A phase that comes again goes on."""
    parts = {}
    for sample in samples:
        begun = [name for name, since in phases if since <= sample[0]]
        if begun:
            parts.setdefault("leaving" if begun[-1] == "over" else begun[-1], []).append(sample)
    return parts


def both(samples):
    return {kind: latency([sample[2] for sample in samples if sample[1] == kind]) for kind in ("get", "set")}


def measure(name, server, options, round_number, folder):
    server.clear()
    server.start()
    try:
        load = [server.load_binary, "--server", server.address, "--sessions", "16", "--op", "mixed:0.5", "--keys", "1000"]
        load += ["--warmup", "0", "--seconds", str(WARM_SECONDS[server.name])]
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        neighbour = Neighbour(server.port)
        neighbour.run(lambda: neighbour.number < 200)
        busy = machine.wait_until_quiet(options.noise, options.quiet_wait)
        until = time.monotonic() + options.seconds
        alone = neighbour.run(lambda: time.monotonic() < until)
        # From here on, VmHWM is the peak beside the abuse.
        pathlib.Path(f"/proc/{server.pid}/clear_refs").write_text("5")
        before = memory_mib(server.pid, "VmRSS")
        samples, phases, facts, fault = run_abuse(name, server, options, neighbour, folder)
        after = answers(server.port)
        gone = server.process.poll() is not None
        parts = by_phase(samples, phases)
        return {
            "scenario": name, "server": server.name, "round": round_number, "alone": both(alone),
            "beside": both([sample for phase, part in parts.items() if phase != "leaving" for sample in part]),
            "phases": {phase: both(part) for phase, part in parts.items()},
            "errors": neighbour.errors, "facts": facts, "fault": fault, "after": "NO: the process ended" if gone else after,
            "memory_before_mib": before, "memory_peak_mib": 0 if gone else memory_mib(server.pid, "VmHWM") - before,
            "memory_left_mib": 0 if gone else memory_mib(server.pid, "VmRSS") - before, "busy_before": busy,
        }
    finally:
        server.stop(hard=True)


def failed(result):
    return bool(result["errors"] or result["fault"] or result["after"].startswith("NO"))


def middle(results, *keys):
    """The median over the rounds; of maxima, the largest. A dash if nothing was measured."""
    values = []
    for value in results:
        for key in keys:
            value = (value or {}).get(key)
        if value is not None:
            values.append(value)
    return (max(values) if keys[-1] == "max" else statistics.median(values)) if values else None


def cell(results, *keys):
    found = [middle(results, *keys, which) for which in ("p50", "p99", "max")]
    return " / ".join("–" if value is None else f"{value:.2f}" if value < 100 else f"{value:,.0f}" for value in found)


def summary(results):
    """The tables, from results of all rounds."""
    groups = {}
    for result in results:
        groups.setdefault((result["scenario"], result["server"]), []).append(result)
    lines = ["# Neighbours of an abused server", "",
             "p50 / p99 / max in ms. Memory in MiB, at its peak and after the abuse, against before. *leaving*: the second after "
             "the abuse's process has ended, which is not part of *beside*.", "",
             "| scenario | server | get alone | get beside | set alone | set beside | errors | memory | answers afterwards |",
             "|---|---|---|---|---|---|---|---|---|"]
    phases, facts = [], []
    for (name, server), group in groups.items():
        errors = sum(sum(result["errors"].values()) for result in group)
        memory = f"+{middle(group, 'memory_peak_mib'):,.0f}, {middle(group, 'memory_left_mib'):+,.0f}"
        after = next((result["after"] for result in group if result["after"].startswith("NO")), group[-1]["after"])
        cells = [cell(group, part, kind) for kind in ("get", "set") for part in ("alone", "beside")]
        lines.append("| " + " | ".join([name, server, *cells, str(errors), memory, after]) + " |")
        for phase in dict.fromkeys(phase for result in group for phase in result["phases"]):
            cells = [cell(group, "phases", phase, kind) for kind in ("get", "set")]
            phases.append("| " + " | ".join([name, phase, server, *cells]) + " |")
        for result in group:
            done = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in result["facts"].items())
            wrong = [f"{count} × {error}" for error, count in result["errors"].items()]
            told = "; ".join([done or "nothing told", *([f"**FAILED: {result['fault']}**"] if result["fault"] else []), *wrong])
            facts.append(f"- {name}, {server}, round {result['round']}: {told}")
    lines += ["", "## By phase", "", "| scenario | phase | server | get | set |", "|---|---|---|---|---|", *phases]
    lines += ["", "## What the abuse did", "", *facts, "", "## Scenarios", ""]
    lines += [f"- {name}: {SCENARIOS[name].__doc__}." for name in dict.fromkeys(name for name, _ in groups)]
    return "\n".join(lines) + "\n"


def write_result(folder, options, made, results, minutes):
    rows = [("processors shared by server, neighbour and abuse", os.cpu_count()), *machine.describe(pathlib.Path(options.dir))]
    rows += [(server.name, server.describe()) for server in made]
    rows += [generator(results), ("rounds", f"{options.rounds}; {options.seconds:g} s alone and beside; {minutes:.1f} minutes in all"),
             ("crowds", "a tenth of those that are named" if options.quick else "as named")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = ["count", "p50", "p99", "max", "p99_corrected"]
    writer.writerow(["scenario", "server", "round", "phase", "kind", *columns])
    for result in results:
        for phase, part in {"alone": result["alone"], "beside": result["beside"], **result["phases"]}.items():
            for kind, found in part.items():
                head = [result["scenario"], result["server"], result["round"], phase, kind]
                writer.writerow([*head, *(found[key] for key in columns)])
    command, told = command_without_folders("perf/neighbours.py"), summary(results)
    print(f"\n{told}")
    save(folder, {
        "README.md": f"# Neighbours, {datetime.date.today().isoformat()}\n\nCommand: `{command}`\n\n"
                     + page.markdown_table(["", ""], rows)
                     + "\n\n`index.html` shows it whole; `summary.md` has the tables, `raw.csv` a line per phase, `raw/` each measurement "
                       "whole. The abuse's own processor time is part of what the neighbour feels; the scenario `spin` shows how much a "
                       "process costs it that does nothing to the server.\n",
        "raw.csv": out.getvalue(),
        "summary.md": told,
        **pages("Neighbours", "What does one client feel of what another does to the server?", [("command", command), *rows], told, []),
    })
    print(f"written to {folder}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help=f"which, of {', '.join(SCENARIOS)}")
    parser.add_argument("--servers", default="zookeeper,ringkeeper", help="which of zookeeper, ringkeeper")
    parser.add_argument("--seconds", type=float, default=5, help="of the neighbour alone, and of each abuse at least (default 5)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="2 s, crowds of a tenth: a look, not a result")
    parser.add_argument("--zookeeper", default="3.9.5", metavar="VERSION")
    parser.add_argument("--zookeeper-heap", default="4g", metavar="SIZE", help="its -Xmx (default 4g)")
    parser.add_argument("--dir", default=ROOT / "target" / "perf-data", help="data directories; on a real disk")
    parser.add_argument("--out", help="folder of the result (default perf/runs/<date>-<machine>-neighbours)")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target" / "release", help="folder of the release binaries")
    parser.add_argument("--noise", type=float, default=0.08, help="busy share of the machine to wait below (default 0.08)")
    parser.add_argument("--quiet-wait", type=float, default=5, help="seconds to wait at most before each measurement (default 5)")
    options = parser.parse_args()
    options.scenarios, options.servers = options.scenarios.split(","), options.servers.split(",")
    for given, known in ((options.scenarios, SCENARIOS), (options.servers, WARM_SECONDS)):
        for name in given:
            if name not in known:
                parser.error(f"{name!r} is none of {', '.join(known)}")
    options.binaries = options.binaries.resolve()
    if options.quick:
        options.seconds = min(options.seconds, 2)
    return options


def main():
    options = arguments()
    results, unwritten, began, directory = [], False, time.monotonic(), pathlib.Path(options.dir).resolve()
    check(options)
    load = options.binaries / "ringkeeper-load"
    made = []
    for name in options.servers:
        if name == "ringkeeper":
            made.append(Ringkeeper(directory, load, options.binaries / "ringkeeper"))
        else:
            made.append(ZooKeeper(directory, load, options.zookeeper, options.zookeeper_heap))
            made[-1].fetch()
    folder = new_folder(options, "-neighbours")
    try:
        for round_number in range(1, options.rounds + 1):
            for name in options.scenarios:
                for server in made:
                    result = measure(name, server, options, round_number, folder)
                    results.append(result)
                    try:
                        save(folder, {f"raw/{name}-{server.name}-{round_number}.json": json.dumps(result, indent=1) + "\n"})
                    except ServerError as error:
                        # It is in the tables all the same.
                        print(f"neighbours.py: {error}", file=sys.stderr)
                        unwritten = True
                    told = [f"{kind} {part} {cell([result], part, kind)}"
                            for kind in ("get", "set") for part in ("alone", "beside")]
                    print(f"{name} {server.name}: {'; '.join(told)}{'  FAILED' if failed(result) else ''}", flush=True)
    finally:
        # What was measured before a failure is kept.
        write_result(folder, options, made, results, (time.monotonic() - began) / 60)
    return 1 if unwritten or any(failed(result) for result in results) else 0


if __name__ == "__main__":
    sys.exit(guarded("neighbours.py", main))
