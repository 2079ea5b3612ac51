"""kazoo, unchanged, while the servers below it are replaced: holds a lock, an ephemeral znode and watches all along.

`migration.py HOSTS`, called by tests/ensemble/migration.rs. Prints `armed 0` when it holds everything. Then, per line of
standard input: `look N` looks at what is held, and that no watch has fired, and prints `quiet N`; `changed N` waits for
what the caller changed and prints `armed N`; `end` gives the lock to who has waited for it.
Exit code 0: nothing was noticed but reconnections.
"""

import sys

from kazoo.client import KazooClient, KazooState
from kazoo.recipe.lock import Lock
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.retry import KazooRetry

from support import BOUND, Background, Seen

SESSION_SECONDS = 30.0
TOP = "/migration"


class Session:
    """A client whose session must live as long as the check."""

    def __init__(self, hosts):
        self.states = Seen()
        retry = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5, deadline=BOUND)
        self.client = KazooClient(hosts=hosts, timeout=SESSION_SECONDS, command_retry=retry)
        self.client.add_listener(self.states.add)
        self.client.start(timeout=BOUND)
        self.id = self.client.client_id[0]

    def check(self):
        """It is connected, was never lost, and is the one it was. How often it had to connect again."""
        self.states.until(lambda states: states[-1] == KazooState.CONNECTED, "a connection")
        seen = list(self.states.items)
        assert KazooState.LOST not in seen, seen
        assert self.client.client_id[0] == self.id, "another session"
        return seen.count(KazooState.SUSPENDED)


class Watches:
    """Kazoo's recipes: the client alone gives up its watches when a connection ends, and the recipes set them again."""

    def __init__(self, session):
        self.data, self.children = Seen(), Seen()
        DataWatch(session.client, TOP + "/data", lambda data, stat: self._add(self.data, data.decode()))
        # In whatever order a server has them.
        ChildrenWatch(session.client, TOP + "/children", lambda children: self._add(self.children, set(children)))

    def _add(self, seen, value):
        if not seen.items or seen.items[-1] != value:
            seen.add(value)

    def quiet(self, number):
        assert len(self.data.items) == len(self.children.items) == number, (self.data.items, self.children.items)

    def fired(self, number):
        """Both hear of it, once and in order."""
        for seen in (self.data, self.children):
            seen.until(lambda items: len(items) == number + 1, "the watch of change %d" % number)
        assert self.data.items[-1] == str(number), self.data.items
        assert self.children.items[-1] - self.children.items[-2] == {"c%d" % number}, self.children.items


def held(session, lock):
    client = session.client
    again = session.check()
    assert lock.is_acquired, "the lock says that it is lost"
    nodes = client.retry(client.get_children, TOP + "/kazoo-lock")
    first = min(nodes, key=lambda node: node[-10:])
    stat = client.retry(client.exists, TOP + "/kazoo-lock/" + first)
    assert stat.ephemeralOwner == session.id, "the lock is another session's"
    assert len(nodes) == 2, nodes
    stat = client.retry(client.exists, TOP + "/kazoo-ephemeral")
    assert stat is not None and stat.ephemeralOwner == session.id, stat
    return again


def main(hosts):
    holder, waiter = Session(hosts), Session(hosts)
    lock = Lock(holder.client, TOP + "/kazoo-lock", "holder")
    assert lock.acquire(timeout=BOUND)
    holder.client.create(TOP + "/kazoo-ephemeral", b"", ephemeral=True)
    watches = Watches(holder)
    got = Seen()

    def contend():
        with Lock(waiter.client, TOP + "/kazoo-lock", "waiter"):
            got.add("the lock")

    waiting = Background(contend)
    contenders = lambda: holder.client.get_children(TOP + "/kazoo-lock")
    while len(contenders()) < 2:
        pass
    print("armed 0", flush=True)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "look":
            again = held(holder, lock)
            waiter.check()
            watches.quiet(int(number))
            assert got.items == [], "the lock was held twice"
            print("quiet %s, connected %d times again" % (number, again), flush=True)
        elif word == "changed":
            watches.fired(int(number))
            print("armed %s" % number, flush=True)
        elif word == "end":
            held(holder, lock)
            assert got.items == []
            lock.release()
            waiting.join()
            assert got.items == ["the lock"]
            waiter.check()
            holder.check()
            for session in (holder, waiter):
                session.client.stop()
            return
    sys.exit("the caller has ended")


if len(sys.argv) != 2:
    sys.exit("usage: %s HOSTS" % sys.argv[0])
main(sys.argv[1])
