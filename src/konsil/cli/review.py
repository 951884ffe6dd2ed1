"""`konsil review`: decide on a single case before the cohort is signed, or see what was decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, deliver
from konsil.errors import BadInput

if TYPE_CHECKING:
    from konsil.cohort.folder import CohortFolder


def review(
    cohort: str = typer.Argument(..., metavar="COHORT", help="Name or folder (<home>/cohorts/<name>) of the cohort."),
    case: str | None = typer.Option(None, "--case", help="The case that is decided: sub-X_ses-Y."),
    decision: str | None = typer.Option(None, "--decision", help="accept, exclude or withdraw."),
    artifact: list[str] = typer.Option(
        [], "--artifact", help="Key of MRIQC's vocabulary, e.g. head-motion; repeatable."
    ),
    note: str = typer.Option("", "--note", help="Reason in your own words; no names."),
    by: str | None = typer.Option(None, "--by", help="Who decides."),
    result: Path | None = RESULT,
) -> None:
    """Accept or exclude a case, as the tab Quality does. Without options: list the decisions.

    Examples: konsil review ms-2024
    konsil review ms-2024 --case sub-x_ses-1 --decision exclude --artifact head-motion --by "Dr. Weber"
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.settings import Settings

    folder = SiteFolder(Settings().home).locate(cohort)
    if case is None and decision is None:
        return tell(folder, result)
    if case is None or decision is None or not (by or "").strip():
        raise BadInput("a decision is not complete", expected="--case, --decision and --by together")
    decide(folder, case, {"decision": decision, "artifacts": artifact, "note": note}, str(by).strip())
    return tell(folder, result)


def decide(folder: CohortFolder, name: str, content: dict[str, object], by: str) -> None:
    """Keep one decision on the page as it is now, or take it back."""
    from datetime import UTC, datetime

    from pydantic import ValidationError

    from konsil.cohort.cases import Case
    from konsil.cohort.frozen import broken_rule
    from konsil.quality.pages import seen_of
    from konsil.quality.review import Opinion, record, withdraw

    case = Case.parse(name)
    if content["decision"] == "withdraw":
        return withdraw(folder, case)
    try:
        opinion = Opinion.model_validate(content)
    except ValidationError as error:
        raise BadInput("this is no decision", got=broken_rule(error), hint="See: konsil review --help") from error
    record(folder, case, opinion, by=by, at=datetime.now(UTC), seen=seen_of(folder.report(case)))
    return None


def tell(folder: CohortFolder, result: Path | None) -> None:
    """Print every decision, outdated ones marked, and write them to the result file."""
    from konsil.quality.review import split_reviews

    standing, outdated = split_reviews(folder)
    for name, one in sorted((standing | outdated).items()):
        old = " (outdated: the images or measures changed since)" if name in outdated else ""
        typer.echo(f"{name}: {one.decision}{f', {one.reason}' if one.reason else ''} by {one.by}{old}")
    typer.echo(f"{len(standing)} decided, {len(outdated)} outdated.", err=True)
    shown = {name: one.model_dump(mode="json") for name, one in sorted(standing.items())}
    deliver({"decisions": shown, "outdated": sorted(outdated)}, result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("review")(review)
