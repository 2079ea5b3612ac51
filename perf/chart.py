"""Charts as SVG, drawn from lists of points. Pure: nothing is read or run here.

Used by page.py and the scenarios. One colour and one mark for each server, the same in every chart, told by both since a print may be
grey. Axes begin at zero unless logarithmic.
"""

import dataclasses
import html
import math

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 74, 16, 34, 74
# Colours that differ in lightness, too; names not listed take the later ones in turn.
COLOURS = {"ringkeeper": "#c2410c", "zookeeper": "#1d4ed8", "etcd": "#15803d", "floor": "#6b7280"}
SPARE_COLOURS = ["#7c3aed", "#0e7490", "#a16207", "#be185d"]
DASHES = ["", "7 4", "2 3", "9 3 2 3"]


@dataclasses.dataclass(frozen=True)
class Line:
    """Points (x, y) in any order; `low` and `high` (x, y) bound what the rounds gave, where there were several."""

    name: str
    points: list
    colour_of: str = ""
    dash: int = 0
    ranges: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Chart:
    """`x_log`, `y_log`: values must be above zero, others are left out. `marks`: (x, text), upright lines."""

    title: str
    x_title: str
    y_title: str
    lines: list
    x_log: bool = False
    y_log: bool = False
    marks: list = dataclasses.field(default_factory=list)
    with_marks: bool = True


def short(value):
    """A number on an axis: 1500000 → 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def ticks(low, high, log):
    """Round values from `low` to `high`: 1, 2 or 5 times a power of ten; on a logarithmic axis powers of ten."""
    if log:
        powers = range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)
        return [10.0**power for power in powers]
    if high <= low:
        return [low, low + 1]
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    count = math.ceil((high - low) / step - 1e-9)
    return [low + step * index for index in range(count + 1)]


class Axis:
    """From values to pixels."""

    def __init__(self, values, log, begin, end):
        self.log = log
        if log:
            values = [value for value in values if value > 0] or [1]
            self.ticks = ticks(min(values), max(values), True)
            if len(self.ticks) == 1:
                self.ticks.append(self.ticks[0] * 10)
        else:
            self.ticks = ticks(0, max([*values, 1e-9]), False)
        self.begin, self.end = begin, end

    def place(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)


def colour(line, index):
    return COLOURS.get(line.colour_of or line.name, SPARE_COLOURS[index % len(SPARE_COLOURS)])


def svg(chart):
    """The chart as an `<svg>` element with its own legend."""
    usable = [
        dataclasses.replace(line, points=sorted(
            (x, y) for x, y in line.points
            if y is not None and (x > 0 or not chart.x_log) and (y > 0 or not chart.y_log)), ranges=[
                (x, low, high) for x, low, high in line.ranges if (x > 0 or not chart.x_log) and (low > 0 or not chart.y_log)])
        for line in chart.lines
    ]
    usable = [line for line in usable if line.points]
    xs = [x for line in usable for x, _ in line.points] + [x for x, _ in chart.marks]
    ys = [y for line in usable for _, y in line.points] + [y for line in usable for _, low, high in line.ranges for y in (low, high)]
    x_axis = Axis(xs, chart.x_log, LEFT, WIDTH - RIGHT)
    y_axis = Axis(ys, chart.y_log, HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
           f'aria-label="{html.escape(chart.title)}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 20, chart.title, size=14, weight="bold")]
    for value in y_axis.ticks:
        y = y_axis.place(value)
        out.append(stroke(LEFT, y, WIDTH - RIGHT, y, "#e5e7eb"))
        out.append(text(LEFT - 6, y + 4, short(value), anchor="end"))
    for value in x_axis.ticks:
        x = x_axis.place(value)
        out.append(stroke(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5, "#374151"))
        out.append(text(x, HEIGHT - BOTTOM + 18, short(value), anchor="middle"))
    out.append(stroke(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#374151"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, chart.x_title, anchor="middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<g transform="rotate(-90 16 {middle:.1f})">{text(16, middle, chart.y_title, anchor="middle")}</g>')
    for x, label in chart.marks:
        place = x_axis.place(x)
        out.append(stroke(place, TOP, place, HEIGHT - BOTTOM, "#111827", "3 3"))
        out.append(text(place + 4, TOP + 10, label, size=11))
    for index, line in enumerate(usable):
        out += drawn(line, colour(line, index), x_axis, y_axis, chart.with_marks)
    out += legend(usable)
    return "\n".join([*out, "</svg>"])


def drawn(line, tint, x_axis, y_axis, with_marks):
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = f' stroke-dasharray="{DASHES[line.dash % len(DASHES)]}"' if line.dash else ""
    out = [f'<polyline points="{path}" fill="none" stroke="{tint}" stroke-width="2"{dash}/>']
    for x, low, high in line.ranges:
        out.append(stroke(x_axis.place(x), y_axis.place(low), x_axis.place(x), y_axis.place(high), tint))
    if with_marks:
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{tint}"/>' for x, y in places]
    return out


def legend(lines):
    out, x = [], LEFT
    for index, line in enumerate(lines):
        dash = DASHES[line.dash % len(DASHES)]
        out.append(stroke(x, HEIGHT - 14, x + 24, HEIGHT - 14, colour(line, index), dash, 2))
        out.append(text(x + 29, HEIGHT - 10, line.name))
        x += 29 + 7 * len(line.name) + 16
    return out


def stroke(x1, y1, x2, y2, tint, dash="", width=1):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{tint}" '
            f'stroke-width="{width}"{dashes}/>')


def text(x, y, words, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="#111827">{html.escape(words)}</text>')
