"""The federation report: one HTML file that loads nothing, made from the summary alone.

The first sentence says how the run ended; then who took part, what the model is worth on every site's test patients
beside the models trained alone, how it learned, where time was spent, and what was refused. Figures are the summary's;
nothing is computed here but their order on the page.
"""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path
from typing import Any

from konsil.federation.outcome import spans
from konsil.federation.privacy import Privacy
from konsil.federation.secure.terms import SecureAggregation
from konsil.files import write_bytes
from konsil.parties.chart import legend, line_chart
from konsil.parties.words import TITLES, own_parts, telling
from konsil.types import Json

log = logging.getLogger(__name__)
MOST_CHARTS = 4


def write_page(summary: Json, path: Path) -> Path:
    """Write the report of a run; `path` is whole or absent."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"figure": figure, "percent": percent, "span": span, "rounds": spans}
    template = environment.from_string(resources.files("konsil.parties").joinpath("report.html.j2").read_text("utf-8"))
    parts = {"best": best(summary), "charts": charts(summary), "waits": waits(summary), "noise": noise(summary)}
    parts |= {"masks": masks(summary), "own": own_parts(summary["charter"])}
    text = template.render(s=summary, versions=version_rows(summary), **parts)
    write_bytes(path, text.encode())
    return path


def noise(summary: Json) -> str:
    """What the charter's noise promised for the rounds that were done; "" = there was none."""
    given, done = summary["charter"].get("privacy"), len(summary["rounds"])
    return Privacy.model_validate(given).sentence(done) if given and done else ""


def masks(summary: Json) -> str:
    """What secure aggregation kept from the centre; "" = the charter does not ask for it."""
    given, sites = summary["charter"].get("secure_aggregation"), summary["sites"]
    if not given:
        return ""
    needed = SecureAggregation.model_validate(given).needed(len(sites))
    return (
        f"Updates were masked: the centre has opened only their sum in each round, with the help of {needed} of the "
        f"charter's {len(sites)} sites, and has seen no single one. Cases, losses and scores were not masked."
    )


def best(summary: Json) -> Json:
    """Per site the highest mean Dice that any model reached there; sites where it is defined for none are left out."""
    dice = summary["dice"]
    tables = [dice["federated"], dice.get("personal", {}), *dice["local"].values(), *dice.get("tuned", {}).values()]
    found = {site: [table[site] for table in tables if table.get(site) is not None] for site in summary["evaluation"]}
    return {site: max(values) for site, values in found.items() if values}


def charts(summary: Json) -> list[Json]:
    """The figures that sites report per round (loss and Dice first), each as a chart with one line per site."""
    from markupsafe import Markup

    names = telling(key for row in summary["rounds"] for site in row["sites"].values() for key in site["metrics"])
    found: list[Json] = []
    for name in names[:MOST_CHARTS]:
        title, is_share = TITLES.get(name, name), name.endswith("dice")
        lines = {site: series(summary, site, name) for site in summary["sites"]}
        svg = line_chart(lines, label=title, lowest=0.0 if is_share else None, highest=1.0 if is_share else None)
        found.append({"title": title, "svg": Markup(svg), "legend": Markup(legend(list(lines)))})  # noqa: S704 - escaped there
    return found


def series(summary: Json, site: str, metric: str) -> list[tuple[float, float]]:
    """(round, value) of one site, without the rounds in which it reported none."""
    rows = [(row["round"], row["sites"].get(site, {}).get("metrics", {}).get(metric)) for row in summary["rounds"]]
    return [(float(number), float(value)) for number, value in rows if value is not None]


def waits(summary: Json) -> list[Json]:
    """Per site: seconds of training, of transfer and preparation, and of waiting for others, over all rounds."""
    rows: list[Json] = []
    for site in summary["sites"]:
        mine = [row["sites"][site] for row in summary["rounds"] if site in row["sites"]]
        if not mine:
            continue
        work = sum(number(part["work_s"]) for part in mine)
        answered = sum(part["turnaround_s"] for part in mine)
        waited = sum(part["waited_s"] for part in mine)
        rows.append({"site": site, "work": work, "other": max(0.0, answered - work), "waited": waited})
    longest = max((row["work"] + row["other"] + row["waited"] for row in rows), default=0.0) or 1.0
    return [{**row, "scale": 100 / longest} for row in rows]


def version_rows(summary: Json) -> list[tuple[str, list[str]]]:
    """Per package: its version at every party, in the order of the columns."""
    software = summary["software"]
    packages = sorted({package for table in software.values() for package in table})
    return [(package, [str(table.get(package, "–")) for table in software.values()]) for package in packages]


def number(value: Any) -> float:
    """The number itself, 0 for what a site wrote instead of one."""
    return float(value) if isinstance(value, int | float) else 0.0


def figure(value: Any, digits: int = 3) -> str:
    """A number with fixed digits; a dash for what is not defined."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


def percent(value: float) -> str:
    """A share as per cent."""
    return f"{value:.1f}%"


def span(seconds: Any) -> str:
    """Seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`, `5 h 12 min`."""
    if not isinstance(seconds, int | float):
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
