"""`konsil predict`: lesion masks for a cohort with a trained model."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak

COHORT = typer.Argument(..., help="The cohort: its name, or its folder <home>/cohorts/<name>.")
MODEL = typer.Option(..., "--model", help="Model folder of a federation.")
CASES = typer.Option(None, "--case", help="Only this case (sub-X_ses-Y); may be given several times.")


def predict(cohort: str = COHORT, model: Path = MODEL, case: list[str] = CASES, result: Path = RESULT) -> None:
    """Draw lesion masks; write DICOM segmentations, a table of lesions and a page for the cohort. Research use only.

    The cohort needs registered T1w and oriented FLAIR images (konsil register), or it was adopted. Locations of lesions
    need brain masks (konsil mask), segmentations the DICOM of the FLAIR.

    Example: konsil predict konsil-home/cohorts/ms-2026 --model konsil-home/models/ms-1
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.prediction.step import predict as work
    from konsil.settings import Settings

    speak()
    leave(work(SiteFolder(Settings().home).locate(cohort), model, case or None), result=result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("predict")(predict)
