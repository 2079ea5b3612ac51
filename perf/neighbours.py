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
import random
import re
import resource
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

import machine
import page
from disturb import (ANSWER_SECONDS, CLOSE, EPHEMERAL, EXISTS, GET_CHILDREN, GET_DATA, HEADER, HELLO, HELLO_ANSWER, MULTI, PING_FRAME,
                     STAT, Crowd, Session, create, delete, dial, event_bytes, frame, multi, read, set_data, text)
from results import check, command_without_folders, guarded, new_folder, pages, save
from servers import ROOT, Ringkeeper, ServerError, ZooKeeper

PAUSE_SECONDS, LEAVING_SECONDS = 0.002, 1
CAP = 4  # An abuse that has to get through something is ended after so many times --seconds.
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


class Abuse:
    """What each scenario gets: where, how much, how long. `phase` begins a part that is told apart in the result."""

    def __init__(self, port, seconds, scale):
        self.port, self.seconds, self.scale, self.facts = port, seconds, scale, {}
        self.end = self.cap = time.monotonic() + ANSWER_SECONDS

    def begin(self, name):
        """The abuse itself begins here; all before was preparation."""
        self.end = time.monotonic() + self.seconds
        self.cap = time.monotonic() + CAP * self.seconds
        self.phase(name)

    def phase(self, name):
        print(f"phase {name.replace(' ', '-')} {time.monotonic_ns()}", flush=True)

    def many(self, count):
        return max(1, count // self.scale)

    def going(self):
        return time.monotonic() < self.end

    def hold(self):
        """The phase now beginning gets the whole of --seconds."""
        self.end = time.monotonic() + self.seconds


def spin(abuse):
    """No abuse, a control: a process that computes and leaves the server alone"""
    abuse.begin("spinning")
    while abuse.going():
        sum(range(10_000))


OVERSIZED = frame(random.Random(0).randbytes(2 << 20))


def garbage_bytes(dice):
    """What to send, and whether after a true handshake."""
    noise = dice.randbytes(dice.randrange(1, 4096))
    shapes = [noise, struct.pack(">i", 0x7FFFFFFF) + noise, struct.pack(">i", -dice.randrange(1, 1 << 31)) + noise,
              frame(b""), frame(noise), OVERSIZED, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HELLO[:-9] + noise,
              frame(struct.pack(">iqiq", 0, 1 << 62, -5, dice.getrandbits(62)) + text("wrong password 16") + b"\7")]
    sick = [struct.pack(">ii", 1, 9999), struct.pack(">ii", 1, GET_DATA) + struct.pack(">i", 1 << 30) + noise,
            struct.pack(">ii", 1, MULTI) + noise, create("/g" + "/x" * dice.randrange(9))[:-7], noise,
            struct.pack(">ii", 1, GET_CHILDREN) + struct.pack(">i", -77), read(GET_DATA, "no-slash"), read(GET_DATA, "/\0\1")]
    return (frame(dice.choice(sick)), True) if dice.random() < 0.5 else (dice.choice(shapes), False)


def garbage(abuse):
    """16 connections at a time that send random, malformed and oversized frames, and reconnect in a loop"""
    counts = []

    def loop(seed):
        dice, buffer, made = random.Random(seed), bytearray(1 << 16), 0
        while abuse.going():
            data, sessions = garbage_bytes(dice)
            try:
                with dial(abuse.port, 2 + made % 8) as connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if sessions:
                        connection.sendall(HELLO)
                        connection.recv_into(buffer)
                    connection.settimeout(0.01)
                    connection.sendall(data)
                    connection.recv_into(buffer)
            except OSError:
                pass
            made += 1
        counts.append(made)

    abuse.begin("garbage")
    threads = [threading.Thread(target=loop, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    abuse.facts["connections"] = sum(counts)


def half(abuse):
    """2,000 connections that send half a frame and no more: half of them of the handshake, half of a request"""
    abuse.begin("connecting")
    crowd, request = Crowd(abuse.port), frame(read(GET_DATA, "/neighbour"))
    for sessions, data in ((False, HELLO), (True, request)):
        before = len(crowd.peers)
        crowd.connect(abuse.many(1000), abuse.cap, sessions)
        for peer in crowd.peers[before:]:
            crowd.put(peer, data[:len(data) // 2], 0)
    abuse.facts["connections"] = len(crowd.peers)
    abuse.phase("standing")
    abuse.hold()
    while abuse.going():
        crowd.turn(0.1)
    abuse.facts["dropped"] = crowd.dropped


def slow(abuse):
    """500 clients that send a byte each 100 ms, half of them from the handshake on, half in a session"""
    abuse.begin("connecting")
    crowd, count = Crowd(abuse.port), abuse.many(250)
    crowd.connect(count, abuse.cap, sessions=False)
    crowd.connect(count, abuse.cap)
    abuse.phase("dripping")
    abuse.hold()
    gets, place, next_byte = 100 * frame(read(GET_DATA, "/neighbour")), 0, time.monotonic()
    late = HELLO + gets
    while abuse.going():
        for number, peer in enumerate(crowd.peers):
            whole = gets if number >= count else late
            crowd.put(peer, whole[place % len(whole):][:1], 0)
        place, next_byte = place + 1, next_byte + 0.1
        while (left := next_byte - time.monotonic()) > 0:
            crowd.turn(left)
    abuse.facts |= {"connections": len(crowd.peers), "dropped": crowd.dropped, "bytes_each": place}


def deaf(abuse):
    """500 clients that ask for 10 kB as fast as they can send, and never read"""
    Session(abuse.port).request(create("/big", data="x" * 10_000))
    crowd, requests = Crowd(abuse.port), 1000 * frame(read(GET_DATA, "/big"))
    abuse.begin("connecting")
    crowd.connect(abuse.many(500), abuse.cap)
    abuse.phase("asking")
    abuse.hold()
    asked, places = 0, {peer: 0 for peer in crowd.peers}
    while abuse.going():
        for peer, place in list(places.items()):
            try:
                sent = peer.socket.send(memoryview(requests)[place:place + 1600])
                asked, places[peer] = asked + sent, (place + sent) % len(requests)
            except BlockingIOError:
                pass
            except OSError:
                del places[peer]
        time.sleep(0.001)
    length = len(requests) // 1000
    abuse.facts |= {"connections": len(crowd.peers), "cut_off": len(crowd.peers) - len(places), "requests_taken": asked // length}


def flood(abuse, body, answer):
    session = Session(abuse.port)
    session.request(create("/flood", data="x" * 100))
    one, outstanding, partial, answered = frame(body), 1000, 0, 0
    many, connection, buffer = memoryview(one * outstanding), session.socket, bytearray(1 << 18)
    abuse.begin("flooding")
    connection.sendall(many)
    while abuse.going():
        whole, partial = divmod(partial + connection.recv_into(buffer), answer)
        answered += whole
        connection.sendall(many[:whole * len(one)])
    abuse.facts["answers"] = answered


def flood_get(abuse):
    """One client with 1,000 gets outstanding all the time"""
    flood(abuse, read(GET_DATA, "/flood"), HEADER + 4 + 100 + STAT)


def flood_set(abuse):
    """One client with 1,000 sets outstanding all the time"""
    flood(abuse, set_data("/flood", "y" * 100), HEADER + STAT)


def idle(abuse):
    """15,000 connections with sessions from 8 addresses, each of which pings every 3 s"""
    abuse.begin("connecting")
    crowd = Crowd(abuse.port)
    crowd.connect(abuse.many(15_000), abuse.cap)
    abuse.facts["connections"] = len(crowd.peers)
    abuse.phase("standing")
    abuse.hold()
    slices, number = 300, 0
    while abuse.going():
        for peer in crowd.peers[number % slices::slices]:
            crowd.put(peer, PING_FRAME, HEADER)
        number, until = number + 1, time.monotonic() + 3 / slices
        while (left := until - time.monotonic()) > 0:
            crowd.turn(left)
    abuse.facts |= {"dropped": crowd.dropped, "unanswered_pings": len(crowd.unfinished)}


def watches(abuse):
    """A million watches, 100 sessions on 10,000 znodes; then each of these znodes is changed; over and over"""
    paths = [f"/watched/{number:06}" for number in range(abuse.many(10_000))]
    session = Session(abuse.port)
    session.request(create("/watched"))
    session.pipeline(multi([create(path) for path in paths[first:first + 1000]]) for first in range(0, len(paths), 1000))
    crowd = Crowd(abuse.port)
    crowd.connect(100, abuse.cap)
    requests = b"".join(frame(read(EXISTS, path, True)) for path in paths)
    abuse.begin("watching")
    set_watches = changes = events = 0
    while abuse.going():
        abuse.phase("watching")
        before = sum(peer.got for peer in crowd.peers)
        for peer in crowd.peers:
            crowd.put(peer, requests, len(paths) * (HEADER + STAT))
        crowd.pump(abuse.cap)
        between = sum(peer.got for peer in crowd.peers)
        abuse.phase("changing")
        for peer in crowd.peers:
            crowd.expect(peer, len(paths) * event_bytes(paths[0]))
        reader = threading.Thread(target=crowd.pump, args=(abuse.cap,))
        reader.start()
        changes += session.pipeline((set_data(path, "new") for path in paths), deadline=abuse.cap)
        reader.join()
        set_watches += (between - before) // (HEADER + STAT)
        events += (sum(peer.got for peer in crowd.peers) - between) // event_bytes(paths[0])
    abuse.facts |= {"watches": set_watches, "changes": changes, "events": events, "dropped": crowd.dropped}


def fan(abuse):
    """A znode that 15,000 sessions watch is changed each second; all of them watch it again"""
    session = Session(abuse.port)
    session.request(create("/fan"))
    abuse.begin("connecting")
    crowd, again, rounds, complete = Crowd(abuse.port), frame(read(EXISTS, "/fan", True)), 0, 0
    crowd.connect(abuse.many(15_000), abuse.cap)
    abuse.facts["sessions"] = len(crowd.peers)

    def watch():
        for peer in crowd.peers:
            crowd.put(peer, again, HEADER + STAT)
        return crowd.pump(abuse.cap)

    watch()
    abuse.phase("changing")
    abuse.hold()
    while abuse.going() and time.monotonic() < abuse.cap:
        began = time.monotonic()
        session.request(set_data("/fan", "new"))
        for peer in crowd.peers:
            crowd.expect(peer, event_bytes("/fan"))
        complete += crowd.pump(abuse.cap) and watch()
        rounds += 1
        time.sleep(max(0.0, began + 1 - time.monotonic()))
    abuse.facts |= {"changes": rounds, "told_to_all_and_watched_again": complete, "dropped": crowd.dropped}


def ephemerals(abuse):
    """A session that makes 100,000 ephemerals and closes, over and over"""
    Session(abuse.port).request(create("/e"))
    count, closed = abuse.many(100_000), 0
    abuse.begin("making")
    while abuse.going():
        abuse.phase("making")
        session = Session(abuse.port)
        lots = (range(first, min(first + 1000, count)) for first in range(0, count, 1000))
        made = session.pipeline((multi([create(f"/e/{number:06}", EPHEMERAL) for number in lot]) for lot in lots), 4, abuse.cap)
        abuse.phase("closing")
        session.request(struct.pack(">ii", 1, CLOSE))
        session.socket.close()
        closed += 1
    abuse.facts |= {"closed_sessions": closed, "ephemerals_of_the_last": min(count, made * 1000)}


def wide(abuse):
    """A million children made below one znode, in multis of 1,000; then another client lists them, three times at least"""
    session = Session(abuse.port)
    session.request(create("/wide"))
    lots = abuse.many(1000)
    abuse.begin("making")
    creates = (multi([create(f"/wide/{lot:03}{number:03}") for number in range(1000)]) for lot in range(lots))
    made = session.pipeline(creates, 4, abuse.cap)
    abuse.facts["children"] = 1000 * made
    abuse.phase("listing")
    other = Session(abuse.port)
    listings = 0
    while abuse.going() or listings < 3:
        (listed,) = struct.unpack_from(">i", other.request(read(GET_CHILDREN, "/wide")))
        listings += 1
    abuse.facts |= {"listed": listed, "listings": listings}


def deep(abuse):
    """A path of depth 1,000 made, its end changed and read 1,000 times, and removed again, over and over"""
    session, paths, times = Session(abuse.port), ["/d" * depth for depth in range(1, 1001)], 0
    abuse.begin("deep")
    while abuse.going():
        session.pipeline(create(path) for path in paths)
        session.pipeline(body for _ in range(500) for body in (set_data(paths[-1], "x" * 100), read(GET_DATA, paths[-1])))
        session.pipeline(delete(path) for path in reversed(paths))
        times += 1
    abuse.facts["times"] = times


SCENARIOS = {function.__name__.replace("_", "-"): function for function in (
    spin, garbage, half, slow, deaf, flood_get, flood_set, idle, watches, fan, ephemerals, wide, deep)}


def abuse_main(name, port, seconds, scale):
    """The other process. Prints its phases, and at the end what it did."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if name in ("idle", "fan") and hard != resource.RLIM_INFINITY and hard < 15_200 // scale:
        sys.exit(f"{name} needs {15_200 // scale} open files, {hard} are allowed: raise ulimit -n")
    abuse = Abuse(port, seconds, scale)
    SCENARIOS[name](abuse)
    abuse.phase("over")
    print("facts " + json.dumps(abuse.facts), flush=True)
    os._exit(0)  # Sockets are closed by the kernel, at once.


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
    command = [sys.executable, __file__, "--abuse", name, "--port", str(server.port), "--seconds", str(options.seconds)]
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
    rows += [("rounds", f"{options.rounds}; {options.seconds:g} s alone and beside; {minutes:.1f} minutes in all"),
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
    for hidden, kind in (("--abuse", str), ("--port", int), ("--scale", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.scenarios, options.servers = options.scenarios.split(","), options.servers.split(",")
    for given, known in ((options.scenarios, SCENARIOS), (options.servers, WARM_SECONDS)):
        for name in given:
            if name not in known:
                parser.error(f"{name!r} is none of {', '.join(known)}")
    options.binaries = options.binaries.resolve()
    if options.quick and not options.abuse:
        options.seconds = min(options.seconds, 2)
    return options


def main():
    options = arguments()
    if options.abuse:
        return abuse_main(options.abuse, options.port, options.seconds, options.scale)
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
