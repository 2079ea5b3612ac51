"""The three-syncer floor: what it costs that each of three members syncs the same write on one machine's disk.

Used by ensemble_rows.py. Three processes append to a preallocated file each and fdatasync it, begun at once by a byte
in a pipe; each takes its own time from before the append until after the sync, so that the pipes cost nothing here.
A quorum waits for the second of the three; the third is told too.
"""

import os
import pathlib
import struct
import time

RECORD_BYTES = 200  # a set of 100 bytes with its headers
FILE_BYTES = 8 << 20


def syncer(path, begin_fd, done_fd):
    """The child: one append and sync per byte read, until the pipe is closed."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    os.pwrite(fd, bytes(FILE_BYTES), 0)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    record, at = b"x" * RECORD_BYTES, 0
    os.write(done_fd, struct.pack("<q", 0))
    while os.read(begin_fd, 1):
        begin = time.monotonic_ns()
        os.pwrite(fd, record, at)
        os.fdatasync(fd)
        os.write(done_fd, struct.pack("<q", time.monotonic_ns() - begin))
        at = (at + RECORD_BYTES) % (FILE_BYTES - RECORD_BYTES)


class Syncer:
    def __init__(self, path, inherited):
        begin_read, self.begin = os.pipe()
        self.done, done_write = os.pipe()
        self.path = path
        self.process_id = os.fork()
        if self.process_id == 0:
            code = 1
            try:
                # A sibling's pipe held open here would never tell it the end.
                for fd in (*inherited, self.begin, self.done):
                    os.close(fd)
                syncer(path, begin_read, done_write)
                code = 0
            finally:
                os._exit(code)
        os.close(begin_read)
        os.close(done_write)

    def result(self):
        answer = os.read(self.done, 8)
        if len(answer) != 8:
            raise OSError(f"the syncer of {self.path} ended early (disk full?)")
        return struct.unpack("<q", answer)[0]

    def close(self):
        os.close(self.begin)
        os.close(self.done)
        os.waitpid(self.process_id, 0)
        self.path.unlink(missing_ok=True)


def middle(times):
    return sorted(times)[len(times) // 2]


def summary(rounds):
    """Microseconds from rounds of three durations in nanoseconds: medians of the first, the second and the third."""
    ordered = [sorted(times) for times in rounds]
    first, second, third = (middle([times[place] for times in ordered]) / 1000 for place in range(3))
    return {"first_us": first, "quorum_us": second, "all_us": third, "count": len(rounds)}


def measure(directory, seconds, count=3):
    """Syncs at once for `seconds`, or at least 50 times."""
    directory = pathlib.Path(directory)
    syncers, rounds = [], []
    try:
        for number in range(count):
            inherited = [fd for other in syncers for fd in (other.begin, other.done)]
            syncers.append(Syncer(directory / f"syncer-{number}", inherited))
        for one in syncers:
            one.result()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or len(rounds) < 50:
            for one in syncers:
                os.write(one.begin, b"g")
            rounds.append([one.result() for one in syncers])
    finally:
        for one in syncers:
            one.close()
    return summary(rounds)
