#!/usr/bin/env python3
"""What others notice of a burden: latency of a steady load, alone and beside each of several disturbances.

    perf/disturb.py [--servers ringkeeper,zookeeper] [--seconds 8] [--out FOLDER]

The steady load is an open loop of reads and writes, nine to one, far below what the server could do; its latency counts
from the intended start. Each disturbance has a fresh server and runs for as long as the load is measured, over and over.
"""

import argparse
import json
import math
import pathlib
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from compare import ROOT
from servers import Ringkeeper, ZooKeeper

OPEN_ACL = struct.pack(">ii", 1, 31) + struct.pack(">i", 5) + b"world" + struct.pack(">i", 6) + b"anyone"
CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_CHILDREN, PING, MULTI, CLOSE = 1, 2, 3, 4, 5, 8, 11, 14, -11
ANSWER_SECONDS = 10
EPHEMERAL, PERSISTENT = 1, 0


def text(value):
    return struct.pack(">i", len(value)) + value.encode()


def create(path, flags=PERSISTENT, data=""):
    return struct.pack(">ii", 1, CREATE) + text(path) + text(data) + OPEN_ACL + struct.pack(">i", flags)


def read(opcode, path, watch=False):
    return struct.pack(">ii", 1, opcode) + text(path) + bytes([watch])


# Sizes of answers, length included: a crowd counts bytes instead of parsing frames.
HELLO_ANSWER, HEADER, STAT = 41, 20, 68


def frame(body):
    return struct.pack(">i", len(body)) + body


HELLO = frame(struct.pack(">iqiq", 0, 0, 30_000, 0) + text("\0" * 16) + b"\0")
PING_FRAME = frame(struct.pack(">ii", -2, PING))


def set_data(path, data, xid=1):
    return struct.pack(">ii", xid, SET_DATA) + text(path) + text(data) + struct.pack(">i", -1)


def delete(path):
    return struct.pack(">ii", 1, DELETE) + text(path) + struct.pack(">i", -1)


def multi(creates):
    """One multi of what `create` made."""
    parts = [struct.pack(">ii", 1, MULTI)]
    for body in creates:
        parts += [body[4:8], struct.pack(">?i", False, -1), body[8:]]
    return b"".join(parts) + struct.pack(">i?i", -1, True, -1)


def event_bytes(path):
    return HEADER + 8 + 4 + len(path)


