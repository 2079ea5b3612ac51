"""kazoo, unchanged, against a server: the client's own calls. Each check is a function; `basic.py PORT CHECK` runs it.

Called by tests/clients/kazoo.rs, one process per check. Exit code 0: the check holds. Lines on standard output are for
the caller, which answers by what it does to the server.
"""

import threading

from kazoo.client import KazooState
from kazoo.protocol.states import KeeperState
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotReadOnlyCallError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.recipe.lock import Lock
from kazoo.security import make_acl, make_digest_acl

from support import BOUND, connected, main, raises, wait


def create_get_set_delete(port):
    client = connected(port)
    assert client.create("/a", b"one") == "/a"
    data, stat = client.get("/a")
    assert data == b"one" and stat.version == 0 and stat.dataLength == 3
    stat = client.set("/a", b"three", version=0)
    assert stat.version == 1 and stat.mzxid > stat.czxid
    raises(BadVersionError, client.set, "/a", b"", version=0)
    raises(NodeExistsError, client.create, "/a")
    raises(NoNodeError, client.get, "/missing")
    raises(NoNodeError, client.create, "/missing/b")
    assert client.create("/deep/er/still", b"x", makepath=True) == "/deep/er/still"
    raises(NotEmptyError, client.delete, "/deep")
    client.delete("/deep", recursive=True)
    assert client.exists("/deep") is None
    raises(BadVersionError, client.delete, "/a", version=0)
    client.delete("/a", version=1)
    assert client.exists("/a") is None
    client.ensure_path("/p/q/r")
    assert client.exists("/p/q/r").numChildren == 0
    assert client.sync("/p") == "/p"
    path, stat = client.create("/stated", b"12", include_data=True)
    assert path == "/stated" and stat.dataLength == 2
    big = bytes(range(256)) * 4000
    client.create("/big", big)
    assert client.get("/big")[0] == big
    client.stop()


def children(port):
    client = connected(port)
    client.ensure_path("/p")
    names = ["child-%03d" % number for number in range(200)]
    for result in [client.create_async("/p/" + name, name.encode()) for name in names]:
        result.get(timeout=BOUND)
    assert sorted(client.get_children("/p")) == names
    found, stat = client.get_children("/p", include_data=True)
    assert sorted(found) == names and stat.numChildren == 200 and stat.cversion == 200
    reads = [client.get_async("/p/" + name) for name in names]
    assert [read.get(timeout=BOUND)[0].decode() for read in reads] == names
    client.stop()


def ephemerals_and_sequences(port):
    owner, other = connected(port), connected(port)
    owner.ensure_path("/q")
    first = owner.create("/q/n-", sequence=True)
    second = owner.create("/q/n-", ephemeral=True, sequence=True)
    assert (first, second) == ("/q/n-0000000000", "/q/n-0000000001")
    owner.create("/e", ephemeral=True)
    assert other.exists("/e").ephemeralOwner == owner.client_id[0]
    raises(NoChildrenForEphemeralsError, owner.create, "/e/child")
    gone = threading.Event()
    assert other.exists("/e", watch=lambda event: gone.set()) is not None
    owner.stop()
    wait(gone, "the ephemeral to go with its session")
    assert other.get_children("/q") == ["n-0000000000"]
    other.stop()


def one_time_watches(port):
    watcher, writer = connected(port), connected(port)
    events = []
    fired = threading.Event()

    def heard(event):
        events.append((event.type, event.path))
        fired.set()

    def next_event():
        wait(fired, "an event")
        fired.clear()
        return events.pop()

    assert watcher.exists("/a", watch=heard) is None
    writer.create("/a")
    assert next_event() == ("CREATED", "/a")
    watcher.get("/a", watch=heard)
    writer.set("/a", b"x")
    assert next_event() == ("CHANGED", "/a")
    watcher.get_children("/a", watch=heard)
    writer.create("/a/b")
    assert next_event() == ("CHILD", "/a")
    watcher.get("/a/b", watch=heard)
    writer.delete("/a/b")
    assert next_event() == ("DELETED", "/a/b")
    watcher.stop()
    writer.stop()


