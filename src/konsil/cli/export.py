"""`konsil export`: a frozen cohort's images in a folder of their own, with or without faces."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver, speak


def export(
    cohort: str = typer.Argument(..., metavar="COHORT", help="Name or folder (<home>/cohorts/<name>) of the cohort."),
    out: Path = typer.Argument(..., metavar="OUT", help="A new or empty folder."),
    deface: bool = typer.Option(False, "--deface", help="Empty the face in every whole-head image."),
    margin_mm: float = typer.Option(
        5.0, "--margin", min=0, max=50, help="Around the brain, in mm, nothing is touched."
    ),
    result: Path | None = RESULT,
) -> None:
    """Copy the images and lesion masks of a frozen cohort to a folder, as BIDS, to be used within a project.

    Example: konsil export ms-2024 /data/for-the-project --deface
    """
    from konsil.cohort.export import copy_all
    from konsil.cohort.export import export as write
    from konsil.cohort.folder import SiteFolder
    from konsil.cohort.frozen import read_frozen
    from konsil.settings import Settings

    speak()
    frozen = read_frozen(SiteFolder(Settings().home).locate(cohort).frozen)
    if deface:
        from konsil.quality.deface import without_faces

        exported = write(frozen, out, without_faces(margin_mm), faces="Faces were emptied.")
    else:
        exported = write(frozen, out, copy_all, faces="Faces were not removed.")
    typer.echo(f"{len(exported.cases)} cases of {exported.name} exported, faces {'emptied' if deface else 'kept'}.")
    deliver({"cases": [case.case for case in exported.cases], "defaced": deface}, result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(export)
