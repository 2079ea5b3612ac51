"""What clients see when a server is lost: acknowledged writes in 100 ms buckets."""

import os
import signal
import threading
import time

import etcd_writer
import failover
import machine
import rows
from chart import Chart, Line
from ensemble_rows import noise_before, rejoined
from scenarios.kit import counted, median, servers_in, syncs
from scenarios.sizes import told
from servers import ServerError

NAME = "lost"
ORDER = "one server after the other"
TITLE = "Fail-over"
QUESTION = "For how long are writes not acknowledged when the leader or a follower dies, falls silent, or all are restarted in turn?"
VOTERS = 3
WRITERS_EACH = 2
BUCKET_NS = 100_000_000
BEFORE_SECONDS, AFTER_SECONDS = 2, 8
# A silent leader is given up after tickTime × syncLimit: one second here, stated in the result.
SETTINGS = {"tickTime": 500, "syncLimit": 2}
PAUSE_SECONDS = 4
READY_SECONDS = 30


def run(kit):
    kit.own("servers are killed")
    for name in kit.servers:
        kit.tried(name, lambda name=name: of(kit, name))


def of(kit, name):
    ensemble = kit.ensemble(name, VOTERS, settings=SETTINGS)
    for round_number in range(1, kit.options.rounds + 1):
        for event in EVENTS:
            measure(kit, ensemble, event, round_number)


def kill_leader(ensemble):
    leader = ensemble.leader()
    leader.process.send_signal(signal.SIGKILL)
    return lambda: back(ensemble, leader)


def kill_follower(ensemble):
    leader = ensemble.leader()
    follower = next(member for member in ensemble.running if member is not leader)
    follower.process.send_signal(signal.SIGKILL)
    return lambda: back(ensemble, follower)


def pause_leader(ensemble):
    leader = ensemble.leader()
    os.kill(leader.pid, signal.SIGSTOP)
    timer = threading.Timer(PAUSE_SECONDS, lambda: leader.process.send_signal(signal.SIGCONT))
    timer.start()

    def end():
        timer.join()
        rejoined(ensemble, leader)

    return end


def restart_all(ensemble):
    """Followers first, each when the one before is back; the leader last."""
    leader = ensemble.leader()
    members = [member for member in ensemble.running if member is not leader] + [leader]
    failed = []

    def in_turn():
        try:
            for member in members:
                member.stop()
                ensemble.launch(member)
                rejoined(ensemble, member)
        except Exception as error:  # noqa: BLE001 - told by the caller
            failed.append(error)

    thread = threading.Thread(target=in_turn)
    thread.start()

    def end():
        thread.join()
        if failed:
            raise failed[0]

    return end


def back(ensemble, member):
    member.stop(hard=True)
    ensemble.launch(member)
    rejoined(ensemble, member)


EVENTS = {"leader-killed": kill_leader, "follower-killed": kill_follower, "leader-paused": pause_leader,
          "rolling-restart": restart_all}


def measure(kit, ensemble, event, round_number):
    noise = noise_before(kit.bench)
    addresses = ensemble.addresses
    writers = []
    writer_of = etcd_writer.Writer if ensemble.name == "etcd" else failover.Writer
    for number in range(WRITERS_EACH * len(addresses)):
        turn = number % len(addresses)
        writers.append(writer_of(addresses[turn:] + addresses[:turn], f"/lost-{event}-{number}"))
    try:
        for writer in writers:
            writer.start()
        for writer in writers:
            if not writer.ready.wait(READY_SECONDS):
                raise ServerError(f"{ensemble.name}: the client at {writer.addresses[0]} wrote nothing for {READY_SECONDS} s")
        before = Usage(ensemble)
        time.sleep(BEFORE_SECONDS)
        used = before.until_now()
        signalled = time.monotonic_ns()
        end = EVENTS[event](ensemble)
        if event == "rolling-restart":
            end()
            end = None
        time.sleep(AFTER_SECONDS)
        over = time.monotonic_ns()
    finally:
        for writer in writers:
            writer.finish()
    if end is not None:
        end()
    times = sorted(answered for writer in writers for _, answered in writer.acknowledged)
    result = {
        **noise, "x": 0, "label": event, "bucket_ms": BUCKET_NS / 1e6,
        "buckets": buckets(times, signalled - BEFORE_SECONDS * 1_000_000_000, over),
        "value": longest_gap(times, signalled, over) / 1e6, "unit": "ms",
        "longest_of_a_client_ms": max(
            longest_gap([answered for _, answered in writer.acknowledged], signalled, over) for writer in writers) / 1e6,
        "sessions_lost": total(writer.sessions_lost for writer in writers),
        "errors": errors_of(writers), "derived": used.each(times),
    }
    result["line"] = (f"no write for {result['value']:.0f} ms, one client for {result['longest_of_a_client_ms']:.0f} ms, "
                      f"{told(result['sessions_lost'])} sessions lost")
    kit.bench.record(event, ensemble.name, round_number, result)
    if ensemble.name in rows.WARM_SECONDS:
        # Members that came back have compiled nothing yet, and the next event is not to be seen through that.
        for member in ensemble.running:
            kit.warm_member(ensemble, member)


