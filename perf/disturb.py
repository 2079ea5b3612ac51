#!/usr/bin/env python3
"""What others notice of a burden: latency of a steady load, alone and beside each of several disturbances.

    perf/disturb.py [--servers ringkeeper,zookeeper] [--seconds 8] [--out FOLDER]

The steady load is an open loop of reads and writes, nine to one, far below what the server could do; its latency counts
from the intended start. Each disturbance has a fresh server and runs for as long as the load is measured, over and over.
"""

import argparse
import json
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from compare import ROOT
from servers import Ringkeeper, ZooKeeper

OPEN_ACL = struct.pack(">ii", 1, 31) + struct.pack(">i", 5) + b"world" + struct.pack(">i", 6) + b"anyone"
CREATE, GET_DATA, EXISTS, GET_CHILDREN, CLOSE = 1, 4, 3, 8, -11
EPHEMERAL, PERSISTENT = 1, 0


def text(value):
    return struct.pack(">i", len(value)) + value.encode()


class Client:
    """As much of a client as a disturbance needs: pipelined requests of fixed bytes, replies counted."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.frame(struct.pack(">iqiq", 0, 0, 30_000, 0) + text("\0" * 16) + b"\0")
        self.file = self.socket.makefile("rb", 1 << 20)
        self.reply()

    def frame(self, body):
        self.socket.sendall(struct.pack(">i", len(body)) + body)

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


def create(path, flags=PERSISTENT, data=""):
    return struct.pack(">ii", 1, CREATE) + text(path) + text(data) + OPEN_ACL + struct.pack(">i", flags)


def read(opcode, path, watch=False):
    return struct.pack(">ii", 1, opcode) + text(path) + bytes([watch])


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
