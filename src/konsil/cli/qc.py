"""`konsil qc`: measures and verdict."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak
from konsil.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command(epilog="Example: konsil qc hospital-a/cohorts/ms-2024 --voxel-mm 1.0")
    def qc(
        cohort: str = typer.Argument(help="Folder of the cohort, or its name in KONSIL_HOME."),
        case: list[str] = typer.Option([], help="Only this case (sub-X_ses-Y); can be repeated."),
        limits: str = typer.Option("ms-paper", help="ms-paper, wide, phantom-2mm, or a .toml file of your own."),
        voxel_mm: float | None = typer.Option(None, help="Wanted voxel size in mm, 10 % either way."),
        result: Path | None = RESULT,
    ) -> None:
        """Measure every case and say pass, warn or fail with reasons. A case that fails is left to the reviewer.

        It comes after register, whose result it judges as well; before that, those measures are left open.
        """
        from konsil.cohort.folder import SiteFolder
        from konsil.quality.limits import load_limits
        from konsil.quality.verdict import judge

        speak()
        settings = Settings()
        table = load_limits(limits, voxel_mm=voxel_mm)
        folder = SiteFolder(settings.home).locate(cohort)
        leave(judge(folder, case or None, limits=table, workers=settings.workers), result=result)
