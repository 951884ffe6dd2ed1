"""`konsil mask`: brain masks of T1w and FLAIR."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak
from konsil.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command(epilog="Example: konsil mask hospital-a/cohorts/ms-2024")
    def mask(
        cohort: str = typer.Argument(help="Folder of the cohort, or its name in KONSIL_HOME."),
        case: list[str] = typer.Option([], help="Only this case (sub-X_ses-Y); can be repeated."),
        brain_masks: str | None = typer.Option(
            None, help="atlas, or hd-bet where it is installed and a GPU is there; KONSIL_BRAIN_MASKS otherwise."
        ),
        result: Path | None = RESULT,
    ) -> None:
        """Draw the brain masks of T1w and FLAIR: the MNI152 atlas, its outline moved to the patient's brain."""
        from konsil.cohort.folder import SiteFolder
        from konsil.quality.masks import mask as step

        speak()
        settings = Settings() if brain_masks is None else Settings(brain_masks=brain_masks)
        folder = SiteFolder(settings.home).locate(cohort)
        leave(step(folder, case or None, workers=settings.workers, method=settings.brain_masks), result=result)
