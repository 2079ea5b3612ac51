"""Writes over longer ways: emulated round trips between the members, and one follower that is slow.

The ways are lengthened by `ringkeeper-load relay`, which stands between each learner and each leader's quorum port; clients talk
to their servers directly. Elections are not delayed. Between etcd's members one port serves for all, so theirs are.
"""

import subprocess

from chart import Chart
from ensembles import Ensemble, ensemble_port
from etcd_server import EtcdEnsemble
from scenarios.kit import figure, latency, line, series, servers_in, throughput
from scenarios.sizes import told
from servers import ServerError

NAME = "distance"
TITLE = "Longer ways between members"
QUESTION = "What do writes cost when the members are 0.2, 1 or 10 ms apart, and what when only one follower is?"
VOTERS = 3
ROUND_TRIPS_MS = [0, 0.2, 1, 10]
SLOW_MS, NEAR_MS = 10, 0.2
FULL, ALONE, SLOW_FULL, SLOW_ALONE = "set-32x16", "set-1x1", "set-32x16-one-slow", "set-1x1-one-slow"


class Relayed:
    """An ensemble whose `links` a relay bears: started before the members, and ended after them."""

    def __init__(self, load_binary, round_trip_ms, *arguments, **more):
        """`round_trip_ms(learner, leader)`: ids from 1; zero needs no relay."""
        self.load_binary, self.round_trip_ms, self.relay, self.links = load_binary, round_trip_ms, None, []
        super().__init__(*arguments, **more)

    def start(self, count=None):
        if self.links:
            command = [self.load_binary, "relay"]
            for link in self.links:
                command += ["--link", link]
            self.relay = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if "ready" not in self.relay.stdout.readline():
                raise ServerError(f"the relay doesn't start: {self.relay.stderr.read().strip()}")
        return super().start(count)

    def stop(self, hard=False):
        try:
            super().stop(hard)
        finally:
            if self.relay is not None:
                self.relay.kill()
                self.relay.communicate()
                self.relay = None


class DistantEnsemble(Relayed, Ensemble):
    """A relay between each learner and each leader's quorum port."""

    def configure(self, settings):
        super().configure(settings)
        self.links = []
        for learner, member in enumerate(self.members, 1):
            for leader, (quorum, election) in enumerate(self.peer_ports, 1):
                micros = round(self.round_trip_ms(learner, leader) * 1000 / 2)
                if learner == leader or not micros:
                    continue
                port = ensemble_port()
                self.links.append(f"127.0.0.1:{port}=127.0.0.1:{quorum}/{micros}")
                member.settings[f"server.{leader}"] = f"127.0.0.1:{port}:{election}"


class DistantEtcd(Relayed, EtcdEnsemble):
    """Every member of etcd has one address for all others, and each dials each: a relay before every member, whose delay is the
    member's share of the ways. What goes one way between two members is delayed by the one's, what comes back by the other's."""

    def configure(self, settings):
        self.relay_ports, self.links = {}, []
        for member in range(1, len(self.members) + 1):
            micros = round(own_share_ms(member, self.round_trip_ms) * 1000)
            if micros:
                self.relay_ports[member] = ensemble_port()
                self.links.append(f"127.0.0.1:{self.relay_ports[member]}=127.0.0.1:{self.peer_ports[member - 1][0]}/{micros}")
        super().configure(settings)

    def peer_url(self, number):
        return f"http://127.0.0.1:{self.relay_ports.get(number, self.peer_ports[number - 1][0])}"


def own_share_ms(member, round_trip_ms):
    """Of three members: what each adds to its round trips, so that two shares make the round trip between the two."""
    one, other = (number for number in range(1, VOTERS + 1) if number != member)
    return (round_trip_ms(member, one) + round_trip_ms(member, other) - round_trip_ms(one, other)) / 2


def run(kit):
    kit.own("the members' connections are led over a relay")
    for millis in ROUND_TRIPS_MS:
        kit.tried(f"{millis} ms apart", lambda millis=millis: of(kit, millis))
    kit.tried(f"one follower {SLOW_MS} ms away", lambda: slow(kit))


def distant(kit, name, round_trip_ms):
    if name == "etcd":
        return kit.ensemble_of(name, lambda directory: DistantEtcd(kit.load_binary, round_trip_ms, name, directory, VOTERS))
    return kit.ensemble_of(name, lambda directory: DistantEnsemble(
        kit.load_binary, round_trip_ms, name, directory, kit.member(name), VOTERS))


def of(kit, millis):
    targets = [distant(kit, name, lambda *_: millis) for name in kit.servers]
    measured(kit, targets, millis, FULL, ALONE, f"{millis} ms apart")


def slow(kit):
    """Server 1, which leads only if it has to: of equals the largest id wins. In etcd any may win, and is asked to give it up."""
    targets = []
    for name in kit.servers:
        ensemble = distant(kit, name, lambda learner, leader: SLOW_MS if 1 in (learner, leader) else NEAR_MS)
        targets.append(ensemble)
        if name == "etcd":
            ensemble.lead_elsewhere(ensemble.members[0])
        if ensemble.leader() is ensemble.members[0]:
            raise ServerError(f"{name}: the slow server leads")
    measured(kit, targets, SLOW_MS, SLOW_FULL, SLOW_ALONE, f"one {SLOW_MS} ms away, the other {NEAR_MS} ms")


def measured(kit, targets, millis, full, alone, label):
    for round_number in range(1, kit.options.rounds + 1):
        for ensemble in targets:
            load = ["--op", "set", "--sessions", 32, "--outstanding", 16]
            kit.measure(full, ensemble.at(*near(ensemble)), millis, load, round_number, label=label)
            load = ["--op", "set", "--sessions", 1, "--outstanding", 1]
            kit.measure(alone, ensemble.at(ensemble.leader()), millis, load, round_number, label=label)


def near(ensemble):
    """The leader alone: its clients don't pay the way to it, so that what is seen is the way between the members."""
    return [ensemble.leader()]


def report(results):
    names = servers_in(results)

    def lines(row, value):
        return [line(results, row, name, value) for name in names]

    charts = [
        Chart("set, 1 × 1, median latency", "round trip between members, ms", "ms", lines(ALONE, latency("p50_us"))),
        Chart("set, 32 × 16", "round trip between members, ms", "writes per second", lines(FULL, throughput)),
    ]
    header = ["members apart", "server", "1 × 1 p50 ms", "beyond the round trip", "1 × 1 p99 ms", "32 × 16 writes/s", "p99 ms",
              "leader's syncs/s", "writes per sync"]
    table = []
    for full, alone, what in ((FULL, ALONE, "{:g} ms"), (SLOW_FULL, SLOW_ALONE, f"one {{:g}} ms, the other {NEAR_MS} ms")):
        for name in names:
            p50, p99, many, high, syncs, each = (dict(series(results, row, name, value)) for row, value in (
                (alone, latency("p50_us")), (alone, latency("p99_us")), (full, throughput),
                (full, latency("p99_us")), (full, figure("leader_syncs_per_second")), (full, figure("operations_per_leader_sync"))))
            for millis in sorted(p50):
                way = NEAR_MS if alone == SLOW_ALONE else millis
                table.append([what.format(millis), name, told(p50[millis]), told(p50[millis] - way), told(p99[millis]),
                              *(told(one.get(millis)) for one in (many, high, syncs, each))])
    return charts, [("Figures, clients at the leader", header, table)]
