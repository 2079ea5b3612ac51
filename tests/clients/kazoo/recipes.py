"""kazoo, unchanged, against a server: its recipes. Each check is a function; `recipes.py PORT CHECK` runs it.

Called by tests/clients/kazoo.rs, one process per check. kazoo 2.11 has no persistent watches; the Java clients have.
"""

import datetime
import struct
import threading

from kazoo.recipe.cache import TreeCache, TreeEvent

from support import BOUND, Background, Seen, connected, main


def read_and_write_locks(port):
    clients = [connected(port) for _ in range(3)]
    reader, second, writer = clients
    first_read, second_read = reader.ReadLock("/rw", "reader"), second.ReadLock("/rw", "second")
    write = writer.WriteLock("/rw", "writer")
    assert first_read.acquire(timeout=BOUND) and second_read.acquire(timeout=BOUND)
    assert not write.acquire(blocking=False), "a writer got in beside readers"
    written = Seen()

    def take():
        assert write.acquire(timeout=BOUND)
        written.add("in")

    taker = Background(take)
    # The writer stands in the line before a reader who comes later, and that reader has to wait for it.
    while write.contenders() != ["reader", "second", "writer"]:
        assert taker.error is None, taker.error
    assert not connected_read_lock(reader).acquire(blocking=False)
    first_read.release()
    assert not written.items, "the writer got in beside the second reader"
    second_read.release()
    taker.join()
    assert written.items == ["in"]
    write.release()
    assert first_read.acquire(timeout=BOUND)
    first_read.release()
    for client in clients:
        client.stop()


def connected_read_lock(client):
    return client.ReadLock("/rw", "late reader")


def semaphores(port):
    clients = [connected(port) for _ in range(3)]
    first, second, third = [client.Semaphore("/s", "holder-%d" % at, 2) for at, client in enumerate(clients)]
    assert first.acquire(timeout=BOUND) and second.acquire(timeout=BOUND)
    assert not third.acquire(blocking=False)
    assert sorted(first.lease_holders()) == ["holder-0", "holder-1"]
    waiting = Background(third.acquire, True, BOUND)
    # A holder that closes its session gives its lease up.
    clients[0].stop()
    waiting.join()
    assert sorted(second.lease_holders()) == ["holder-1", "holder-2"]
    second.release()
    third.release()
    for client in clients[1:]:
        client.stop()


def elections(port):
    clients = [connected(port) for _ in range(3)]
    names = ["candidate-%d" % at for at in range(3)]
    leaders, together, release = Seen(), [], threading.Semaphore(0)

    def lead(name):
        together.append(name)
        assert len(together) == 1, "two leaders: %r" % together
        leaders.add(name)
        assert release.acquire(timeout=BOUND)
        together.remove(name)

    runs = [
        Background(client.Election("/election", name).run, lead, name) for client, name in zip(clients, names)
    ]
    election = clients[0].Election("/election", "onlooker")
    for turn in range(1, 4):
        leaders.until(lambda seen: len(seen) == turn, "leader number %d" % turn)
        standing = election.contenders()
        while len(standing) != 4 - turn:
            standing = election.contenders()
        assert standing[0] == leaders.items[-1], (standing, leaders.items)
        release.release()
    for run in runs:
        run.join()
    assert sorted(leaders.items) == names
    for client in clients:
        client.stop()


def queues(port):
    producer, consumer = connected(port), connected(port)
    queue = producer.Queue("/queue")
    for number in range(10):
        queue.put(b"%d" % number)
    queue.put(b"urgent", priority=1)
    assert len(queue) == 11
    other = consumer.Queue("/queue")
    assert [other.get() for _ in range(11)] == [b"urgent"] + [b"%d" % number for number in range(10)]
    assert other.get() is None and len(queue) == 0
    producer.stop()
    consumer.stop()


