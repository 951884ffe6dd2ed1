"""`konsil audit verify`: does the log of this home still say what it said when its messages were posted?"""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver

verbs = typer.Typer(no_args_is_help=True, help="The audit log of this home, site or centre.")


def register(app: typer.Typer) -> None:
    """Add `konsil audit`."""
    app.add_typer(verbs, name="audit")


@verbs.callback()
def audit() -> None:
    """The audit log of this home, site or centre."""


@verbs.command()
def verify(
    home: Path | None = typer.Option(None, "--home", help="Folder of the site or centre; default: KONSIL_HOME."),
    offline: bool = typer.Option(False, "--offline", help="Check the chain alone, not the heads in the store."),
    result: Path | None = RESULT,
) -> None:
    """Check every entry against the one before, and the log against the heads that lie in the store.

    Exit code 2 if the log is good, but the heads that another party has published contradict each other.

    Example: konsil audit verify
    """
    from dataclasses import asdict

    from konsil.federation.audit_check import verify as check
    from konsil.settings import Settings

    found = check(home or Settings().home, offline=offline)
    typer.echo(found.sentence)
    for sentence in found.others:
        typer.echo(sentence, err=True)
    deliver(asdict(found), result)
    raise typer.Exit(2 if found.others else 0)
