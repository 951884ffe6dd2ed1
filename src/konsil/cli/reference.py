"""`konsil reference`: a reference distribution of one's own for the pages of other cohorts."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver, speak
from konsil.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command(epilog="Example: konsil reference ms-2024 reference.json, then KONSIL_REFERENCE=reference.json")
    def reference(
        cohort: str = typer.Argument(help="Folder of the cohort, or its name in KONSIL_HOME."),
        out: Path = typer.Argument(help="The file to write; it must end in .json."),
        result: Path | None = RESULT,
    ) -> None:
        """Write how the measures of a trusted cohort spread, to be shown beside those of other cohorts.

        Percentiles only, no case; cases set aside or with the verdict fail are left out.
        """
        from konsil.cohort.folder import SiteFolder
        from konsil.errors import BadInput
        from konsil.files import write_json
        from konsil.quality.reference import cohort_reference

        speak()
        if out.suffix != ".json":
            raise BadInput(
                "the reference has no usable name", expected="a file that ends in .json", got=out.suffix or "none"
            )
        found = cohort_reference(SiteFolder(Settings().home).locate(cohort))
        write_json(out, found.model_dump(mode="json"))
        typer.echo(f"{len(found.measures)} measures, {found.source}: {out}")
        deliver({"reference": str(out), "measures": len(found.measures)}, result)
