"""`konsil adopt`: a frozen cohort from images that were prepared elsewhere."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver, speak


def adopt(
    table: Path = typer.Argument(
        ...,
        metavar="TABLE",
        help="Tab-separated: subject, a column per channel, label; perhaps session and split. Paths relative to it.",
    ),
    cohort: str = typer.Option(..., "--cohort", help="Name of the new cohort, e.g. hippocampus."),
    label: list[str] = typer.Option(["lesion"], "--label", help="Name of label value 1, 2 …; repeat in order."),
    seed: int = typer.Option(1, "--seed", help="Seed of the split by patient."),
    fractions: tuple[float, float, float] = typer.Option((0.6, 0.2, 0.2), "--split", help="Train, validation, test."),
    link: bool = typer.Option(False, "--link", help="Hard-link instead of copying; the files must never change then."),
    result: Path | None = RESULT,
) -> None:
    """Freeze NIfTI images and labels that lie on one grid per case, without DICOM and report.

    Example: konsil adopt pairs.tsv --cohort hippocampus --label anterior --label posterior
    """
    from konsil.cli.freeze import summarise
    from konsil.cohort.adopt import adopt as place
    from konsil.cohort.folder import SiteFolder
    from konsil.cohort.pairs import read_pairs
    from konsil.settings import Settings

    speak()
    channels, pairs = read_pairs(table)
    folder = SiteFolder(Settings().home).cohort(cohort)
    labels = {"background": 0} | {name: value for value, name in enumerate(label, start=1)}
    frozen = place(
        pairs,
        name=cohort,
        channels=channels,
        labels=labels,
        root=folder.path,
        seed=seed,
        fractions=fractions,
        link=link,
    )
    summary = summarise(frozen)
    typer.echo(f"{frozen.name} is frozen: {summary['splits']}.")
    deliver(summary, result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("adopt")(adopt)