class Client:
    """As much of a client as a disturbance needs: pipelined requests of fixed bytes, replies counted."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.sendall(HELLO)
        self.file = self.socket.makefile("rb", 1 << 20)
        self.reply()

    def frame(self, body):
        self.socket.sendall(frame(body))

    def reply(self):
        head = self.file.read(4)
        if len(head) < 4:
            raise OSError("the server closed the connection")
        (left,) = struct.unpack(">i", head)
        while left > 0:
            left -= len(self.file.read(min(left, 1 << 20)))

    def run(self, bodies):
        """Sends all, and reads as many replies. Events count as replies: callers expect none."""
        sent = 0
        def send():
            chunk = bytearray()
            for body in bodies:
                chunk += struct.pack(">i", len(body)) + body
                if len(chunk) > 1 << 16:
                    self.socket.sendall(chunk)
                    chunk.clear()
            self.socket.sendall(chunk)
        sender = threading.Thread(target=send)
        sender.start()
        for _ in bodies:
            self.reply()
            sent += 1
        sender.join()
        return sent

    def close(self):
        self.frame(struct.pack(">ii", 1, CLOSE))
        self.reply()
        self.socket.close()


class Session:
    """A session over a blocking socket. OSError if the server closes it, is silent or answers with an error."""

    def __init__(self, port, timeout=ANSWER_SECONDS):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.socket.sendall(HELLO)
        self.take()

    def take(self):
        while len(self.buffer) < 4 or len(self.buffer) < 4 + int.from_bytes(self.buffer[:4], "big"):
            received = self.socket.recv(1 << 18)
            if not received:
                raise OSError("the server closed the connection")
            self.buffer += received
        end = 4 + int.from_bytes(self.buffer[:4], "big")
        body = bytes(self.buffer[4:end])
        del self.buffer[:end]
        return body

    def answer(self):
        while (body := self.take())[:4] in (b"\xff\xff\xff\xff", b"\xff\xff\xff\xfe"):
            pass
        (error,) = struct.unpack_from(">i", body, 12)
        if error:
            raise OSError(f"the server answered with error {error}")
        return body[16:]

    def request(self, body):
        self.socket.sendall(frame(body))
        return self.answer()

    def pipeline(self, bodies, window=64, deadline=math.inf):
        """Sends all, at most `window` unanswered, until the deadline. Returns how many were answered."""
        sent = answered = 0
        for body in bodies:
            if time.monotonic() > deadline:
                break
            if sent - answered == window:
                self.answer()
                answered += 1
            self.socket.sendall(frame(body))
            sent += 1
        while answered < sent:
            self.answer()
            answered += 1
        return answered


class Peer:
    __slots__ = ("socket", "out", "got", "want")


class Crowd:
    """Many connections in one process, over epoll. Answers are counted in bytes: callers know their size."""

    def __init__(self, port):
        self.port, self.peers, self.by_fd, self.unfinished, self.dropped = port, [], {}, set(), 0
        self.epoll, self.buffer = select.epoll(), bytearray(1 << 18)

    def dial(self):
        peer = Peer()
        peer.socket = dial(self.port, 2 + len(self.peers) % 8)
        peer.socket.setblocking(False)
        peer.out, peer.got, peer.want = b"", 0, 0
        self.by_fd[peer.socket.fileno()] = peer
        self.peers.append(peer)
        self.epoll.register(peer.socket, select.EPOLLIN)
        return peer

    def connect(self, count, deadline, sessions=True):
        """`count` connections more. In lots of 32: Apache's backlog holds 50."""
        while count > 0 and time.monotonic() < deadline:
            for _ in range(min(32, count)):
                try:
                    peer = self.dial()
                except OSError:
                    self.dropped += 1
                    continue
                if sessions:
                    self.put(peer, HELLO, HELLO_ANSWER)
            self.pump(deadline)
            count -= 32
        return len(self.peers)

    def put(self, peer, data, want):
        """Sends `data` when nothing else is to be sent there, and expects so many bytes more."""
        if peer.out or peer.socket.fileno() < 0:
            return
        peer.out = memoryview(data)
        self.expect(peer, want)
        self.flush(peer)

    def expect(self, peer, want):
        peer.want += want
        if peer.out or peer.got < peer.want:
            self.unfinished.add(peer)

    def flush(self, peer):
        try:
            peer.out = peer.out[peer.socket.send(peer.out):]
        except BlockingIOError:
            pass
        except OSError:
            return self.drop(peer)
        self.epoll.modify(peer.socket, select.EPOLLIN | (select.EPOLLOUT if peer.out else 0))
        if not peer.out and peer.got >= peer.want:
            self.unfinished.discard(peer)

    def drop(self, peer):
        if peer.socket.fileno() >= 0:
            self.dropped += 1
            del self.by_fd[peer.socket.fileno()]
            peer.socket.close()
        self.unfinished.discard(peer)

    def pump(self, deadline):
        """Until all is sent and answered, or the deadline. Returns whether it is."""
        while self.unfinished and (left := deadline - time.monotonic()) > 0:
            self.turn(left)
        return not self.unfinished

    def turn(self, timeout):
        for fd, mask in self.epoll.poll(timeout):
            if (peer := self.by_fd.get(fd)) is None:
                continue
            if mask & select.EPOLLOUT:
                self.flush(peer)
            if mask & ~select.EPOLLOUT and peer.socket.fileno() >= 0:
                try:
                    count = peer.socket.recv_into(self.buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    count = 0
                peer.got += count
                if count == 0:
                    self.drop(peer)
            if not peer.out and peer.got >= peer.want:
                self.unfinished.discard(peer)


def dial(port, host):
    """A connection from 127.0.0.`host`: one address has no ports for crowds and reconnects."""
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.settimeout(ANSWER_SECONDS)
    made.bind((f"127.0.0.{host}", 0))
    made.connect(("127.0.0.1", port))
    return made


class Nothing:
    """Nothing: the load alone"""

    def __init__(self, server):
        self.server = server

    def once(self):
        threading.Event().wait(0.05)


class Ephemerals(Nothing):
    """Sessions that make 20,000 ephemerals and close"""

    def once(self):
        client = Client(self.server)
        client.run([create(f"/e-{number}", EPHEMERAL) for number in range(20_000)])
        client.close()


class Wide(Nothing):
    """getChildren of 500,000 children, over and over"""

    def __init__(self, server):
        super().__init__(server)
        self.client = Client(server)
        self.client.run([create("/wide")] + [create(f"/wide/child-{number:06}") for number in range(500_000)])

    def once(self):
        self.client.run([read(GET_CHILDREN, "/wide")])


class Deaf(Nothing):
    """20 clients that ask for a megabyte 100 times and never read"""

    def __init__(self, server):
        super().__init__(server)
        Client(server).run([create("/big", data="x" * 1_000_000)])
        self.clients = []

    def once(self):
        for client in self.clients:
            client.socket.close()
        self.clients = [Client(self.server) for _ in range(20)]
        for client in self.clients:
            client.socket.sendall(100 * (struct.pack(">i", 17) + read(GET_DATA, "/big")))
        threading.Event().wait(0.2)


class Watchers(Nothing):
    """Clients that leave 50,000 watches and are cut off"""

    def once(self):
        client = Client(self.server)
        client.run([read(EXISTS, f"/nowhere/{number}", True) for number in range(50_000)])
        client.socket.close()


class Storm(Nothing):
    """Connections that come and go, with a session each"""

    def once(self):
        clients = [Client(self.server) for _ in range(50)]
        for client in clients:
            client.socket.close()


DISTURBANCES = [Nothing, Ephemerals, Wide, Deaf, Watchers, Storm]


def measure(server, kind, options, folder):
    """The load's result beside one kind of disturbance, and how often that was carried out."""
    server.clear()
    server.start()
    try:
        disturbance = kind(server)
        over, count = threading.Event(), 0

        def disturb():
            nonlocal count
            while not over.is_set():
                disturbance.once()
                count += 1

        thread = threading.Thread(target=disturb, daemon=True)
        thread.start()
        result = folder / f"{server.name}-{kind.__name__.lower()}.json"
        command = [options.binaries / "ringkeeper-load", "--server", server.address, "--sessions", "16"]
        command += ["--rate", str(options.rate), "--op", "mixed:0.9", "--warmup", "3", "--json", result]
        command += ["--seconds", str(options.seconds), "--keys", "1000"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        over.set()
        thread.join(60)
        return json.loads(result.read_text()), count
    finally:
        server.stop(hard=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", default="ringkeeper,zookeeper")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rate", type=int, default=5000, help="requests a second of the steady load")
    parser.add_argument("--zookeeper", default="3.9.5")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target" / "release")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the results (default: a temporary one)")
    options = parser.parse_args()
    options.binaries = options.binaries.resolve()
    folder = options.out or pathlib.Path(tempfile.mkdtemp(prefix="disturb-"))
    folder.mkdir(parents=True, exist_ok=True)
    load = options.binaries / "ringkeeper-load"
    made = {
        "ringkeeper": lambda: Ringkeeper(ROOT / "target" / "perf-data", load, options.binaries / "ringkeeper"),
        "zookeeper": lambda: ZooKeeper(ROOT / "target" / "perf-data", load, options.zookeeper, "4g"),
    }
    lines = [f"{options.rate} requests a second, nine reads to a write, beside:", "",
             "| disturbance | server | times | p50 | p99 | p99.9 | max (us) |", "|---|---|---|---|---|---|---|"]
    for kind in DISTURBANCES:
        for name in options.servers.split(","):
            server = made[name]()
            if name == "zookeeper":
                server.fetch()
            result, count = measure(server, kind, options, folder)
            latency = result["latency"]
            cells = [kind.__doc__, name, str(count)]
            cells += [f"{latency[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    (folder / "summary.md").write_text("\n".join(lines) + "\n")
    print(f"written to {folder}")


if __name__ == "__main__":
    sys.exit(main())