def watch_recipes(port):
    watcher, writer = connected(port), connected(port)
    lock = threading.Condition()
    seen_data, seen_children = [], []

    @watcher.DataWatch("/w/data")
    def on_data(data, stat):
        with lock:
            seen_data.append(None if stat is None else data)
            lock.notify_all()

    writer.ensure_path("/w/children")

    @watcher.ChildrenWatch("/w/children")
    def on_children(names):
        with lock:
            seen_children.append(sorted(names))
            lock.notify_all()

    def wait_for(seen, value):
        with lock:
            assert lock.wait_for(lambda: seen and seen[-1] == value, BOUND), (seen, value)

    wait_for(seen_data, None)
    writer.create("/w/data", b"0")
    wait_for(seen_data, b"0")
    for number in range(1, 50):
        writer.set("/w/data", b"%d" % number)
    wait_for(seen_data, b"49")
    writer.delete("/w/data")
    wait_for(seen_data, None)
    wait_for(seen_children, [])
    for number in range(20):
        writer.create("/w/children/%02d" % number, ephemeral=True)
    wait_for(seen_children, ["%02d" % number for number in range(20)])
    writer.stop()
    wait_for(seen_children, [])
    watcher.stop()


def locks(port):
    """Four sessions take a lock in turn: never two at once, and every one of them its turns."""
    inside, most, turns = [0], [0], []
    guard = threading.Lock()
    failures = []

    def take_turns(number):
        try:
            client = connected(port)
            for _ in range(5):
                with Lock(client, "/lock", "client-%d" % number):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    # A round trip inside, so that an overlap would be seen.
                    client.get("/lock")
                    with guard:
                        turns.append(number)
                        inside[0] -= 1
            client.stop()
        except BaseException as error:  # told by the main thread, which decides the exit code
            failures.append(error)

    threads = [threading.Thread(target=take_turns, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
        assert not thread.is_alive(), "a session waits for the lock for ever"
    assert not failures, failures
    assert most[0] == 1, "%d sessions held the lock at once" % most[0]
    assert sorted(turns) == sorted(list(range(4)) * 5)
    client = connected(port)
    assert client.get_children("/lock") == []
    client.stop()


def lock_of_a_lost_session(port):
    """A holder that vanishes without a word loses its lock when its session ends."""
    holder, waiter = connected(port), connected(port)
    first, second = Lock(holder, "/lock", "holder"), Lock(waiter, "/lock", "waiter")
    assert first.acquire(timeout=BOUND)
    assert not second.acquire(blocking=False)
    holder.stop()
    assert second.acquire(timeout=BOUND)
    waiter.stop()


def survives_a_restart(port):
    """The caller kills the server at `kill` and starts it again: session, ephemeral and watches are still there."""
    client = connected(port, connection_retry={"max_tries": -1, "max_delay": 0.2}, command_retry={"max_tries": -1})
    states = []
    changed = threading.Condition()

    @client.add_listener
    def on_state(state):
        with changed:
            states.append(state)
            changed.notify_all()

    seen = []

    @client.DataWatch("/watched")
    def on_data(data, stat):
        with changed:
            seen.append(data)
            changed.notify_all()

    client.create("/e", b"mine", ephemeral=True)
    client.create("/watched", b"before")
    with changed:
        assert changed.wait_for(lambda: seen and seen[-1] == b"before", BOUND), seen
    session = client.client_id[0]
    print("kill", flush=True)
    with changed:
        assert changed.wait_for(lambda: KazooState.SUSPENDED in states, BOUND), states
        assert changed.wait_for(lambda: states and states[-1] == KazooState.CONNECTED, BOUND), states
        assert KazooState.LOST not in states, states
    assert client.client_id[0] == session
    data, stat = client.retry(client.get, "/e")
    assert data == b"mine" and stat.ephemeralOwner == session
    client.retry(client.set, "/watched", b"after")
    with changed:
        assert changed.wait_for(lambda: seen[-1] == b"after", BOUND), seen
    client.stop()


def reads_without_a_leader(port):
    """The server has no leader and is read-only; at `heal` the caller gives it one."""
    states = []
    changed = threading.Condition()

    def on_state(state):
        with changed:
            states.append(state)
            changed.notify_all()

    client = connected(port, read_only=True, connection_retry={"max_tries": -1, "max_delay": 0.2})
    assert client.client_state == KeeperState.CONNECTED_RO, client.client_state
    assert client.get("/before")[0] == b"data"
    assert client.get_children("/") == ["before", "zookeeper"] or client.get_children("/") == ["zookeeper", "before"]
    raises(NotReadOnlyCallError, client.create, "/no")
    raises(NotReadOnlyCallError, client.set, "/before", b"other")
    client.add_listener(on_state)
    print("heal", flush=True)
    with changed:
        # Its session was the read-only server's own.
        assert changed.wait_for(lambda: KazooState.LOST in states, BOUND), states
        assert changed.wait_for(lambda: states[-1] == KazooState.CONNECTED, BOUND), states
    assert client.client_state == KeeperState.CONNECTED, client.client_state
    client.create("/after", b"")
    client.stop()


def commands(port):
    client = connected(port)
    assert client.command(b"ruok") == "imok"
    assert "Mode: standalone" in client.command(b"srvr")
    assert client.server_version()[:2] == (3, 9)
    client.stop()


def transactions(port):
    client = connected(port)
    client.create("/t", b"0")
    transaction = client.transaction()
    transaction.check("/t", 0)
    transaction.create("/t/n-", b"1", ephemeral=True, sequence=True)
    transaction.set_data("/t", b"2", version=0)
    transaction.create("/gone")
    transaction.delete("/gone", version=0)
    checked, created, changed, again, deleted = transaction.commit()
    assert checked is True and created == "/t/n-0000000000" and deleted is True and again == "/gone", created
    assert changed.version == 1, changed
    data, stat = client.get("/t/n-0000000000")
    assert data == b"1" and stat.ephemeralOwner == client.client_id[0]
    # One that fails changes nothing, and says which part failed.
    transaction = client.transaction()
    transaction.set_data("/t", b"lost")
    transaction.check("/t", 17)
    transaction.delete("/t/n-0000000000")
    kinds = [type(result) for result in transaction.commit()]
    assert kinds == [RolledBackError, BadVersionError, RuntimeInconsistency], kinds
    assert client.get("/t")[0] == b"2"
    # A watch hears a change that a transaction made.
    heard = threading.Event()
    client.get("/t", watch=lambda event: heard.set())
    with client.transaction() as transaction:
        transaction.set_data("/t", b"3")
    wait(heard, "the event of a transaction")
    client.stop()


def auth_and_acls(port):
    alice, bob = connected(port), connected(port)
    alice.add_auth("digest", "alice:secret")
    own = make_digest_acl("alice", "secret", all=True)
    alice.create("/hers", b"x", acl=[own, make_acl("world", "anyone", read=True)])
    assert bob.get("/hers")[0] == b"x"
    raises(NoAuthError, bob.set, "/hers", b"")
    raises(NoAuthError, bob.create, "/hers/child")
    alice.set("/hers", b"y")
    acls, stat = alice.get_acls("/hers")
    assert stat.aversion == 0 and own in acls and len(acls) == 2, acls
    bob.add_auth("digest", "alice:wrong")
    raises(NoAuthError, bob.set, "/hers", b"")
    bob.add_auth("digest", "alice:secret")
    bob.set("/hers", b"z")
    assert alice.set_acls("/hers", [own], version=0).aversion == 1
    raises(BadVersionError, alice.set_acls, "/hers", [own], version=0)
    raises(InvalidACLError, alice.create, "/bad", acl=[make_acl("nonsense", "x", all=True)])
    raises(InvalidACLError, alice.set_acls, "/hers", [])
    # Auth of a client survives its reconnection: kazoo sends it again with each connection.
    stranger = connected(port)
    raises(NoAuthError, stranger.get, "/hers")
    stranger.stop()
    local = connected(port)
    local.create("/local", acl=[make_acl("ip", "127.0.0.1", all=True), make_acl("ip", "10.0.0.0/8", read=True)])
    assert local.exists("/local") is not None and local.get("/local")[0] == b""
    local.set_acls("/local", [make_acl("ip", "10.0.0.0/8", all=True)])
    raises(NoAuthError, local.get, "/local")
    options = connected(port, auth_data=[("digest", "carol:pw")], default_acl=[make_digest_acl("carol", "pw", all=True)])
    options.create("/carols", b"hidden")
    raises(NoAuthError, local.get, "/carols")
    assert options.get("/carols")[0] == b"hidden"
    raises(AuthFailedError, connected(port).add_auth, "unknown-scheme", "x")
    for client in (alice, bob, local, options):
        client.stop()


if __name__ == "__main__":
    main(
        create_get_set_delete,
        children,
        ephemerals_and_sequences,
        one_time_watches,
        watch_recipes,
        locks,
        lock_of_a_lost_session,
        survives_a_restart,
        reads_without_a_leader,
        commands,
        transactions,
        auth_and_acls,
    )
