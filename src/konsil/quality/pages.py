"""From values to one HTML file that needs nothing else.

Templates escape whatever is put into them. A page forbids itself every connection but to the place it was served from
(Content-Security-Policy), runs one script of ours that the policy names by its hash, and holds no time of day: the same
input gives the same bytes, and a signature over the page means something.

Each page bears two marks in its head: `konsil-inputs`, a hash over everything it was made from, and on the page of a
case `konsil-case`, over the files of that case alone. Its pictures stand between two comments, so that a page whose
strips change because another case joined the cohort is written anew without drawing them again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from konsil import __version__
from konsil.files import write_bytes

MARK = '<meta name="konsil-inputs" content="'
SEEN = '<meta name="konsil-case" content="'
HEAD = 2000  # characters within which the marks stand
KEPT = ("<!--pictures-->", "<!--/pictures-->")
THUMBNAIL = ("<!--thumbnail-->", "<!--/thumbnail-->")


def template_text(name: str) -> str:
    """A file of `konsil/quality/templates` as it is."""
    return resources.files("konsil.quality").joinpath(f"templates/{name}").read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """Where templates come from, compiled once; whatever is put into them is escaped."""
    loader = PackageLoader("konsil.quality", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(template: str, **values: Any) -> str:
    """Fill a template of `konsil/quality/templates`."""
    return (
        environment()
        .get_template(template)
        .render(
            style=template_text("style.css"),
            script=template_text("review.js"),
            script_source=script_source(),
            version=__version__,
            **values,
        )
    )


def script_source() -> str:
    """The one script that pages may run, as `script-src` of a Content-Security-Policy names it (CSP level 2)."""
    digest_of_script = hashlib.sha256(template_text("review.js").encode()).digest()
    return f"'sha256-{base64.b64encode(digest_of_script).decode()}'"


def digest(inputs: Any) -> str:
    """One hash over everything a page is made from, this version of konsil included."""
    text = json.dumps([inputs, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_written(path: Path, inputs_digest: str) -> bool:
    """Whether a page made from these inputs lies there; its head says so."""
    return f'{MARK}{inputs_digest}"' in head_of(path)


def seen_of(path: Path) -> str:
    """The hash over the files of its case that a page bears; empty for any other file, or none."""
    found = re.search(re.escape(SEEN) + r'([0-9a-f]{64})"', head_of(path))
    return found.group(1) if found else ""


def head_of(path: Path) -> str:
    """The beginning of a page; empty if it is not there."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8") as stream:
        return stream.read(HEAD)


def part_of(page: str, marks: tuple[str, str]) -> str:
    """What stands between two comments of a page (`KEPT` or `THUMBNAIL`); empty if they are not there."""
    _, start, rest = page.partition(marks[0])
    found, end, _ = rest.partition(marks[1])
    return found.strip() if start and end else ""


def write_page(path: Path, html: str) -> None:
    """Write a page, whole or not at all."""
    write_bytes(path, html.encode("utf-8"))
