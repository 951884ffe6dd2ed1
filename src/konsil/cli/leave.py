"""`konsil leave`: a site ends its part in a federation for good."""

from __future__ import annotations

import typer

from konsil.settings import Settings


def leave(
    run: str = typer.Argument(..., help="Name of the run."),
    why: str = typer.Option("", "--why", help="The reason, one line; the centre reads it."),
    by: str = typer.Option("", "--by", help="Who decided; stays at this site."),
) -> None:
    """Leave a federation for good: nothing more of this site goes out, and nobody waits for it.

    What was sent before stays in the rounds it was sent for. There is no way back into the same run.

    Example: konsil leave ms-lesions-2026 --why "scanner replaced" --by "Dr. Weber"
    """
    from konsil.parties.steering import leave as depart

    depart(Settings().home, run, why=why, by=by)
    typer.echo(f"{run}: this site has left", err=True)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(leave)
