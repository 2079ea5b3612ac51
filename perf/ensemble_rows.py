"""The rows of the ensembles' table: how each is measured. Results are dictionaries, as in rows.py.

Used by ensemble.py, which owns the ensembles and the order.
"""

import os
import signal
import time

import failover
import machine
import rows
import syncers
from rows import KEYS, Row
from servers import ServerError

SERVERS = ["zookeeper", "ringkeeper"]
RECOVERY_SECONDS = 60
# A write that was sent so long after the signal can't have been answered by the signalled leader.
SETTLE_NS = 5_000_000

ROWS = [
    Row("set3", "set, 3 voters, 32 × 16", "closed3", "set", 32, 16),
    Row("set1", "set, 3 voters, 1 × 1 at the leader, p50", "closed3", "set", 1, 1, "p50_us"),
    Row("set1f", "set, 3 voters, 1 × 1 at a follower, p50", "closed3", "set", 1, 1, "p50_us"),
    Row("mixed3", "90 % get 10 % set, 3 voters, 32 × 16", "closed3", "mixed:0.9", 32, 16),
    Row("get3", "get, 3 voters, 32 × 16", "closed3", "get", 32, 16),
    Row("kill", "leader killed, until a survivor's client writes again", "kill"),
    Row("set5", "set, 5 voters, 32 × 16", "closed5", "set", 32, 16),
    Row("followers", "leader's CPU per write, by followers", "followers", "set", 32),
    Row("observers", "leader's CPU per write, by observers", "observers", "set", 32),
    Row("stop", "leader's host silent (SIGSTOP), beyond detection", "stop"),
    Row("openloop", "open loop of sets at half capacity, 3 voters", "open", "set", 32),
]
# Of the floor, measured with the rows named `set1…`, whose aim they are.
FLOOR_ROWS = [
    Row("hop", "loopback round trip: a get from the floor, 1 × 1, p50", "floor", "get", 1, 1, "p50_us"),
    Row("syncers", "three-syncer floor: until a quorum has synced, p50", "floor"),
]


def noise_before(bench):
    """For what can't be repeated or told from others' work while it runs: waits for a quiet machine and says how busy it
    still was. Nothing where no wait is asked for."""
    if bench.quiet_wait <= 0:
        return {}
    share = machine.wait_until_quiet(bench.noise_limit, bench.quiet_wait)
    return {"noise": share, "noisy": share > bench.noise_limit}


def sync_floor(bench, row, directory, round_number):
    """Three processes append and sync at once."""
    noise = noise_before(bench)
    result = {**syncers.measure(directory, bench.seconds / 2), **noise}
    result.update(value=result["quorum_us"], unit="µs")
    result["line"] = (f"first {result['first_us']:.0f} quorum {result['quorum_us']:.0f} all {result['all_us']:.0f} µs, "
                      f"{result['count']} times")
    return bench.record(row.name, "floor", round_number, result)


def closed(bench, row, ensemble, round_number):
    """A closed row of rows.py; a single session sits where the row says."""
    target = ensemble
    if row.sessions == 1:
        leader = ensemble.leader()
        at = leader if row.name == "set1" else next(m for m in ensemble.running if m is not leader)
        target = ensemble.at(at)
    return rows.closed(bench, row, target, round_number)


def probe(bench, target, op="set"):
    """Operations a second of a short closed load; unrecorded."""
    arguments = ["--op", op, "--sessions", 32, "--outstanding", 16, "--keys", KEYS, "--warmup", 0.5, "--seconds", 2]
    return bench.load(target, arguments)["operations_per_second"]


def leader_cpu(bench, row, ensemble, round_number, rate, count):
    """Processor time of the leader per write at a fixed rate, all sessions at the leader; `count` is the abscissa.

    The rate is the same for every count, and so low that each write is a group of its own; the sessions stay at the
    leader, so that more members don't take clients from it.
    """
    target = ensemble.at(ensemble.leader())
    arguments = ["--op", row.op, "--sessions", row.sessions, "--rate", f"{rate:.0f}", "--keys", KEYS]
    arguments += ["--warmup", bench.warmup, "--seconds", bench.seconds]
    result = bench.quietest(lambda: bench.load(target, arguments))
    if not result["operations"]:
        raise ServerError(f"{ensemble.name}: no write was answered at {rate:.0f}/s: {result['errors']}")
    result["count"], result["others_running"] = count, len(ensemble.running) - 1
    result["value"] = result["server"]["cpu_seconds_each"][0] * 1e6 / result["operations"]
    result["unit"] = "µs of CPU per write"
    result["line"] = (f"{count} {row.name}: {result['value']:.2f} µs of the leader's CPU per write at {rate:.0f}/s, "
                      f"p50 {result['latency']['p50_us']:.0f} µs")
    return bench.record(row.name, ensemble.name, round_number, result)


def until_all_wrote(writers, instant, what):
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not all(writer.wrote_after(instant) for writer in writers):
        if time.monotonic() > deadline:
            silent = [writer.addresses for writer in writers if not writer.wrote_after(instant)]
            raise ServerError(f"no write was answered for {RECOVERY_SECONDS} s {what} to the clients at {silent}")
        time.sleep(0.002)


