"""One measure as a strip: every case a mark on a line, the limits as coloured ground behind them.

The line runs from the lowest to the highest value of the cohort, and on to the nearest limits and to the reference
unless they are far off. The reference is a bar below the marks: 5th to 95th percentile, with a notch at the median.
A mark's shape says its verdict as well as its colour (disc = pass, triangle = warn, square = fail), so that nobody has
to tell colours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from konsil.quality.company import Entry, name_of, values_of
from konsil.quality.facts import number_text
from konsil.quality.reference import Reference, Spread
from konsil.types import Json

WIDTH, HEIGHT, EDGE = 340, 26, 10  # of a strip, in pixels
NEAR = 4.0  # a limit is shown if it lies no further from the values than this many times their range


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on a strip."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Pixels from the left, at most at the edges."""
        share = (value - self.low) / (self.high - self.low)
        return round(EDGE + (WIDTH - 2 * EDGE) * min(1.0, max(0.0, share)), 1)


@dataclass(frozen=True)
class Dot:
    """One case on a strip: position in pixels, verdict, its name and what to say about it."""

    x: float
    verdict: str
    case: str
    words: str


@dataclass(frozen=True)
class Bar:
    """The reference on a strip: 5th percentile, median and 95th in pixels, and what to say about it."""

    low: float
    middle: float
    high: float
    words: str


@dataclass(frozen=True)
class Strip:
    """All values of one measure side by side. `bands` are (left, width, verdict) of the ground, in pixels."""

    key: str
    title: str
    unit: str
    lowest: str
    highest: str
    bands: tuple[tuple[float, float, str], ...]
    dots: tuple[Dot, ...]
    bar: Bar | None = None

    @property
    def ticks(self) -> str:
        """All cases as one SVG path of vertical lines, to be drawn behind a single case."""
        places = sorted({round(dot.x) for dot in self.dots})
        return "".join(f"M{x} 7v12" for x in places)

    def drawn(self, case: str) -> Json:
        """Whatever decides how the strip looks on the page of one case."""
        dot = self.dot(case)
        own = [dot.x, dot.verdict] if dot else []
        bar = asdict(self.bar) if self.bar else None
        return {"ends": [self.lowest, self.highest], "ticks": self.ticks, "bands": self.bands, "dot": own, "bar": bar}

    def dot(self, case: str) -> Dot | None:
        """The mark of one case."""
        return next((dot for dot in self.dots if dot.case == case), None)


def make_strip(key: str, company: list[Entry], reference: Reference | None = None) -> Strip | None:
    """The strip of one measure, or None if no case has it, or all have the same and there is nothing to see it by."""
    pairs = values_of(key, company)
    if not pairs:
        return None
    line: Json = pairs[0][0].measures[key]
    spread = reference.measures.get(key) if reference else None
    if len({value for _, value in pairs}) == 1 and not line["limits"] and spread is None:
        return None
    scale = scale_of([value for _, value in pairs], line["limits"], spread)
    dots = tuple(
        Dot(scale.at(value), entry.measures[key]["verdict"], entry.case, f"{entry.case}: {number_text(value)}")
        for entry, value in pairs
    )
    ends = number_text(scale.low), number_text(scale.high)
    bar = bar_of(scale, spread, reference.name) if reference and spread else None
    return Strip(key, name_of(line), line["unit"], *ends, bands_of(scale, line["limits"]), dots, bar)


def bar_of(scale: Scale, spread: Spread, name: str) -> Bar:
    """Where the reference lies; what is beyond the strip ends at its edge."""
    low, middle, high = (scale.at(value) for value in (spread.p5, spread.p50, spread.p95))
    texts = [number_text(value) for value in (spread.p5, spread.p95, spread.p50)]
    return Bar(low, middle, high, f"{name}: {texts[0]} to {texts[1]}, median {texts[2]}")


def scale_of(values: list[float], bounds: Json, spread: Spread | None = None) -> Scale:
    """From the lowest to the highest value, stretched to the nearest limit on either side; never of no width.

    A limit further away than `NEAR` times the range of the values is left out, or the values would become one blot;
    likewise the ends of a reference.
    """
    low, high = min(values), max(values)
    reach = NEAR * (high - low) or float("inf")
    below = [limit for name, limit in bounds.items() if name.endswith("below") and low - reach <= limit <= low]
    above = [limit for name, limit in bounds.items() if name.endswith("above") and high <= limit <= high + reach]
    ends = [end for end in (spread.p5, spread.p95) if low - reach <= end <= high + reach] if spread else []
    low, high = min([max(below, default=low), *ends]), max([min(above, default=high), *ends])
    if low == high:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    return Scale(low, high)


def bands_of(scale: Scale, bounds: Json) -> tuple[tuple[float, float, str], ...]:
    """Where on the strip a value warns or fails: (left, width, verdict)."""
    left, right = 0.0, float(WIDTH)
    edges = {name: scale.at(value) for name, value in bounds.items() if scale.low <= value <= scale.high}
    beyond = {name for name, value in bounds.items() if value > scale.high and name.endswith("below")}
    beyond |= {name for name, value in bounds.items() if value < scale.low and name.endswith("above")}
    found = []
    for verdict in ("warn", "fail"):
        for side in ("below", "above"):
            name = f"{verdict}_{side}"
            if name in beyond:
                found.append((left, right, verdict))
            elif name in edges:
                x = edges[name]
                found.append((left, x, verdict) if side == "below" else (x, round(right - x, 1), verdict))
    return tuple(found)
