"""`konsil convert`: de-identified DICOM to BIDS."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak


def convert(
    dicom: Path = typer.Argument(..., metavar="IN", help="De-identified series: <home>/work/<cohort>/dicom."),
    cohort: str = typer.Argument(..., metavar="OUT", help="Name or folder (<home>/cohorts/<name>) of the cohort."),
    case: list[str] | None = typer.Option(None, "--case", help="Only this case; may be repeated. Default: all."),
    result: Path | None = RESULT,
) -> None:
    """Check the geometry of each series, convert it with dcm2niix, and put lesions on the grid of the FLAIR.

    Example: konsil convert konsil-home/work/ms-2024/dicom ms-2024
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.dicom.convert import convert as to_bids
    from konsil.settings import Settings

    speak()
    settings = Settings()
    folder = SiteFolder(settings.home).locate(cohort)
    outcome = to_bids(folder.site, folder.name, case or None, dicom, workers=settings.workers)
    leave(outcome, result=result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("convert")(convert)