class Usage:
    """What the members use while all is well: processor time and syncs, for the writes that were acknowledged meanwhile."""

    def __init__(self, ensemble):
        self.led = ensemble.led()
        self.begin, self.used, self.end = time.monotonic_ns(), self.each_member(), None

    def each_member(self):
        return [{"cpu_seconds": machine.cpu_seconds(member.pid), **member.counters()} for member in self.led.members]

    def until_now(self):
        self.end = time.monotonic_ns()
        self.used = counted(self.used, self.each_member())
        return self

    def each(self, times):
        """For each of the writes that were acknowledged in this time; `times` in ns."""
        writes = sum(1 for at in times if self.begin < at <= self.end)
        if not writes:
            return {}
        cpu, found = self.used["cpu_seconds"], {}
        # What a thread that has ended took is forgotten: a sum that fell is not known.
        if total(cpu) is not None:
            found["cpu_us_per_operation"] = total(cpu) * 1e6 / writes
        if cpu[0] is not None:
            found["leader_cpu_us_per_operation"] = cpu[0] * 1e6 / writes
        return {**found, **syncs(self.used["syncs"], writes, (self.end - self.begin) / 1e9)}


def total(counts):
    """None where there is nothing to count: etcd's clients have no session."""
    counts = list(counts)
    return None if None in counts else sum(counts)


def errors_of(writers):
    """By what the servers said: ZooKeeper's a number, etcd's a sentence."""
    found = {}
    for writer in writers:
        for what, count in writer.errors.items():
            what = f"code {what}" if isinstance(what, int) else what
            found[what] = found.get(what, 0) + count
    return found


def buckets(times, begin, end):
    """Acknowledged writes in each bucket from `begin` on, in ns. The last one, which isn't full, is left out."""
    counts = [0] * max(0, (end - begin) // BUCKET_NS)
    for at in times:
        index = (at - begin) // BUCKET_NS
        if 0 <= index < len(counts):
            counts[index] += 1
    return counts


def longest_gap(times, begin, end):
    """The longest time without an acknowledgement between `begin` and `end`, in ns."""
    inside = [begin, *(at for at in times if begin < at < end), end]
    return max(later - earlier for earlier, later in zip(inside, inside[1:]))


def report(results):
    names, charts, table = servers_in(results), [], []
    for event in dict.fromkeys(result["row"] for result in results):
        lines = []
        for name in names:
            rounds = [r for r in results if (r["row"], r["server"]) == (event, name)]
            if not rounds:
                continue
            # The round in the middle, drawn as it was: a median of buckets would hide a gap.
            middle = sorted(rounds, key=lambda r: r["value"])[len(rounds) // 2]
            points = [(index / 10 - BEFORE_SECONDS, count) for index, count in enumerate(middle["buckets"])]
            lines.append(Line(name, [(x + BEFORE_SECONDS, y) for x, y in points]))
            table.append([event, name, told(median([r["value"] for r in rounds])),
                          told(median([r["longest_of_a_client_ms"] for r in rounds])),
                          told(total(r["sessions_lost"] for r in rounds))])
        charts.append(Chart(f"{event.replace('-', ' ')} after {BEFORE_SECONDS} s", "seconds", "writes per 100 ms", lines,
                            marks=[(BEFORE_SECONDS, "")], with_marks=False))
    header = ["event", "server", "ms without a write", "of the unluckiest client", "sessions lost"]
    title = (f"{WRITERS_EACH * VOTERS} clients, one write outstanding each; silence is detected after 1 s, "
             "and clients wait 0.5 s for a silent server")
    return charts, [(title, header, table)]