def locking_queues(port):
    """Its entries are put and consumed by transactions."""
    first, second = connected(port), connected(port)
    ours, theirs = first.LockingQueue("/queue"), second.LockingQueue("/queue")
    ours.put_all([b"one", b"two"], priority=5)
    ours.put(b"zero", priority=1)
    assert len(ours) == 3
    assert ours.get(timeout=BOUND) == b"zero" and ours.holds_lock()
    assert theirs.get(timeout=BOUND) == b"one" and theirs.consume()
    assert ours.release() and not ours.holds_lock()
    assert theirs.get(timeout=BOUND) == b"zero" and theirs.consume()
    assert theirs.get(timeout=BOUND) == b"two"
    # An entry whose holder is gone can be had by others.
    got = Seen()
    waiting = Background(lambda: got.add(ours.get(timeout=BOUND)))
    second.stop()
    waiting.join()
    assert got.items == [b"two"] and ours.consume() and len(ours) == 0
    first.stop()


def barriers(port):
    first, second = connected(port), connected(port)
    barrier = first.Barrier("/barrier")
    barrier.create()
    passed = Seen()
    waiting = Background(lambda: passed.add(second.Barrier("/barrier").wait(BOUND)))
    second.exists("/barrier")
    assert not passed.items
    assert barrier.remove()
    waiting.join()
    assert passed.items == [True]
    assert second.Barrier("/barrier").wait(0) is True
    first.stop()
    second.stop()


def double_barriers(port):
    clients = [connected(port) for _ in range(3)]
    steps = Seen()

    def work(client, name):
        barrier = client.DoubleBarrier("/double", 3, name)
        steps.add("comes")
        barrier.enter()
        assert barrier.participating
        steps.add("in")
        barrier.leave()
        steps.add("out")

    members = [Background(work, client, "member-%d" % at) for at, client in enumerate(clients[:2])]
    steps.until(lambda seen: len(seen) == 2, "two members to come")
    while len(clients[2].get_children("/double") if clients[2].exists("/double") else []) < 2:
        pass
    assert steps.items == ["comes"] * 2, "someone went in before all had come: %r" % steps.items
    members.append(Background(work, clients[2], "member-2"))
    for member in members:
        member.join()
    assert steps.items.index("out") > max(at for at, step in enumerate(steps.items) if step == "in"), steps.items
    for client in clients:
        client.stop()


def counters(port):
    clients = [connected(port, command_retry={"max_tries": -1, "delay": 0.001}) for _ in range(3)]

    def count(client):
        counter = client.Counter("/counter")
        for _ in range(20):
            counter += 2
            counter -= 1

    for run in [Background(count, client) for client in clients]:
        run.join()
    assert clients[0].Counter("/counter").value == 60
    shares = clients[0].Counter("/half", default=0.5)
    shares += 1.0
    assert (shares.pre_value, shares.post_value, shares.value) == (0.5, 1.5, 1.5)
    curators = clients[0].Counter("/curators", support_curator=True)
    curators += 7
    assert clients[1].get("/curators")[0] == struct.pack(">i", 7)
    for client in clients:
        client.stop()


def parties(port):
    clients = [connected(port) for _ in range(2)]
    parties = [client.Party("/party", "guest-%d" % at) for at, client in enumerate(clients)]
    shallow = [client.ShallowParty("/shallow", "guest-%d" % at) for at, client in enumerate(clients)]
    for party in parties + shallow:
        party.join()
    for party in parties + shallow:
        assert sorted(party) == ["guest-0", "guest-1"] and len(party) == 2
    parties[0].leave()
    assert list(parties[1]) == ["guest-1"]
    clients[1].stop()
    assert list(shallow[0]) == ["guest-0"] and len(parties[0]) == 0
    clients[0].stop()


