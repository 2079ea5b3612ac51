"""Watch fan-out from 1 to 15,000 sessions, and the memory of a million watches."""

import resource
import time

import rows
from chart import Chart, Line
from disturb import Crowd, EXISTS, HEADER, STAT, Session, create, frame, multi, read
from scenarios.kit import servers_in
from scenarios.sizes import told
from servers import ServerError

NAME = "watches"
TITLE = "Watches"
QUESTION = "After how long has the first and the last of many sessions heard of a change, and what does a watch weigh?"
WATCHERS = [1, 10, 100, 1000, 5000, 15_000]
ZNODES, WATCHING = 10_000, 100
FAN, MEMORY = "fan", "memory"
WITHOUT = {"etcd": "its watches are streams of a range's history, which stay; ZooKeeper's are of a znode, and are told once"}
# Beside the watchers: the generator's and this script's own files.
FILES_SPARE = 200
MEMORY_SECONDS_MAX = 300


def run(kit):
    kit.tried("fan-out", lambda: fan(kit))
    if not kit.running:
        for name in kit.servers:
            kit.tried(f"{name}, a million watches", lambda name=name: memory(kit, name))


def fan(kit):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    targets = [kit.target(name, 1) for name in kit.names]
    for round_number in range(1, kit.options.rounds + 1):
        for count in WATCHERS:
            if hard != resource.RLIM_INFINITY and count + FILES_SPARE > hard:
                raise ServerError(f"{count} sessions need {count + FILES_SPARE} open files, {hard} are allowed: raise ulimit -n")
            for target in targets:
                kit.measure(FAN, target, count, ["--op", "watch", "--sessions", count], round_number, label=f"{count} watchers")


def memory(kit, name):
    """100 sessions watch the same 10,000 znodes: nothing of a watch can be shared but the path."""
    ensemble = kit.ensemble(name, 1)
    member = ensemble.members[0]
    deadline = time.monotonic() + MEMORY_SECONDS_MAX
    paths = [f"/watched/{number:06}" for number in range(ZNODES)]
    session = Session(member.port)
    session.request(create("/watched"))
    session.pipeline(multi([create(path) for path in paths[first:first + 1000]]) for first in range(0, ZNODES, 1000))
    crowd = Crowd(member.port)
    crowd.connect(WATCHING, deadline)
    before = rows.status_bytes(member.pid)
    requests = b"".join(frame(read(EXISTS, path, True)) for path in paths)
    begin, greeted = time.monotonic(), sum(peer.got for peer in crowd.peers)
    for peer in crowd.peers:
        crowd.put(peer, requests, ZNODES * (HEADER + STAT))
    crowd.pump(deadline)
    seconds = time.monotonic() - begin
    watches = (sum(peer.got for peer in crowd.peers) - greeted) // (HEADER + STAT)
    if watches != ZNODES * WATCHING:
        raise ServerError(f"{name}: {watches} of {ZNODES * WATCHING} watches were set in {MEMORY_SECONDS_MAX} s")
    # What a server gives back after the load, it may give back.
    time.sleep(5)
    after = rows.status_bytes(member.pid)
    each = (after["anonymous"] - before["anonymous"]) / watches
    result = {"x": watches, "label": f"{watches:,} watches", "before": before, "after": after, "bytes_per_watch": each,
              "set_seconds": seconds, "value": each, "unit": "bytes", "errors": {}}
    result["line"] = f"{each:.0f} bytes a watch, {watches:,} of them set in {seconds:.1f} s"
    kit.bench.record(MEMORY, name, 1, result)


def told_after(result, kind, which):
    """ms from the change until a watcher (`watch`) or the last of them (`watch_last`) was told; None without a round."""
    found = result.get("latency_by_kind", {}).get(kind) or {}
    return found[which] / 1000 if found.get("count") else None


def report(results):
    names, table, charts = servers_in(results), [], []
    fans = [result for result in results if result["row"] == FAN]
    for kind, which, title in (("watch", "p50_us", "half of the watchers told"), ("watch_last", "p50_us", "the last watcher told")):
        lines = []
        for name in names:
            found = {}
            for result in (result for result in fans if result["server"] == name):
                found.setdefault(result["x"], []).append(told_after(result, kind, which))
            points = [(x, sorted(ys)[len(ys) // 2]) for x, ys in sorted(found.items()) if None not in ys]
            lines.append(Line(name, points))
        charts.append(Chart(title, "sessions that watch one znode", "ms after the change", lines, x_log=True, y_log=True))
    for result in fans:
        cells = [told_after(result, kind, which) for kind, which in (
            ("watch", "p50_us"), ("watch", "p99_us"), ("watch_last", "p50_us"), ("watch_last", "max_us"))]
        table.append([result["server"], f"{result['x']:,}", result["round"], *(told(cell) for cell in cells)])
    weights = [[r["server"], told(r["bytes_per_watch"]), told(r["set_seconds"])] for r in results if r["row"] == MEMORY]
    header = ["server", "watchers", "round", "p50 ms", "p99 ms", "last told, p50 ms", "last told, max ms"]
    return charts, [("From the change until they are told", header, table),
                    ("A million watches", ["server", "bytes each", "set in s"], weights)]
