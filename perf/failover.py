"""A client that writes without pause and comes back at once, and the times it saw around a leader's end.

Used by ensemble_rows.py. Writer: one session, one write outstanding. When its connection ends it tries its addresses in turn
without the pause of a real client's library, with its session's id and password, so that what is measured is the
servers' time and no client's back-off. Layouts: ZooKeeper's `zookeeper.jute` (ConnectRequest, SetDataRequest).
"""

import socket
import struct
import threading
import time

# Some servers take a connection before they serve, and then forget it.
CONNECT_SECONDS = 0.5
RETRY_SECONDS = 0.001
NODE_EXISTS = -110


def buffer(data):
    return struct.pack(">i", len(data)) + data


def connect_request(last_zxid, timeout_ms, session, password):
    return struct.pack(">iqiq", 0, last_zxid, timeout_ms, session) + buffer(password) + b"\0"


def create_request(xid, path, data):
    acl = struct.pack(">ii", 1, 31) + buffer(b"world") + buffer(b"anyone")
    return struct.pack(">ii", xid, 1) + buffer(path) + buffer(data) + acl + struct.pack(">i", 0)


def set_request(xid, path, data):
    return struct.pack(">ii", xid, 5) + buffer(path) + buffer(data) + struct.pack(">i", -1)


class Writer(threading.Thread):
    """Writes from `start` until `finish`. `acknowledged` holds (sent, answered) in ns of the monotone clock."""

    def __init__(self, addresses, path):
        super().__init__(daemon=True)
        self.addresses = [(address.rsplit(":", 1)[0], int(address.rsplit(":", 1)[1])) for address in addresses]
        self.path = path.encode()
        self.acknowledged = []
        self.disconnects = []
        self.reconnects = []
        self.attempts_failed = 0
        self.sessions_lost = 0
        self.errors = {}
        self.session, self.password, self.last_zxid, self.xid = 0, bytes(16), 0, 0
        self.socket = None
        self.ready = threading.Event()
        self._stop_asked = threading.Event()

    def frame(self):
        data = b""
        while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionResetError("closed by the server")
            data += part
        return data[4:]

    def connect_any(self):
        """Tries the addresses in turn until one takes the session, or the writer is asked to stop."""
        turn = 0
        while not self._stop_asked.is_set():
            address = self.addresses[turn % len(self.addresses)]
            turn += 1
            try:
                self.socket = socket.create_connection(address, timeout=CONNECT_SECONDS)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.socket.sendall(buffer(connect_request(self.last_zxid, 30_000, self.session, self.password)))
                answer = self.frame()
                granted, session, length = struct.unpack_from(">iqi", answer, 4)
                if granted <= 0:
                    self.sessions_lost += 1
                    self.session, self.password = 0, bytes(16)
                    continue
                self.session, self.password = session, answer[20:20 + length]
                # The servers' own detection ends a silent leader's writes, not a timeout of the client's.
                self.socket.settimeout(120)
                self.reconnects.append(time.monotonic_ns())
                return True
            except OSError:
                self.attempts_failed += 1
                self.close_socket()
                time.sleep(RETRY_SECONDS)
        return False

    def close_socket(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def ask(self, request):
        """The answer's error code; requests have xids of their own, and no watch is set."""
        self.socket.sendall(buffer(request))
        xid, zxid, code = struct.unpack_from(">iqi", self.frame())
        if xid != self.xid:
            raise ConnectionError(f"answer to xid {xid} where {self.xid} was asked")
        self.last_zxid = max(self.last_zxid, zxid)
        return code

    def run(self):
        created = False
        while self.connect_any():
            try:
                while not self._stop_asked.is_set():
                    self.xid += 1
                    sent = time.monotonic_ns()
                    if not created:
                        code = self.ask(create_request(self.xid, self.path, b"x" * 100))
                        created = code in (0, NODE_EXISTS)
                    else:
                        code = self.ask(set_request(self.xid, self.path, b"x" * 100))
                    if code == 0:
                        self.acknowledged.append((sent, time.monotonic_ns()))
                        self.ready.set()
                    elif code != NODE_EXISTS:
                        self.errors[code] = self.errors.get(code, 0) + 1
            except OSError:
                self.disconnects.append(time.monotonic_ns())
                self.close_socket()
                # The other one first: the one that just hung up is the least likely to serve.
                self.addresses.append(self.addresses.pop(0))
        self.farewell()

    def farewell(self):
        """closeSession, so that no session expires during later measurements. A failed one expires."""
        if self.socket is not None:
            try:
                self.socket.settimeout(CONNECT_SECONDS)
                self.xid += 1
                self.ask(struct.pack(">ii", self.xid, -11))
            except OSError:
                pass
            self.close_socket()

    def finish(self):
        self._stop_asked.set()
        if self.socket is not None and self.is_alive():
            self.join(2)
            if self.is_alive() and self.socket is not None:
                try:
                    self.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.join(10)

    def wrote_after(self, instant):
        return bool(self.acknowledged) and self.acknowledged[-1][0] > instant


class HangUp(threading.Thread):
    """Notes when the kernel closed the sockets of a process: `at`, in ns of the monotone clock, None while it hasn't."""

    def __init__(self, address):
        super().__init__(daemon=True)
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS)
        self.socket.settimeout(None)
        self.at = None
        self.start()

    def run(self):
        try:
            self.socket.recv(1)
        except OSError:
            pass
        self.at = time.monotonic_ns()

    def finish(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.join(5)
        self.socket.close()


def pauses(acknowledged, disconnects, instant):
    """What a client's writes did around `instant`: (last answer before the pause, the answer that ended it, longest
    pause between answers after that). None where nothing was answered before or after.

    The pause ends with the first answer after the connection was lost, since a dying leader may still answer a write
    after `instant`; where the server kept the connection, the pause is the longest one.
    """
    before = [answered for _, answered in acknowledged if answered <= instant]
    after = [answered for _, answered in acknowledged if answered > instant]
    if not before or not after:
        return None
    answers = [before[-1], *after]
    lost = next((at for at in disconnects if at > instant), None)
    if lost is None:
        end = max(range(1, len(answers)), key=lambda place: answers[place] - answers[place - 1])
    else:
        end = next((place for place in range(1, len(answers)) if answers[place] > lost), None)
        if end is None:
            return None
    later = max((answers[place] - answers[place - 1] for place in range(end + 1, len(answers))), default=0)
    return answers[end - 1], answers[end], later
