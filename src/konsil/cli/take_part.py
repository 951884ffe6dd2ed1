"""`konsil take-part`: a site's side of a federation."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT
from konsil.cli.stint import PATIENCE, UNTIL, stint
from konsil.federation.steps import Phase
from konsil.settings import Settings


def take_part(
    run: str = typer.Argument(..., help="Name of the run."),
    until: Phase | None = UNTIL,
    patience: float | None = PATIENCE,
    result: Path | None = RESULT,
) -> None:
    """Take part in a federation: answer, prepare, train round by round, evaluate, store the model.

    Nothing leaves before the custodian decided (konsil decide). Can be stopped and started again at any time. With
    --until it ends when that phase is behind us, with --patience when nothing arrived for so many seconds.

    Example: konsil take-part ms-lesions-2026 --until prepare
    """
    from konsil.parties.memory import keep_memory
    from konsil.parties.opening import open_site

    keep_memory()
    settings = Settings()
    stint(open_site(settings.home, run, settings.image), settings, until=until, patience=patience, result=result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("take-part")(take_part)
