#!/usr/bin/env python3
"""Writes the pages of scenarios' results anew from what was measured: after a change of what they tell, nothing is measured again.

    perf/again.py perf/runs/<date>-<machine>-<scenario>...

What the run was (machine, commit, command, what was left out) is taken from the folder's README.md, figures from its raw/.

Exit codes: 0 written; 2 a folder isn't a scenario's result.
"""

import json
import pathlib
import re
import sys

import results
import scenario
import scenarios
from scenarios import tables
from servers import ServerError


def known(text):
    """(scenario, day, facts, notes) of a result's README.md; None where it is none of a scenario."""
    head = re.match(r"# (.+), (\d{4}-\d\d-\d\d)\n\n", text)
    found = next((one for one in scenarios.ALL if head and one.TITLE == head[1]), None)
    if found is None:
        return None
    table, _, rest = text[head.end():].partition("\n\n")
    # `| name | value |`; a value may be empty, or have such lines in it.
    facts = [tuple(line.removeprefix("| ").removesuffix(" |").split(" | ", 1)) for line in table.splitlines()[2:]]
    notes = [line for line in rest.splitlines()
             if line and line != scenario.LAST_WORDS and not line.startswith((tables.FAILED, tables.NOISY))]
    return found, head[2], facts, notes


def measured(folder):
    """In the order of measurement, which the files' names begin with. All of them, or pages would lose what they tell."""
    found = [json.loads(path.read_text()) for path in sorted((folder / "raw").glob("[0-9]*-*.json"))]
    lines = len((folder / "raw.csv").read_text().splitlines()) - 1
    if len(found) != lines:
        raise ServerError(f"{folder}/raw has {len(found)} measurements, raw.csv {lines}: nothing is written anew")
    return found


def again(folder):
    told = known((folder / "README.md").read_text())
    if told is None:
        raise ServerError(f"{folder} is no result of a scenario: its README.md has none's title")
    found, day, facts, notes = told
    results.save(folder, scenario.pages(found, measured(folder), facts, notes, day))


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise ServerError("expected folders of results: perf/again.py perf/runs/<date>-<machine>-<scenario>...")
    for name in sys.argv[1:]:
        again(pathlib.Path(name))
    return 0


if __name__ == "__main__":
    sys.exit(results.guarded("again.py", main))
