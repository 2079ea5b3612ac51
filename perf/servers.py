"""The servers under comparison: fetched or built, configured, started, stopped.

Used by compare.py and rows.py. Each server runs on 127.0.0.1 on a port of its own, with a data directory of its own
below the directory given; only processes started here are stopped, by their process id.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "tests" / ".clients"
STOP_SECONDS = 30
READY_SECONDS = 120
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.7.0:copy-dependencies"

LOGBACK = """<configuration>
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>{file}</file>
    <encoder><pattern>%d [%t] %-5p %c{{1}} - %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
"""


class ServerError(Exception):
    """A server that can't be had, started or stopped; says what to do."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mode_of(answer):
    """leader, follower, observer …, from the answer to `srvr`; None where it has no such line."""
    for line in answer.splitlines():
        if line.startswith("Mode:"):
            return line.split(":", 1)[1].strip()
    return None


def syncs_in(answer):
    """Syncs of the log since the start, from the answer to `mntr`; None where it has no such line."""
    for line in answer.splitlines():
        if line.startswith("zk_cnt_fsynctime"):
            return int(float(line.split()[1]))
    return None


def ask(port, word, seconds=2, host="127.0.0.1"):
    """A four-letter word's answer; empty where the server takes no connection or none answers."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as conversation:
            conversation.sendall(word)
            answer = b""
            while part := conversation.recv(4096):
                answer += part
        return answer.decode(errors="replace")
    except OSError:
        return ""


def tail(path, lines=20):
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


class Server:
    """One process. `start` waits until a client is answered; `settings` are lines of its zoo.cfg, `variables` of its environment."""

    name = "server"
    # What puts loads on it where that isn't the generator of all others.
    generator = None

    def __init__(self, directory, load_binary):
        self.directory = pathlib.Path(directory) / self.name
        self.load_binary = load_binary
        self.port = free_port()
        self.process = None
        self.settings = {}
        self.variables = {}

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def addresses(self):
        """Where a load goes; more than one in an ensemble (ensembles.py)."""
        return [self.address]

    @property
    def pids(self):
        return [self.pid]

    @property
    def data(self):
        return self.directory / "data"

    @property
    def output(self):
        return self.directory / "output.txt"

    def command(self):
        raise NotImplementedError

    def environment(self):
        """That of the process."""
        return {**os.environ, **self.variables}

    def mode(self):
        """leader, follower, observer …; None where it doesn't say."""
        return mode_of(ask(self.port, b"srvr"))

    def log_syncs(self):
        """Syncs of its log since its start; None where it doesn't tell."""
        return syncs_in(ask(self.port, b"mntr"))

    def counters(self):
        """What it counts itself; its processor time is the kernel's to tell, and no matter of its own."""
        return {"syncs": self.log_syncs()}

    def write_config(self, own):
        settings = {
            "tickTime": 2000,
            "dataDir": self.data,
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "*",
            "admin.enableServer": "false",
            **own,
            **self.settings,
        }
        path = self.directory / "zoo.cfg"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def clear(self):
        """Removes the data of earlier runs. Not while the server runs."""
        assert self.process is None
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, path="/"):
        """Starts and waits for an answer to a read of `path`. Returns the seconds from start to that answer."""
        begin = self.launch()
        return (self.wait(path) - begin) / 1e9

    def launch(self):
        """Starts the process and waits for nothing. Returns the monotone clock's nanoseconds of that."""
        assert self.process is None, f"{self.name} runs already"
        self.data.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with open(self.output, "ab") as output:
            begin = time.monotonic_ns()
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.directory, env=self.environment())
        return begin

    def wait(self, path="/"):
        """Until a read of `path` is answered. Returns the monotone clock's nanoseconds of the answer."""
        command = [self.load_binary, "wait", "--server", self.address, "--path", path, "--seconds", str(READY_SECONDS)]
        waiter = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while waiter.poll() is None:
            if self.process.poll() is not None:
                waiter.kill()
                waiter.wait()
                code, self.process = self.process.returncode, None
                raise ServerError(f"{self.name} ended with code {code} at its start:\n{tail(self.output)}")
            time.sleep(0.005)
        out, err = waiter.communicate()
        if waiter.returncode != 0:
            self.stop()
            raise ServerError(f"{self.name} doesn't answer: {err.strip()}\n{tail(self.output)}")
        return int(out.split(" at ")[1].split()[0])

    def stop(self, hard=False):
        """SIGTERM (or SIGKILL), and waits for the end."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"{self.name} didn't stop within {STOP_SECONDS} s of SIGTERM") from None

    @property
    def pid(self):
        if self.process is None or self.process.poll() is not None:
            raise ServerError(f"{self.name} isn't running:\n{tail(self.output)}")
        return self.process.pid

    def describe(self):
        raise NotImplementedError


class ZooKeeper(Server):
    """Apache ZooKeeper, standalone, from Maven's repository; JVM defaults but for the heap's size."""

    name = "zookeeper"

    def __init__(self, directory, load_binary, version, heap):
        super().__init__(directory, load_binary)
        self.version = version
        self.heap = heap
        self.jars = CLIENTS / f"zookeeper-{version}"

    def fetch(self):
        if (self.jars / f"zookeeper-{self.version}.jar").exists():
            return
        for tool in ("mvn", "java"):
            if shutil.which(tool) is None:
                raise ServerError(f"{tool} is needed to run Apache ZooKeeper: install a JDK and Maven")
        partial = self.jars.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-f", ROOT / "perf" / "pom.xml", DEPENDENCY_PLUGIN]
        command += [f"-Dzookeeper.version={self.version}", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise ServerError(f"fetching Apache ZooKeeper {self.version} failed:\n{result.stdout}{result.stderr}")
        partial.rename(self.jars)

    def command(self):
        config = self.write_config({})
        logback = self.directory / "logback.xml"
        logback.write_text(LOGBACK.format(file=self.directory / "log.txt"))
        return ["java", f"-Xmx{self.heap}", f"-Dlogback.configurationFile={logback}", "-cp", f"{self.jars}/*",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)]

    def describe(self):
        java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()[0]
        return f"Apache ZooKeeper {self.version}, standalone, {java}, JVM defaults with -Xmx{self.heap}"


class Ringkeeper(Server):
    """The server of this repository, release build."""

    name = "ringkeeper"

    def __init__(self, directory, load_binary, binary, shards=None):
        super().__init__(directory, load_binary)
        self.binary = pathlib.Path(binary)
        self.shards = shards

    def command(self):
        if not self.binary.exists():
            raise ServerError(f"{self.binary.name} isn't built: run cargo build --release")
        own = {} if self.shards is None else {"ringkeeper.shards": self.shards}
        return [self.binary, "server", str(self.write_config(own))]

    def describe(self):
        shards = "default placement" if self.shards is None else f"ringkeeper.shards={self.shards}"
        return f"Ringkeeper, release build, standalone, {shards}"


class Floor(Server):
    """Canned replies from one epoll thread, one sync a turn: what no server undercuts by much."""

    name = "floor"

    def command(self):
        return [self.load_binary, "floor", "--port", str(self.port), "--file", str(self.data / "log")]

    def describe(self):
        return "canned replies from one epoll thread; writes of a turn appended to a preallocated file, one fdatasync"
