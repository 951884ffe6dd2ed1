"""`konsil report`: the pages of a cohort, or of a federation."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver, leave, speak
from konsil.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command(epilog="Examples: konsil report hospital-a/cohorts/ms-2024 · konsil report ms-run-1")
    def report(
        what: str = typer.Argument(help="Folder or name of a cohort, or name of a federation run."),
        case: list[str] = typer.Option([], help="Write only this case's page (sub-X_ses-Y); can be repeated."),
        result: Path | None = RESULT,
    ) -> None:
        """Write the pages for the reviewer: one per case and one for the cohort. For a run: the federation's report."""
        from konsil.cohort.folder import SiteFolder

        speak()
        settings = Settings()
        home = SiteFolder(settings.home)
        if Path(what).parent.name == "cohorts" or (settings.home / "cohorts" / what).is_dir():
            from konsil.quality.reference import load_reference
            from konsil.quality.report import report as step

            beside = load_reference(settings.reference)
            leave(step(home.locate(what), case or None, workers=settings.workers, reference=beside), result=result)
        from konsil.parties.report import write_report

        path = write_report(settings.home, what)
        typer.echo(str(path))
        deliver({"report": str(path)}, result)
