"""`konsil freeze`: a cohort that was signed off becomes one that no longer changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, deliver, speak

if TYPE_CHECKING:
    from konsil.cohort.frozen import FrozenCohort
    from konsil.types import Json


def freeze(
    cohort: str = typer.Argument(..., metavar="COHORT", help="Name or folder (<home>/cohorts/<name>) of the cohort."),
    sign_off: Path = typer.Option(
        ..., "--sign-off", help="JSON: by, at, report_sha256, decisions (docs/formats/cohort.md)."
    ),
    seed: int = typer.Option(1, "--seed", help="Seed of the split by patient."),
    fractions: tuple[float, float, float] = typer.Option((0.6, 0.2, 0.2), "--split", help="Train, validation, test."),
    result: Path | None = RESULT,
) -> None:
    """Write cohort.json: which cases, their hashes, who is in training, validation and test, and who signed.

    Example: konsil freeze ms-2024 --sign-off signed.json --split 0.6 0.2 0.2
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.cohort.freeze import freeze as write
    from konsil.cohort.frozen import read_sign_off
    from konsil.settings import Settings

    speak()
    folder = SiteFolder(Settings().home).locate(cohort)
    frozen = write(folder, sign_off=read_sign_off(sign_off), seed=seed, fractions=fractions)
    summary = summarise(frozen)
    typer.echo(f"{frozen.name} is frozen: {summary['splits']}, {len(frozen.excluded)} excluded.")
    deliver(summary, result)


def summarise(frozen: FrozenCohort) -> Json:
    """What a person and the next task want to know about a frozen cohort."""
    splits = {name: len(frozen.split(name)) for name in ("train", "validation", "test", "unlabelled")}
    return {
        "name": frozen.name,
        "splits": ", ".join(f"{count} {name}" for name, count in splits.items() if count),
        "cases": {case.case: case.split for case in frozen.cases},
        "excluded": frozen.excluded,
    }


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("freeze")(freeze)
