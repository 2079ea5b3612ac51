"""The client of etcd that writes without pause and outlives its member: failover.Writer's counterpart, for scenarios/lost.py.

A process of `etcd-load writer` (perf/etcd/writer.go), since the client is Go's: this holds it, and takes what it saw.
"""

import json
import subprocess
import threading

from etcd_server import BUILT
from servers import ServerError

FINISH_SECONDS = 10


class Writer:
    """Writes from `start` until `finish`. `acknowledged` holds (sent, answered) in ns of the monotone clock, once it has finished."""

    # A client has none at etcd; leases are not used here.
    sessions_lost = None

    def __init__(self, addresses, path):
        self.addresses, self.path = list(addresses), path
        self.acknowledged, self.errors = [], {}
        self.ready = threading.Event()
        self.process, self.reader, self.last = None, None, ""

    def start(self):
        command = [BUILT / "etcd-load", "writer", "--server", ",".join(self.addresses), "--path", self.path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()

    def listen(self):
        for line in self.process.stdout:
            if line.strip() == "ready":
                self.ready.set()
            else:
                self.last = line

    def finish(self):
        """The end of its input ends it."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.stdin.close()
        try:
            process.wait(FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.reader.join()
        told = process.stderr.read().strip()
        process.stdout.close()
        process.stderr.close()
        self.take(self.last, process.returncode, told)

    def take(self, line, code, complaint):
        try:
            seen = json.loads(line)
        except ValueError:
            raise ServerError(f"etcd's writer at {self.addresses[0]} ended with {code} and told nothing: {complaint}") from None
        self.acknowledged = [tuple(pair) for pair in seen["acknowledged"]]
        self.errors = seen["errors"]
