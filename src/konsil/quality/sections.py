"""The report of a case as a list of sections, read from `report.toml` (in the manner of NiReports).

What a section is called, what its caption teaches and which figure it holds is text that a radiologist can edit; how a
figure is drawn is code (`panels`).
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from konsil.quality.limits import Closed

TABLES = ("measures", "provenance")


class Section(Closed):
    """One section of the page. `row`: sections with the same name stand side by side."""

    key: str
    title: str
    caption: str
    figure: str
    image: str = ""
    outline: str = ""
    row: str = ""


@cache
def sections() -> tuple[Section, ...]:
    """All sections, in the order of the page."""
    text = resources.files("konsil.quality").joinpath("report.toml").read_text(encoding="utf-8")
    return tuple(Section.model_validate(one) for one in tomllib.loads(text)["section"])


def section(key: str) -> Section:
    """The section of this key."""
    return next(one for one in sections() if one.key == key)
