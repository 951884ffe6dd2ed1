"""`konsil doctor`: what is wrong here and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver
from konsil.settings import Settings

SIGNS = {"good": "ok  ", "warning": "look", "bad": "BAD "}


def doctor(
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of words."),
    result: Path | None = RESULT,
) -> None:
    """Check home, keys, store, clock, audit log, disk, graphics card, nnU-Net, versions and dcm2niix.

    Changes nothing. Exit code 0: this place can work (warnings included); 1: something it needs does not work.

    Example: konsil doctor --json
    """
    from konsil.parties.doctor import examine

    found = list(examine(Settings().home))
    bad = [check for check in found if check.state == "bad"]
    content = {"good": not bad, "checks": [check.as_json() for check in found]}
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for check in found:
            advice = f" {check.advice}." if check.advice else ""
            typer.echo(f"{SIGNS[check.state]}  {check.name:9} {check.sentence}{advice}")
    deliver(content, result)
    if bad:
        typer.echo(f"konsil: {'; '.join(f'{check.name}: {check.sentence}' for check in bad)}", err=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)
