"""From values to one HTML file that needs nothing else.

Templates escape whatever is put into them. The page forbids itself every connection (Content-Security-Policy), has no
script, and holds no time of day, so the same input gives the same bytes and a signature over the page means something.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from konsil import __version__
from konsil.files import write_bytes
from konsil.types import Json

MARK = '<meta name="konsil-inputs" content="'


def render(template: str, **values: Any) -> str:
    """Fill a template of `konsil/quality/templates`."""
    environment = Environment(
        loader=PackageLoader("konsil.quality", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("konsil.quality").joinpath("templates/style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, version=__version__, **values)


def digest(inputs: Json) -> str:
    """One hash over everything a page is made from, this version of konsil included."""
    text = json.dumps([inputs, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_written(path: Path, inputs_digest: str) -> bool:
    """Whether a page made from these inputs lies there; its head says so."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as stream:
        return f'{MARK}{inputs_digest}"' in stream.read(2000)


def write_page(path: Path, html: str) -> None:
    """Write a page, whole or not at all."""
    write_bytes(path, html.encode("utf-8"))
