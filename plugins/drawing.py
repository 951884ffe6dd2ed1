"""From values to the markup of the tabs. Templates escape whatever is put into them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from konsil.parties.page import figure, percent, span

HERE = Path(__file__).parent / "templates"
SCRIPTS = ("run.js", "govern.js")


@cache
def environment() -> Environment:
    """Where the templates lie, compiled once."""
    found = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {
        "figure": figure,
        "percent": percent,
        "span": span,
        "moment": moment,
        "size": size,
        "short": short,
    }
    return found


def render(template: str, **values: Any) -> str:
    """Fill a template of `plugins/templates`."""
    style = Markup((HERE / "tab.css").read_text("utf-8"))  # noqa: S704 - our own file
    return environment().get_template(template).render(style=style, **values)


def script(name: str) -> Path | None:
    """One of the scripts of the tabs."""
    return HERE / name if name in SCRIPTS else None


def moment(iso: str | None) -> Markup | str:
    """A time that the page's script turns into the reader's own; without a script it is UTC and says so."""
    if not iso:
        return "–"
    at = datetime.fromisoformat(iso).astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(escape(at.isoformat()), f"{at.day} {at:%b %H:%M}")


def size(count: int | float | None) -> str:
    """Bytes as people say them: `812 B`, `3.2 kB`, `121 MB` (powers of 1000)."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def short(seconds: float | None) -> str:
    """Seconds in as few signs as can be read at a glance: `0.4 s`, `37 s`, `11 min`, `1 h 33 min`."""
    if seconds is None or seconds < 60:
        return span(seconds)
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
