#!/usr/bin/env python3
"""One abuse of a server, in a process of its own: what perf/neighbours.py puts beside the client that it measures.

Exit codes: 0 it has abused; others: it couldn't, and the last line says why.
"""

import argparse
import json
import os
import random
import resource
import socket
import struct
import sys
import threading
import time

from disturb import (ANSWER_SECONDS, CLOSE, EPHEMERAL, EXISTS, GET_CHILDREN, GET_DATA, HEADER, HELLO, MULTI, PING_FRAME, STAT, Crowd,
                     Session, create, delete, dial, event_bytes, frame, multi, read, set_data, text)
from results import guarded

CAP = 4  # An abuse that has to get through something is ended after so many times --seconds.


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


def main():
    """Prints its phases, and at the end what it did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SCENARIOS)
    parser.add_argument("--port", type=int, required=True, help="of the server, on loopback")
    parser.add_argument("--seconds", type=float, required=True, help="to go on at least")
    parser.add_argument("--scale", type=int, default=1, help="crowds are divided by it")
    options = parser.parse_args()
    name, scale = options.name, options.scale
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if name in ("idle", "fan") and hard != resource.RLIM_INFINITY and hard < 15_200 // scale:
        sys.exit(f"{name} needs {15_200 // scale} open files, {hard} are allowed: raise ulimit -n")
    abuse = Abuse(options.port, options.seconds, scale)
    SCENARIOS[name](abuse)
    abuse.phase("over")
    print("facts " + json.dumps(abuse.facts), flush=True)
    os._exit(0)  # Sockets are closed by the kernel, at once.


if __name__ == "__main__":
    sys.exit(guarded("abuses.py", main))
