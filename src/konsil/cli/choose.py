"""`konsil choose`: a person answers which series is the T1w or the FLAIR where the rules of scan end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, deliver
from konsil.errors import BadInput

if TYPE_CHECKING:
    from konsil.cohort.folder import CohortFolder


def choose(
    cohort: str = typer.Argument(..., metavar="COHORT", help="Name or folder (<home>/cohorts/<name>) of the cohort."),
    case: str | None = typer.Option(None, "--case", help="The case that is decided: sub-X_ses-Y."),
    role: str | None = typer.Option(None, "--role", help="T1w or FLAIR."),
    series: str | None = typer.Option(None, "--series", help="Key of the series, or none: the case stays out."),
    by: str | None = typer.Option(None, "--by", help="Who decides."),
    result: Path | None = RESULT,
) -> None:
    """Decide between series that scan found equally good. Without an option: list the open questions.

    Examples: konsil choose ms-2024
    konsil choose ms-2024 --case sub-x_ses-20200101 --role T1w --series 3-481516 --by "Dr. Weber"
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.dicom.choices import record
    from konsil.settings import Settings

    folder = SiteFolder(Settings().home).locate(cohort)
    if case is None and role is None and series is None:
        return tell(folder, result)
    if case is None or role is None or series is None or by is None:
        raise BadInput("a choice is not complete", expected="--case, --role, --series and --by together")
    record(folder, case, role, series, by=by)
    typer.echo(f"{case}: {role} is {series}. It holds from the next scan on.", err=True)
    tell(folder, result)
    return None


def tell(folder: CohortFolder, result: Path | None) -> None:
    """Print the open questions, and write them to the result file."""
    from dataclasses import asdict

    from konsil.dicom.choices import open_questions

    questions = open_questions(folder)
    for question in questions:
        typer.echo(f"{question.case}: which series is the {question.role}? {question.why}".rstrip())
        for candidate in question.candidates:
            typer.echo(f"  {candidate.key}  {candidate.label}: {candidate.facts}")
    typer.echo(f"{len(questions)} open question{'' if len(questions) == 1 else 's'}.", err=True)
    deliver({"questions": [asdict(question) for question in questions]}, result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("choose")(choose)
