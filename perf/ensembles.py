"""Ensembles under comparison: members of servers.py with one another's addresses, started and stopped as one.

Used by ensemble.py and ensemble_rows.py. All members run on 127.0.0.1, each with a data directory and ports of its
own. Ports lie below the range from which the kernel takes those of outgoing connections: a member that is killed must
find its port free when it is started again.
"""

import dataclasses
import pathlib
import random
import shutil
import socket
import time

import servers
from servers import ServerError

PORTS = range(20_000, 32_000)
TICK_TIME_MS = 2000
SYNC_LIMIT = 5
LEADER_SECONDS = 60

_taken = set()


def ensemble_port():
    """A port that nobody listens on and that no earlier call returned."""
    for _ in range(1000):
        port = random.choice(PORTS)
        if port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise ServerError(f"no free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1")


@dataclasses.dataclass(frozen=True)
class Target:
    """What a load is put on: its sessions go to `addresses` in turn, processor time is that of `pids`. `members` are asked what they
    count themselves, in the order of `pids`; `knows_leader`: the first of them leads."""

    name: str
    addresses: list
    pids: list
    generator: object = None
    members: tuple = ()
    knows_leader: bool = True


class Ensemble:
    """`voters` + `observers` members made by `make(directory)`; ids from 1, voters first.

    `settings` go to every member's zoo.cfg beside tickTime, initLimit, syncLimit and the server lines.
    """

    def __init__(self, name, directory, make, voters, observers=0, settings=None):
        self.name = name
        self.directory = pathlib.Path(directory)
        self.voters = voters
        self.members = [make(self.directory / str(number)) for number in range(1, voters + observers + 1)]
        self.peer_ports = []
        for member in self.members:
            member.port = ensemble_port()
            self.peer_ports.append((ensemble_port(), ensemble_port()))
        self.configure(settings or {})

    def configure(self, settings):
        """Takes effect at the next start."""
        self.settings = {"tickTime": TICK_TIME_MS, "initLimit": 10, "syncLimit": SYNC_LIMIT, **settings}
        for index, member in enumerate(self.members):
            member.settings = {**self.settings}
            if index >= self.voters:
                member.settings["peerType"] = "observer"
            for other, (quorum, election) in enumerate(self.peer_ports):
                role = ":observer" if other >= self.voters else ""
                member.settings[f"server.{other + 1}"] = f"127.0.0.1:{quorum}:{election}{role}"

    @property
    def detection_seconds(self):
        """After so long without a word from the leader a follower must leave it."""
        return int(self.settings["tickTime"]) * int(self.settings["syncLimit"]) / 1000

    @property
    def running(self):
        return [member for member in self.members if member.process is not None]

    @property
    def addresses(self):
        return [member.address for member in self.running]

    @property
    def pids(self):
        return [member.pid for member in self.running]

    @property
    def generator(self):
        return self.members[0].generator

    @property
    def data(self):
        return self.directory

    def describe(self):
        return self.members[0].describe().replace("standalone", "members of an ensemble")

    def clear_data(self):
        for member in self.members:
            shutil.rmtree(member.data, ignore_errors=True)

    def launch(self, member):
        member.data.mkdir(parents=True, exist_ok=True)
        (member.data / "myid").write_text(f"{self.members.index(member) + 1}\n")
        member.launch()

    def start(self, count=None):
        """Starts the first `count` members (default all), and waits until each answers a read. Returns the seconds."""
        begin = time.monotonic()
        for member in self.members[:count]:
            self.launch(member)
        for member in self.members[:count]:
            member.wait()
        return time.monotonic() - begin

    def stop(self, hard=False):
        for member in self.members:
            member.stop(hard)

    def leader(self):
        """The running member that says it leads; waited for."""
        deadline = time.monotonic() + LEADER_SECONDS
        modes = {}
        while time.monotonic() < deadline:
            for member in self.running:
                modes[member.port] = member.mode()
                if modes[member.port] in ("leader", "leading"):
                    return member
            time.sleep(0.02)
        raise ServerError(f"{self.name}: no leader for {LEADER_SECONDS} s; modes by port: {modes}\n"
                          + servers.tail(self.running[0].output))

    def led(self):
        """The target of a load whose sessions go to all members in turn, the leader first: where a single session sits."""
        leader = self.leader() if len(self.running) > 1 else self.running[0]
        members = (leader, *(member for member in self.running if member is not leader))
        return Target(self.name, [member.address for member in members], [member.pid for member in members], self.generator, members)

    def at(self, *chosen):
        """The target of a load whose sessions all go to `chosen`; processor time is all members', `chosen` first."""
        members = (*chosen, *(member for member in self.running if member not in chosen))
        return Target(self.name, [member.address for member in chosen], [member.pid for member in members], self.generator, members)
