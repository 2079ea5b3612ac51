"""Trees of three sizes: memory, restart, and writes while a snapshot of the tree is written."""

import time

import machine
import rows
from chart import Chart, Line
from scenarios.kit import derived, median, servers_in
from scenarios.sizes import told
from servers import ServerError
from snapshot_watch import share_while_writing

NAME = "snapshots"
TITLE = "Snapshots, memory and restart"
QUESTION = "What does a tree of ten thousand, a million or ten million znodes cost in memory, at a restart, and while it is snapshotted?"
# Parents of a thousand children each.
CHILDREN = 1000
ROW = "tree"
ORDER, ONE_ROUND = "one server after the other", True
WITHOUT = {"etcd": "it keeps its keys in a file on disk and all of their history, so that neither memory nor snapshots are the same work"}


def run(kit):
    kit.own("servers are restarted")
    for znodes in kit.options.trees:
        for name in kit.servers:
            kit.tried(f"{name}, {znodes:,} znodes", lambda name=name, znodes=znodes: of(kit, name, znodes))


def of(kit, name, znodes):
    ensemble = kit.ensemble(name, 1)
    member = ensemble.members[0]
    bench, target = kit.bench, ensemble.led()
    empty = rows.status_bytes(member.pid)
    begin = time.monotonic()
    bench.load(target, ["--preload", f"{znodes // CHILDREN}x{CHILDREN}", "--warmup", 0, "--seconds", 0.1], False)
    fill_seconds = time.monotonic() - begin
    time.sleep(5)
    memory = rows.status_bytes(member.pid)
    # How much a snapshot slows writes: with a snapCount that gives some of them.
    load = ["--op", "set", "--sessions", 32, "--outstanding", 16, "--keys", znodes]
    probe = bench.load(target, [*load, "--warmup", 1, "--seconds", 4])["operations_per_second"]
    member.stop()
    machine.wait_until_quiet(bench.noise_limit, bench.quiet_wait)
    seconds, count = window(znodes, kit.options.seconds)
    member.settings = {**member.settings, "snapCount": max(1_000, int(probe * seconds / count))}
    last = f"/preload/p{znodes // CHILDREN - 1:04}/child-{CHILDREN - 1:05}"
    restart_seconds = member.start(last)
    # A JVM that is new has compiled nothing yet.
    kit.warm_member(ensemble, member)
    result = rows.watched_load(bench, ensemble, load, seconds, kit.counted_load)
    share, inside, outside = share_while_writing(result, result["snapshots"])
    lengths = [(end - begin) / 1e9 for begin, end in result["snapshots"]]
    result.update(
        x=znodes, label=f"{znodes:,} znodes", fill_seconds=fill_seconds, restart_seconds=restart_seconds,
        bytes_per_znode=(memory["anonymous"] - empty["anonymous"]) / znodes, memory=memory, snapshot_seconds=lengths,
        seconds_inside=inside / 10, seconds_outside=outside / 10, value=share, unit="share", derived=derived(result))
    share_text = "not measurable" if share is None else f"{share:.0%}"
    result["line"] = (
        f"{memory['anonymous'] / 1e6:.0f} MB, restart {restart_seconds:.2f} s, {share_text} of the throughput while a snapshot was "
        f"written ({', '.join(f'{length:.1f}' for length in lengths) or 'none'} s)")
    bench.record(ROW, name, 1, result)


def window(znodes, seconds):
    """(seconds, snapshots that are asked for at the rate before) of the load: its slices beside snapshots and without make a second each,
    as far as can be. Of ten thousand a snapshot takes less than a slice, so that many are needed, two a second at most; of ten million
    about a minute, so that one begins in the middle."""
    whole = seconds * 6 * max(1, znodes / 2_500_000)
    return (whole, min(2 * whole, max(2, 3_000_000 // znodes)))


def parse_trees(text):
    """`10k,1m,10m`, or plain numbers; thousands of znodes each."""
    found = []
    for part in text.lower().split(","):
        unit = {"k": 1_000, "m": 1_000_000}.get(part[-1:], 1)
        digits = part.rstrip("km")
        if not digits.isdigit() or int(digits) * unit < CHILDREN or int(digits) * unit % CHILDREN:
            raise ServerError(f"--trees {text}: {part!r} is no number of thousands of znodes, as 10k or 1m")
        found.append(int(digits) * unit)
    return found


def report(results):
    names, charts, table = servers_in(results), [], []
    trees = sorted({result["x"] for result in results})
    for what, title in (("restart_seconds", "restart until the last znode is read, s"),
                        ("bytes_per_znode", "memory per znode, bytes")):
        lines = [Line(name, [(r["x"], r[what]) for r in results if r["server"] == name]) for name in names]
        charts.append(Chart(title.split(",")[0], "znodes of 100 bytes", title, lines, x_log=True, y_log=what == "restart_seconds"))
    for znodes in trees:
        lines = [Line(r["server"], [(i / 10, count) for i, count in enumerate(r["series_100ms"]["replies"])])
                 for r in results if r["x"] == znodes]
        charts.append(Chart(f"set, 32 × 16, on {znodes:,} znodes with snapshots", "seconds", "writes per 100 ms", lines,
                            with_marks=False))
        for name in names:
            for r in (r for r in results if (r["x"], r["server"]) == (znodes, name)):
                table.append([f"{znodes:,}", name, told(r["memory"]["anonymous"] / 1e6), told(r["bytes_per_znode"]),
                              told(r["fill_seconds"]), told(r["restart_seconds"]), told(r["operations_per_second"]),
                              told(r["derived"].get("leader_syncs_per_second")), told(r["derived"].get("operations_per_leader_sync")),
                              "–" if r["value"] is None else f"{r['value']:.0%}", told(median(r["snapshot_seconds"])),
                              told(r["latency"]["p99_us"] / 1000), told(r["latency"]["max_us"] / 1000)])
    header = ["znodes", "server", "MB", "bytes per znode", "filled in s", "restart s", "writes/s", "syncs/s", "writes per sync",
              "share while a snapshot is written", "s per snapshot", "p99 ms", "max ms"]
    return charts, [("Figures", header, table)]