def tree_caches(port):
    writer, watcher = connected(port), connected(port)
    writer.create("/tree/a", b"1", makepath=True)
    events = Seen()
    cache = TreeCache(watcher, "/tree")
    cache.listen(lambda event: events.add((event.event_type, event.event_data and event.event_data.path)))
    cache.listen_fault(lambda fault: events.add(("fault", fault)))
    cache.start()
    events.until(lambda seen: (TreeEvent.INITIALIZED, None) in seen, "the cache to be filled")
    assert cache.get_data("/tree/a").data == b"1" and cache.get_children("/tree") == frozenset(["a"])
    for number in range(20):
        writer.create("/tree/a/%02d" % number, b"x")
    writer.set("/tree/a/07", b"changed")
    writer.delete("/tree/a/08")
    writer.create("/tree/b/c", b"deep", makepath=True)
    added = {(TreeEvent.NODE_ADDED, "/tree/a/%02d" % number) for number in range(20) if number != 8}
    added |= {(TreeEvent.NODE_ADDED, "/tree/b/c")}
    events.until(lambda seen: added <= set(seen), "an event for each new node")
    events.until(lambda seen: cache.get_data("/tree/a/07").data == b"changed", "the changed data")
    events.until(lambda seen: cache.get_data("/tree/a/08") is None, "the deletion")
    assert len(cache.get_children("/tree/a")) == 19 and cache.get_data("/tree/b/c").data == b"deep"
    writer.delete("/tree", recursive=True)
    events.until(lambda seen: (TreeEvent.NODE_REMOVED, "/tree") in seen, "the tree to go")
    assert not [event for event in events.items if event[0] == "fault"], events.items
    cache.close()
    writer.stop()
    watcher.stop()


def leases(port):
    first, second = connected(port), connected(port)
    hour = datetime.timedelta(hours=1)
    assert first.NonBlockingLease("/lease", hour, identifier="first")
    assert not second.NonBlockingLease("/lease", hour, identifier="second")
    assert second.NonBlockingLease("/lease", hour, identifier="first"), "the holder renews its lease"
    assert first.MultiNonBlockingLease(2, "/leases", hour, identifier="a")
    assert first.MultiNonBlockingLease(2, "/leases", hour, identifier="b")
    assert not first.MultiNonBlockingLease(2, "/leases", hour, identifier="c")
    first.stop()
    second.stop()


def partitioners(port):
    """Two members share a set; when one leaves, the other gets it all."""
    clients = [connected(port) for _ in range(2)]
    items = tuple("item-%d" % number for number in range(6))
    members = [
        client.SetPartitioner("/partition", items, identifier="member-%d" % at, time_boundary=0.1)
        for at, client in enumerate(clients)
    ]

    def settle(members, shares):
        waited = threading.Event()
        for _ in range(600):
            for member in members:
                assert not member.failed
                if member.release:
                    member.release_set()
                elif member.allocating:
                    member.wait_for_acquire(0.1)
            if all(member.acquired for member in members) and sorted(map(len, map(list, members))) == shares:
                return
            waited.wait(0.1)
        raise AssertionError([(member.state, list(member)) for member in members])

    settle(members, [3, 3])
    assert sorted(list(members[0]) + list(members[1])) == list(items)
    clients[1].stop()
    settle(members[:1], [6])
    clients[0].stop()


def watchers_stop_and_go_on(port):
    """A DataWatch that returns False hears nothing more; a ChildrenWatch can show the event; both outlive a deletion."""
    watcher, writer = connected(port), connected(port)
    once, always, children = Seen(), Seen(), Seen()
    watcher.DataWatch("/d", lambda data, stat: once.add(data) or (False if data == b"stop" else None))
    watcher.DataWatch("/d", lambda data, stat, event: always.add((event and event.type, data)))
    writer.ensure_path("/c")
    watcher.ChildrenWatch("/c", lambda names, event: children.add(len(names)), send_event=True)
    writer.create("/d", b"1")
    always.until(lambda seen: ("CREATED", b"1") in seen, "the creation")
    once.until(lambda seen: b"1" in seen, "the creation")
    writer.set("/d", b"stop")
    always.until(lambda seen: ("CHANGED", b"stop") in seen, "the change")
    once.until(lambda seen: seen[-1] == b"stop", "the change that ends the watch")
    writer.delete("/d")
    always.until(lambda seen: ("DELETED", None) in seen, "the deletion")
    writer.create("/d", b"again")
    always.until(lambda seen: seen[-1] == ("CREATED", b"again"), "the second creation")
    assert once.items[-1] == b"stop", once.items
    for number in range(5):
        writer.create("/c/%d" % number)
    children.until(lambda seen: seen[-1] == 5, "five children")
    watcher.stop()
    writer.stop()


if __name__ == "__main__":
    main(
        read_and_write_locks,
        semaphores,
        elections,
        queues,
        locking_queues,
        barriers,
        double_barriers,
        counters,
        parties,
        tree_caches,
        leases,
        partitioners,
        watchers_stop_and_go_on,
    )
