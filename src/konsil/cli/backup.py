"""`konsil backup`: everything of this home that cannot be made again, in one file."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from konsil.settings import Settings


def backup(
    out: Path = typer.Argument(..., help="New file, such as site-2026-11-27.tar."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of words."),
) -> None:
    """Write keys, cohorts, runs, models, policies and the audit log into one file; work may go on meanwhile.

    The file holds private keys and images: keep it as you keep those. Left out is what can be made or fetched again:
    the inbox, preprocessed data, compiled code (docs/formats/backup.md).

    Example: konsil backup /media/backup/site-a-2026-11-27.tar
    """
    from konsil.parties.backup import backup as write

    done = write(Settings().home, out)
    typer.echo(json.dumps(done) if as_json else f"{done['files']} files, {done['bytes'] / 1e6:.1f} MB, in {out}")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(backup)
