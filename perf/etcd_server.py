"""etcd under comparison: built by Go from the module in perf/etcd/, which pins it, and run as members of ensembles.

Used by scenarios/kit.py. Loads go to it through its own client (perf/etcd/*.go), which has the options and the JSON of
`ringkeeper-load`. Its settings are its own defaults but for those that `describe` tells.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time

from ensembles import LEADER_SECONDS, Ensemble
from servers import CLIENTS, ROOT, Server, ServerError

MODULE = ROOT / "perf" / "etcd"
BUILT = CLIENTS / "etcd"
SERVER_PACKAGE = "go.etcd.io/etcd/server/v3"
ASK_SECONDS = 2
OBSERVERS = "its learners are no observers: they take no write of a client, and there may be one only by default"
# Every write is kept until somebody compacts, which by default nobody does: the default of 2 GiB would end a long run.
QUOTA_GIB = 8


def version_in(text):
    """The server's in a go.mod: 3.6.16."""
    found = re.search(rf"^\s*{re.escape(SERVER_PACKAGE)} v(\S+)", text, re.MULTILINE)
    if found is None:
        raise ServerError(f"perf/etcd/go.mod doesn't name {SERVER_PACKAGE}")
    return found.group(1)


def sources():
    return sorted([MODULE / "go.mod", MODULE / "go.sum", *MODULE.glob("*.go")])


def stamp_of(paths):
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build():
    """Server and load program, once, and again when the module has changed."""
    stamp, wanted = BUILT / "stamp", stamp_of(sources())
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if shutil.which("go") is None:
        raise ServerError("go is needed to build etcd and the load program for it: install Go (Debian: apt install golang-go)")
    BUILT.mkdir(parents=True, exist_ok=True)
    print("building etcd and the load program for it (the first time: some minutes)", flush=True)
    # What is fetched stays below tests/.clients, as of all clients; no other toolchain is fetched.
    own = {"GOMODCACHE": str(BUILT / "modules"), "GOCACHE": str(BUILT / "cache"), "GOTOOLCHAIN": "local",
           "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}
    for name, package in (("etcd", SERVER_PACKAGE), ("etcd-load", ".")):
        partial = BUILT / f"{name}.partial"
        command = ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", partial, package]
        result = subprocess.run(command, cwd=MODULE, env={**os.environ, **own}, capture_output=True, text=True)
        if result.returncode != 0:
            raise ServerError(f"building {name} failed:\n{result.stdout}{result.stderr}".strip())
        partial.rename(BUILT / name)
    stamp.write_text(wanted)


def post(port, path, body, seconds=ASK_SECONDS, host="127.0.0.1"):
    """The answer of the JSON gateway of a member's client port; None where none answers."""
    return told_by(port, "POST", path, json.dumps(body), seconds, json.loads, host)


def told_by(port, method, path, body, seconds, read, host="127.0.0.1"):
    # Not urllib: that would ask a proxy of the environment.
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return read(text) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def mode_in(status):
    """leader, follower, learner; None without an answer or where no leader is known."""
    if not status or int(status.get("leader", 0)) == 0:
        return None
    if status.get("isLearner"):
        return "learner"
    return "leader" if status["leader"] == status["header"]["member_id"] else "follower"


def syncs_in(metrics):
    for line in (metrics or "").splitlines():
        if line.startswith("etcd_disk_wal_fsync_duration_seconds_count "):
            return int(float(line.split()[1]))
    return None


class Etcd(Server):
    """One member. `EtcdEnsemble` says who the others are."""

    name = "etcd"

    def __init__(self, directory):
        super().__init__(directory, BUILT / "etcd-load")
        self.generator = self.load_binary

    def fetch(self):
        build()

    def command(self):
        return [BUILT / "etcd", "--data-dir", self.data / "member", *(f"--{key}={value}" for key, value in self.settings.items())]

    def environment(self):
        """It takes settings from there, too, which nobody would see."""
        return {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}

    def status(self):
        return post(self.port, "/v3/maintenance/status", {})

    def mode(self):
        return mode_in(self.status())

    def log_syncs(self):
        return syncs_in(told_by(self.port, "GET", "/metrics", None, ASK_SECONDS, str))

    def describe(self):
        version = version_in((MODULE / "go.mod").read_text())
        told = subprocess.run([BUILT / "etcd", "--version"], capture_output=True, text=True).stdout
        built = re.search(r"Go Version: (\S+)", told)
        go = built.group(1) if built else "an unknown Go"
        return (f"etcd {version}, members of an ensemble, built by {go}; defaults (fsync on) but for "
                f"a quota of {QUOTA_GIB} GiB; loaded through its Go client {version}, gets serializable")


class EtcdEnsemble(Ensemble):
    """All members vote: learners are no observers (OBSERVERS)."""

    def __init__(self, name, directory, voters, observers=0, settings=None):
        if observers:
            raise ServerError(f"{name}: {OBSERVERS}")
        super().__init__(name, directory, Etcd, voters, settings=settings)

    def peer_url(self, number):
        """Where the others find a member; ids from 1."""
        return f"http://127.0.0.1:{self.peer_ports[number - 1][0]}"

    def configure(self, settings):
        """`settings` are those of a zoo.cfg: only those of the detection of a lost leader have a counterpart."""
        own = detection(settings)
        self.settings = {"tickTime": 500, "syncLimit": 2, **settings}
        everybody = ",".join(f"m{number}={self.peer_url(number)}" for number in range(1, len(self.members) + 1))
        for number, member in enumerate(self.members, 1):
            client = f"http://{member.address}"
            member.settings = {
                "name": f"m{number}",
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": f"http://127.0.0.1:{self.peer_ports[number - 1][0]}",
                "initial-advertise-peer-urls": self.peer_url(number),
                "initial-cluster": everybody,
                # Ensembles that run side by side must not take each other for members.
                "initial-cluster-token": f"{self.name}-{self.peer_ports[0][0]}",
                "quota-backend-bytes": QUOTA_GIB << 30,
                **own,
            }

    def describe(self):
        return self.members[0].describe()

    def launch(self, member):
        member.launch()

    def lead_elsewhere(self, member):
        """Makes another one lead, if this one does."""
        deadline = time.monotonic() + LEADER_SECONDS
        while (leader := self.leader()) is member:
            other = next(one for one in self.running if one is not member)
            status = other.status()
            if status:
                post(leader.port, "/v3/maintenance/transfer-leadership", {"targetID": status["header"]["member_id"]}, 10)
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name}: leadership wasn't moved for {LEADER_SECONDS} s")
            time.sleep(0.1)


def detection(settings):
    """A leader is given up after its `election-timeout`: ZooKeeper's tickTime × syncLimit. Defaults where nothing is asked for."""
    unknown = set(settings) - {"tickTime", "syncLimit"}
    if unknown:
        raise ServerError(f"etcd has nothing like {', '.join(sorted(unknown))}")
    if set(settings) != {"tickTime", "syncLimit"}:
        if settings:
            raise ServerError("tickTime and syncLimit come together")
        return {}
    timeout = int(settings["tickTime"]) * int(settings["syncLimit"])
    return {"election-timeout": timeout, "heartbeat-interval": timeout // 10}
