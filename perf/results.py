"""Where a run's result goes: its folder, its files, and what is said where there is no room for them.

Used by all scripts that measure. A result is published: it names no folder of this machine.
"""

import datetime
import pathlib
import shlex
import shutil
import subprocess
import sys

import machine
import page
from chart import Chart, Line
from servers import ROOT, ServerError

ROOM_GIB = 10


def new_folder(options, suffix=""):
    """`--out`, or one in perf/runs that nobody has yet; with `raw` in it."""
    if options.out:
        folder = pathlib.Path(options.out)
    else:
        base = ROOT / "perf" / "runs" / f"{datetime.date.today().isoformat()}-{machine.label()}{suffix}"
        folder, count = base, 1
        while folder.exists():
            count += 1
            folder = base.with_name(f"{base.name}-{count}")
    try:
        (folder / "raw").mkdir(parents=True)
    except FileExistsError:
        raise ServerError(f"{folder} holds a result already: give --out a folder that is new, so that two don't mix") from None
    except OSError as error:
        raise ServerError(f"no result can be kept in {folder}: {error.strerror}: give --out another folder") from error
    return folder


def check_directory(directory):
    """Data directories lie on a disk that has room for a run."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(f"no data directory can be made in {directory}: {error.strerror}: give --dir another folder") from error
    if machine.file_system(directory).startswith(("tmpfs", "ramfs")):
        raise ServerError(f"{directory} lies in memory, where a sync costs nothing: give --dir on a disk")
    free_gib = shutil.disk_usage(directory).free / 2**30
    if free_gib < ROOM_GIB:
        raise ServerError(f"{directory} has {free_gib:.1f} GiB free; logs and snapshots of a run need {ROOM_GIB}: give --dir")


def check(options):
    """What a run needs before its first measurement."""
    check_directory(pathlib.Path(options.dir))
    if not (pathlib.Path(options.binaries) / "ringkeeper-load").exists():
        raise ServerError("the load generator isn't built: run cargo build --release")


def not_measured(run):
    """The part of a result that tells what `run` could not measure or write; empty, if there is none."""
    told = [f"- {failure}".replace(str(run.directory), "DIR") for failure in [*run.failures, *run.bench.unwritten]]
    return "\n".join(["", "## Not measured", "", *told, ""]) if told else ""


def built_with():
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    return "built with", f"{rustc}, release profile of Cargo.toml"


def noise(options, measured):
    noisy = sum(1 for one in measured if one.get("noisy"))
    return "noise", f"others used more than {options.noise:.0%} of the machine in {noisy} of {len(measured)} measurements"


def generator(measured):
    """Its largest share of a processor, told for each server: etcd's loads go through another program, whose requests cost more."""
    most = {}
    for result in measured:
        seconds, own = result.get("window_seconds"), result.get("generator", {}).get("cpu_seconds")
        # A load that was cut before its window began has none.
        if seconds and own is not None:
            most[result["server"]] = max(own / seconds, most.get(result["server"], 0))
    told = ", ".join(f"{share:.0%} of a processor on {name}" for name, share in most.items())
    return "generator", f"at most {told}" if most else "clients of the script's own"


def command_without_folders(script):
    """The command line; folders are this machine's own business and change no result, and who the sessions are is a secret."""
    words, skip = [], False
    for word in sys.argv[1:]:
        own = word.split("=")[0] in ("--dir", "--out", "--binaries", "--auth")
        if not own and not skip:
            words.append(word)
        skip = own and "=" not in word
    return shlex.join([script, *words])


def save(folder, files):
    """`files`: name → text. All are tried; what can't be written is told, and what a result says is to be printed before."""
    failed = []
    for name, text in files.items():
        try:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        except OSError as error:
            failed.append(f"{name} ({error.strerror})")
    if failed:
        raise ServerError(f"the result in {folder} is not whole: {', '.join(failed)} could not be written. What was measured is in "
                          "the tables above; free some room, or give --out another folder")


def guarded(script, run):
    """The exit status of `run`; 2, with a line that says why, where it can't go on."""
    try:
        return run()
    except (ServerError, OSError, subprocess.CalledProcessError) as error:
        # What it was that ended the run, and what then stood in the way of writing its result.
        before = None if error.__suppress_context__ else error.__context__
        if before is not None and not isinstance(before, (ServerError, OSError, subprocess.CalledProcessError)):
            # A fault of these scripts, or Ctrl-C: to be seen whole.
            print(f"{script}: {words(error)}", file=sys.stderr)
            raise before from None
        told = "; then ".join(words(one) for one in (before, error) if one is not None)
    print(f"{script}: {told}", file=sys.stderr)
    return 2


def words(error):
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)


def series_charts(measured, titles):
    """How each row's throughput went: a line a server, of the round in the middle. `titles`: row → its title, in their order."""
    charts = []
    for row, title in titles.items():
        lines = []
        rounds = [one for one in measured if one["row"] == row and (one.get("series_100ms") or {}).get("replies")]
        for server in dict.fromkeys(one["server"] for one in rounds):
            own = sorted((one for one in rounds if one["server"] == server), key=lambda one: one["operations_per_second"])
            replies = own[len(own) // 2]["series_100ms"]["replies"]
            lines.append(Line(server, [(index / 10, count * 10) for index, count in enumerate(replies)]))
        if lines:
            charts.append(Chart(title, "seconds", "operations per second", lines, with_marks=False))
    return charts


def pages(title, question, facts, text, charts):
    """The files of a run whose summary is Markdown: `index.html` and its charts. `text`: the summary."""
    files = {f"charts/{number:02}.svg": svg + "\n" for number, svg in enumerate(map(page.chart.svg, charts), 1)}
    return {**files, "index.html": page.of_markdown(title, question, facts, charts, text)}
