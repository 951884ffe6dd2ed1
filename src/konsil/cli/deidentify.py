"""`konsil deidentify`: copies of the chosen series that name nobody."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak


def deidentify(
    inbox: Path = typer.Argument(..., metavar="IN", help="The inbox that was scanned."),
    cohort: str = typer.Argument(..., metavar="OUT", help="Name or folder (<home>/cohorts/<name>) of the cohort."),
    case: list[str] | None = typer.Option(None, "--case", help="Only this case; may be repeated. Default: all."),
    result: Path | None = RESULT,
) -> None:
    """Copy the series that scan chose to <home>/work/<cohort>/dicom, rebuilt without anything that identifies.

    Example: konsil deidentify /data/export ms-2024
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.dicom.deidentify import deidentify as copy
    from konsil.settings import Settings

    speak()
    settings = Settings()
    folder = SiteFolder(settings.home).locate(cohort)
    outcome = copy(folder.site, folder.name, case or None, inbox, workers=settings.workers)
    leave(outcome, result=result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("deidentify")(deidentify)