def leader_lost(bench, row, ensemble, round_number):
    """Kills (row kill) or stops the leader under two clients at the survivors, and brings it back.

    The value is the time from the signal until the first of the two clients had a write acknowledged again, in ms; for
    a stopped leader minus the detection time that the configuration grants.
    """
    noise = noise_before(bench)
    leader = ensemble.leader()
    survivors = [member for member in ensemble.running if member is not leader]
    writers = []
    for number, member in enumerate(survivors):
        others = [other.address for other in survivors if other is not member]
        writers.append(failover.Writer([member.address, *others], f"/failover-{number}"))
    hang_up = failover.HangUp(leader.address)
    try:
        for writer in writers:
            writer.start()
        until_all_wrote(writers, time.monotonic_ns() + 300_000_000, f"on a whole ensemble of {ensemble.name}")
        signalled = time.monotonic_ns()
        os.kill(leader.pid, signal.SIGKILL if row.kind == "kill" else signal.SIGSTOP)
        until_all_wrote(writers, signalled + SETTLE_NS, f"after the leader of {ensemble.name} was lost")
        # A little longer, so that a second pause right behind the first is seen.
        until_all_wrote(writers, time.monotonic_ns() + 200_000_000, "after the recovery")
    finally:
        closed_at = hang_up.at
        hang_up.finish()
        for writer in writers:
            writer.finish()
        if row.kind == "kill":
            leader.stop(hard=True)
        else:
            leader.process.send_signal(signal.SIGCONT)
    hung_up_ms = None if closed_at is None else (closed_at - signalled) / 1e6
    clients = [lost_times(writer, signalled) for writer in writers]
    result = lost_result(row, clients, ensemble.detection_seconds, hung_up_ms)
    result.update(noise)
    result["errors"] = {f"code {code}": count for writer in writers for code, count in writer.errors.items()}
    if row.kind == "kill":
        ensemble.launch(leader)
    rejoined(ensemble, leader)
    return bench.record(row.name, ensemble.name, round_number, result)


def lost_times(writer, signalled):
    """What one client saw, in ms from the signal; `disconnected_ms` is None where its connection lived on."""
    pause = failover.pauses(writer.acknowledged, writer.disconnects, signalled)
    if pause is None:
        raise ServerError(f"the client at {writer.addresses} had no write acknowledged around the loss of the leader")
    later = {
        "disconnected_ms": next((at for at in writer.disconnects if at > signalled), None),
        "reconnected_ms": max((at for at in writer.reconnects if at > signalled and at < pause[1]), default=None),
        "wrote_ms": pause[1],
        "last_write_before_ms": pause[0],
    }
    times = {name: None if at is None else (at - signalled) / 1e6 for name, at in later.items()}
    return {**times, "later_pause_ms": pause[2] / 1e6, "attempts_failed": writer.attempts_failed,
            "sessions_lost": writer.sessions_lost,
            "writes": len(writer.acknowledged)}


def lost_result(row, clients, detection_seconds, hung_up_ms):
    """Value and line from what the clients saw, and when the kernel closed a killed leader's sockets. Pure."""
    granted = detection_seconds * 1000 if row.kind == "stop" else 0
    first, last = (choose(client["wrote_ms"] for client in clients) for choose in (min, max))
    told = lambda name: "/".join("–" if c[name] is None else f"{c[name]:.1f}" for c in clients)  # noqa: E731
    result = {"clients": clients, "detection_ms": granted, "value": first - granted, "unit": "ms",
              "all_clients_ms": last - granted, "leader_hung_up_ms": hung_up_ms}
    hung_up = "" if hung_up_ms is None else f"the leader's sockets closed after {hung_up_ms:.1f}, "
    beyond = f" beyond the {granted:.0f} ms of detection" if granted else ""
    result["line"] = (
        f"{first - granted:.1f} ms{beyond} (all clients {last - granted:.1f}); {hung_up}"
        f"disconnected {told('disconnected_ms')}, reconnected {told('reconnected_ms')}, wrote {told('wrote_ms')} ms after the signal; "
        f"{sum(c['sessions_lost'] for c in clients)} sessions lost, "
        f"later pauses up to {max(c['later_pause_ms'] for c in clients):.0f} ms"
    )
    return result


def rejoined(ensemble, member):
    """Waits until a member that was lost answers a read as a follower."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while (mode := member.mode()) not in ("follower", "following"):
        if time.monotonic() > deadline:
            raise ServerError(f"{ensemble.name}: a lost leader isn't a follower again after {RECOVERY_SECONDS} s: {mode}")
        time.sleep(0.02)
    member.wait()
    ensemble.leader()


def open_loop_settings(rate, seconds):
    """Snapshots and segment rolls happen four times in such a load."""
    return {"snapCount": max(1_000, int(rate * seconds / 4)), "autopurge.snapRetainCount": 3,
            "autopurge.purgeInterval": 1}


def open_loop(bench, row, ensemble, round_number, rate, seconds, label):
    """Sets at `rate` over snapshots and log rolls, on an ensemble that was started with open_loop_settings."""
    arguments = ["--op", row.op, "--sessions", row.sessions, "--rate", f"{rate:.0f}", "--keys", KEYS]
    result = rows.watched_load(bench, ensemble, arguments, seconds)
    result["rate_of"] = label
    result["value"], result["unit"] = result["latency"]["p999_us"], "µs"
    result["line"] = (
        f"at {rate:.0f}/s ({label}) p50 {result['latency']['p50_us']:.0f} p99 {result['latency']['p99_us']:.0f} "
        f"p99.9 {result['latency']['p999_us']:.0f} max {result['latency']['max_us']:.0f} µs, "
        f"{len(result['snapshots'])} snapshots, {result['log_files_begun']} log files begun"
    )
    return bench.record(row.name, ensemble.name, round_number, result)
