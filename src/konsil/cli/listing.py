"""Lists as the verbs print them: a line for each, a sentence where there is none, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import typer

from konsil.types import Json

JSON = typer.Option(False, "--json", help="Print JSON instead of words.")


class Listed(Protocol):
    """What can be listed."""

    def as_json(self) -> Json:
        """Its fields."""


Row = TypeVar("Row", bound=Listed)


def show(rows: Sequence[Row], line: Callable[[Row], str], *, nothing: str, as_json: bool) -> None:
    """Print all rows; `line` tells one, `nothing` that there is none."""
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2, ensure_ascii=False))
        return
    for row in rows:
        typer.echo(line(row))
    if not rows:
        typer.echo(nothing)
