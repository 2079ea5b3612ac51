#!/usr/bin/env python3
"""Writes perf/runs/README.md: every result that is kept, those of one kind together, the newest day first.

A test holds the page against the folders: run this when a result was added, or one went.
"""

import re
import sys

from page import markdown_table
from results import guarded
from servers import ROOT

RUNS = ROOT / "perf" / "runs"
HEAD = """# Results that are kept

A folder a run; of those with one title the newest day comes first, and what it says goes before what older ones say, which are kept for
what was told from them at their time. Written by `perf/index.py`.

Where a line has no commit, the page was put together by hand from several measurements and says itself what the builds were, if anything
does; `git log -- FOLDER` tells when it came. All that name a kernel name Linux {kernels}.
"""
KINDS = [("Servers side by side (`perf/compare.py`)", r"Comparison of"), ("Ensembles (`perf/ensemble.py`)", r"Ensembles,"),
         ("Scenarios (`perf/scenario.py`)", "scenario"), ("Knobs (`perf/knob.py`)", "knob"),
         ("Neighbours (`perf/neighbours.py`)", r"Neighbours,"), ("Looked into", r"")]


def told(text, name):
    """A value of a README's table of facts, or of its line `Command: …`; empty where it isn't there."""
    found = re.search(rf"^\| {name} \| (.*) \|$", text, re.MULTILINE) or re.search(rf"^{name.capitalize()}: `(.*)`", text, re.MULTILINE)
    return found[1] if found else ""


def kind(text):
    script = re.search(r"perf/(\w+)\.py", told(text, "command"))
    return next(index for index, (_, sign) in enumerate(KINDS)
                if re.match(f"# {sign}", text) or script and script[1] == sign)


def line(folder, text):
    title, _, _ = text[2:].partition("\n")
    title = re.sub(r"(,| of| on)? \d{4}-\d\d-\d\d", "", title).strip()
    options = re.sub(r"^perf/\w+\.py ?", "", told(text, "command"))
    return [f"[{folder.name}]({folder.name}/README.md)", title, f"`{options}`" if options else "", told(text, "commit")]


def text(pages):
    """The whole page, of the runs' own ones."""
    found = [(page.parent, page.read_text()) for page in sorted(pages, reverse=True)]
    kernels = sorted({told(one, "kernel").split()[1] for _, one in found if told(one, "kernel")})
    parts = [HEAD.format(kernels=", ".join(kernels))]
    for index, (name, _) in enumerate(KINDS):
        lines = [line(*one) for one in found if kind(one[1]) == index]
        if name != "Looked into":
            lines.sort(key=lambda cells: cells[1])
        if lines:
            parts += [f"## {name}\n", markdown_table(["run", "what", "options", "commit"], lines) + "\n"]
    return "\n".join(parts)


def main():
    # One that has no page is under way.
    (RUNS / "README.md").write_text(text(RUNS.glob("*/README.md")))
    return 0


if __name__ == "__main__":
    sys.exit(guarded("index.py", main))
