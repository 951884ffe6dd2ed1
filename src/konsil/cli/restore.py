"""`konsil restore`: a home as it was when a backup was made."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from konsil.settings import Settings


def restore(
    source: Path = typer.Argument(..., help="File that konsil backup wrote."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of words."),
) -> None:
    """Make the home (KONSIL_HOME, which has to be empty) anew out of a backup, after checking every file of it.

    Stop the old home first: two homes with the same keys contradict each other. Runs go on where the backup was made.

    Example: KONSIL_HOME=/srv/konsil konsil restore /media/backup/site-a-2026-11-27.tar
    """
    from konsil.parties.backup import restore as read

    done = read(source, Settings().home)
    typer.echo(json.dumps(done) if as_json else f"{done['files']} files as of {done['at']}. Next: konsil doctor")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(restore)
