"""One HTML page that shows a whole run: what was measured on what, the charts, the tables. Pure.

Nothing is fetched from outside and no script runs: the page can be sent and kept.
"""

import html
import re

import chart

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #111827; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #e5e7eb; padding: .25rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.facts td { text-align: left; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; border: 1px solid #e5e7eb; }
.scroll { overflow-x: auto; }
"""


def table(header, lines, kind="", is_markdown=False):
    """Cells are texts; the first of a line is its name."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    cell_of = inline if is_markdown else html.escape
    body = "".join("<tr>" + "".join(f"<td>{cell_of(str(cell))}</td>" for cell in line) + "</tr>\n" for line in lines)
    head = f"<thead><tr>{head}</tr></thead>\n" if header else ""
    return f'<div class="scroll"><table class="{kind}">{head}<tbody>{body}</tbody></table></div>'


def markdown_table(header, lines):
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines])


def of_markdown(title, question, facts, charts, text):
    """The same of a summary in Markdown: headings, paragraphs, lists and tables, as the scripts here write them."""
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(question)}</p>"]
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("#"):
            parts.append(f"<h2>{inline(lines.pop(0).lstrip('# '))}</h2>")
        if not lines:
            continue
        if lines[0].startswith("|"):
            cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
            lines_of = [cell for cell in cells[1:] if set("".join(cell)) - set("-: ")]
            parts.append(table(cells[0], lines_of, is_markdown=True))
            lines = [line for line in lines if not line.startswith("|")]
        items = [line[2:] for line in lines if line.startswith("- ")]
        rest = " ".join(line for line in lines if not line.startswith("- "))
        parts += [f"<p>{inline(rest)}</p>"] if rest else []
        parts += ["<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>"] if items else []
    parts.append('<div class="charts">' + "\n".join(chart.svg(one) for one in charts) + "</div>")
    return whole(title, [*parts, f"<h2>The run</h2>{table([], facts, 'facts')}"])


def inline(text):
    """Code and emphasis; what is code is nothing else."""
    parts = re.split(r"(`[^`]*`)", html.escape(text))
    emphasis = lambda part: re.sub(r"\*\*([^*]+)\*\*|\*([^*]+)\*", lambda found: f"<em>{found[1] or found[2]}</em>", part)  # noqa: E731
    return "".join(f"<code>{part[1:-1]}</code>" if part[:1] == "`" else emphasis(part) for part in parts)


def page(title, question, facts, charts, tables, notes):
    """`facts`: (what, value); `tables`: (title, header, lines); `notes`: sentences."""
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(question)}</p>"]
    parts += [f"<p><strong>{html.escape(note)}</strong></p>" for note in notes]
    parts.append('<div class="charts">' + "\n".join(chart.svg(one) for one in charts) + "</div>")
    for name, header, lines in tables:
        parts.append(f"<h2>{html.escape(name)}</h2>{table(header, lines)}")
    return whole(title, [*parts, f"<h2>The run</h2>{table([], facts, 'facts')}"])


def whole(title, parts):
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>\n'
            + "\n".join(parts) + "\n</body></html>\n")
