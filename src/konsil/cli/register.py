"""`konsil register`: T1w onto FLAIR."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak
from konsil.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("register", epilog="Example: konsil register hospital-a/cohorts/ms-2024")
    def register_(
        cohort: str = typer.Argument(help="Folder of the cohort, or its name in KONSIL_HOME."),
        case: list[str] = typer.Option([], help="Only this case (sub-X_ses-Y); can be repeated."),
        result: Path | None = RESULT,
    ) -> None:
        """Register T1w to FLAIR rigidly and resample it once onto the grid of FLAIR."""
        from konsil.cohort.folder import SiteFolder
        from konsil.registration.register import register as step

        speak()
        settings = Settings()
        folder = SiteFolder(settings.home).locate(cohort)
        leave(step(folder, case or None, workers=settings.workers), result=result)
