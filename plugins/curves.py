"""The live curves of a run: loss and Dice per round, one line per site as far as it is known from here.

Drawn on the server by the same code as in the report, so that a curve looks the same while it grows and in the end.
"""

from __future__ import annotations

from markupsafe import Markup

from konsil.parties.chart import legend, line_chart
from konsil.parties.words import TITLES, telling
from konsil.types import Json

MOST = 4
FEW = 2
"""With fewer lines than that, others are hidden from here, and their mean is drawn beside."""
MEAN = "mean of the sites"


def curves(seen: Json) -> list[Json]:
    """Title, SVG and legend by metric, loss and Dice first; a metric without a point is left out."""
    rows = seen["table"][::-1]
    names = telling(name for row in rows for cell in row["cells"].values() for name in cell["metrics"])
    names = names or telling(name for row in rows for name in row["metrics"])
    found = []
    for name in names[:MOST]:
        lines = {site["name"]: points(rows, site["name"], name) for site in seen["sites"]}
        lines = {site: line for site, line in lines.items() if line}
        if len(lines) < FEW:
            closed = [row for row in rows if row["closed"] and name in row["metrics"]]
            lines[MEAN] = [(row["round"], row["metrics"][name]) for row in closed]
        is_share, title = name.endswith("dice"), TITLES.get(name, name)
        svg = line_chart(lines, label=title, lowest=0.0 if is_share else None, highest=1.0 if is_share else None)
        found.append({"title": title, "svg": Markup(svg), "legend": Markup(legend(list(lines)))})  # noqa: S704 - escaped there
    return found


def points(rows: list[Json], site: str, name: str) -> list[tuple[float, float]]:
    """(round, value) of a site."""
    cells = [(row["round"], row["cells"][site]["metrics"].get(name)) for row in rows]
    return [(number, value) for number, value in cells if value is not None]
