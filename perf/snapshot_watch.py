"""Watches a server's data directory: when snapshots were being written, which files came and went.

Used by rows.py while a load runs. A snapshot is any file with "snap" in its name. It is being written from its first
sight until it loses its temporary suffix or, for servers that write under the final name, until it last grew.
"""

import os
import re
import threading
import time

STEP_SECONDS = 0.02
# A log file that is not one yet, or no more.
SPARE = "segment.spare"
TEMPORARY = r"[.~-](tmp|partial|new|writing)$"


class SnapshotWatch:
    """Use as a context. Times are nanoseconds of the monotone clock, as the load generator's."""

    def __init__(self, directory):
        self.directory = directory
        self.intervals = {}
        self.files_seen = {}
        self.files_initial = set()
        self.files_gone = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._look(first=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(STEP_SECONDS):
            self._look(first=False)

    def _look(self, first):
        now = time.monotonic_ns()
        present = {}
        for path, _, names in os.walk(self.directory):
            for name in names:
                if name.startswith(SPARE):
                    continue
                full = os.path.join(path, name)
                try:
                    present[full] = os.stat(full).st_size
                except FileNotFoundError:
                    pass
        for full, size in present.items():
            key = re.sub(TEMPORARY, "", full)
            if first:
                self.files_initial.add(full)
                self.files_seen[full] = size
                if key != full and "snap" in os.path.basename(full):
                    # One that was begun before.
                    self.intervals[key] = {"begin": now, "end": now}
            if "snap" not in os.path.basename(full):
                self.files_seen[full] = size
                continue
            if full not in self.files_seen:
                interval = self.intervals.setdefault(key, {"begin": now, "end": now})
                interval["end"] = now
            elif self.files_seen[full] != size and key in self.intervals:
                self.intervals[key]["end"] = now
            self.files_seen[full] = size
        for full in self.files_seen:
            if full not in present:
                self.files_gone.add(full)

    def snapshots(self):
        """Intervals (begin, end) of the snapshots that were written during the watch, in order."""
        return sorted((interval["begin"], interval["end"]) for interval in self.intervals.values())

    def logs_begun(self):
        """Files that came during the watch and aren't snapshots."""
        new = set(self.files_seen) - self.files_initial
        return sum(1 for full in new if "snap" not in os.path.basename(full))

    def files_removed(self):
        """Files that disappeared and weren't a snapshot's temporary name."""
        return sum(1 for full in self.files_gone if not re.search(TEMPORARY, full))


def share_while_writing(result, snapshots):
    """Throughput while a snapshot was written, as a share of that outside, from a load's 100 ms series.

    Returns (share, entries inside, entries outside); the share is None where either side has less than a second.
    An entry counts as inside if any part of it lies in an interval.
    """
    start, step = result["window_start_ns"], 100_000_000
    inside, outside = [], []
    for index, replies in enumerate(result["series_100ms"]["replies"]):
        begin = start + index * step
        during = any(b < begin + step and e > begin for b, e in snapshots)
        (inside if during else outside).append(replies)
    if len(inside) < 10 or len(outside) < 10:
        return None, len(inside), len(outside)
    return (sum(inside) / len(inside)) / (sum(outside) / len(outside)), len(inside), len(outside)
