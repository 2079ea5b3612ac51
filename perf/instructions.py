#!/usr/bin/env python3
"""Instructions of each micro-benchmark's operation, counted by callgrind: figures that hold on a noisy machine.

    cargo bench --bench micro --no-run && perf/instructions.py
    perf/instructions.py --save before.json      … then change something, build, and
    perf/instructions.py --against before.json

Each operation is repeated N and 3 N times; the difference over 2 N is what one costs, without what setting it up costs. Needs
valgrind. Instructions are no time: a cache miss counts as little as an addition. Exit codes: 0 counted; 2 not.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHORT, LONG = 500, 5  # Repetitions; long ones are those on whole trees.
COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


class CountError(Exception):
    """Nothing could be counted; says what to do."""


def newest_binary():
    found = [path for path in (ROOT / "target" / "release" / "deps").glob("micro-*") if not path.suffix]
    if not found:
        raise CountError("bench/micro isn't built: run cargo bench --bench micro --no-run")
    return max(found, key=lambda path: path.stat().st_mtime)


def instructions(binary, name, count):
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", binary, "repeat", name, str(count)]
        run = subprocess.run(command, capture_output=True, text=True)
    collected = COLLECTED.search(run.stderr)
    if run.returncode != 0 or not collected:
        raise CountError(f"{name}: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else 'no answer'}")
    return int(collected.group(1))


def per_operation(binary, name):
    count = LONG if "10,000" in name else SHORT
    few, many = (instructions(binary, name, times) for times in (count, 3 * count))
    return (many - few) / (2 * count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="operations whose name has this in it")
    parser.add_argument("--save", help="write the counts there as JSON")
    parser.add_argument("--against", help="counts of another build, to compare with")
    options = parser.parse_args()
    try:
        if shutil.which("valgrind") is None:
            raise CountError("valgrind is needed: apt-get install valgrind")
        before = json.loads(pathlib.Path(options.against).read_text()) if options.against else {}
        binary = newest_binary()
        names = subprocess.run([binary, "repeat", "list"], capture_output=True, text=True, check=True).stdout.splitlines()
        counts = {}
        for name in names:
            if options.only and options.only not in name:
                continue
            counts[name] = per_operation(binary, name)
            change = f"  {counts[name] / before[name] - 1:+.1%}" if before.get(name) else ""
            print(f"{name:<44}{counts[name]:>14,.0f}{change}", flush=True)
        if options.save:
            pathlib.Path(options.save).write_text(json.dumps(counts, indent=1) + "\n")
    except (CountError, OSError, json.JSONDecodeError, subprocess.CalledProcessError) as error:
        print(f"instructions.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
