"""Line charts as inline SVG: one line per site over the rounds. No script, no font, nothing that loads.

Colours are the Okabe-Ito palette, distinct for colour-blind readers (black: the page's own text
colour); dash patterns tell the lines apart in print.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Line = Sequence[tuple[float, float]]
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "currentColor")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 16, 40


def line_chart(
    lines: Mapping[str, Line], *, label: str, lowest: float | None = None, highest: float | None = None
) -> str:
    """SVG of the lines, x = round, y = the figure called `label`; "" without a point.

    `lowest` and `highest` fix the ends of the y axis (a Dice runs from 0 to 1); None takes them from the values.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    heights = [y for _, y in points]
    ticks = nice(min(heights) if lowest is None else lowest, max(heights) if highest is None else highest)
    first, last = min(x for x, _ in points), max(x for x, _ in points)

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - first) / (last - first) if last > first else 0.5)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [_grid_line(up(tick), tick) for tick in ticks]
    parts += [_text(across(x), HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in _rounds(first, last)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "round", "middle"))
    for number, (name, line) in enumerate(lines.items()):
        parts.append(_line([(across(x), up(y)) for x, y in line], name, number))
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)} over the rounds" class="chart">'
    return "".join([head, *parts, "</svg>"])


def _line(points: Line, name: str, number: int) -> str:
    """One line with its points; what it is called appears when the pointer rests on it."""
    colour, dash = PALETTE[number % len(PALETTE)], DASHES[number % len(DASHES)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    return f"<g><title>{escape(name)}</title>{line}{dots}</g>"


def legend(names: Sequence[str]) -> str:
    """The names with their colours and dashes, as inline SVG swatches."""
    return "".join(f'<span class="key">{_swatch(n)} {escape(name)}</span>' for n, name in enumerate(names))


def _swatch(number: int) -> str:
    colour, dash = PALETTE[number % len(PALETTE)], DASHES[number % len(DASHES)]
    line = f'<line x1="1" y1="4" x2="27" y2="4" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"/>'
    return f'<svg viewBox="0 0 28 8" class="swatch">{line}</svg>'


def nice(low: float, high: float) -> list[float]:
    """About five round numbers that cover `low` to `high`, at least two."""
    span = high - low or abs(high) or 1.0
    rough = span / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * count, 12) for count in range(begin, max(end, begin + 1) + 1)]


def _rounds(first: float, last: float) -> list[float]:
    """Whole rounds for the x axis, at most about ten."""
    step = max(1, math.ceil((last - first) / 10))
    return [float(x) for x in range(int(first), int(last) + 1, step)]


def _grid_line(y: float, tick: float) -> str:
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>' + _text(
        LEFT - 6, y + 4, f"{tick:g}", "end"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
