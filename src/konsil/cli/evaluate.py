"""`konsil evaluate`: how well a model does on the patients a cohort held out."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver, leave, speak
from konsil.types import Json, Outcome

COHORT = typer.Argument(..., help="A frozen cohort: its name, or its folder <home>/cohorts/<name>.")
MODEL = typer.Option(..., "--model", help="Model folder of a federation.")
SPLIT = typer.Option("test", "--split", help="train, validation or test.")


def evaluate(cohort: str = COHORT, model: Path = MODEL, split: str = SPLIT, result: Path = RESULT) -> None:
    """Compare the model's masks with the drawn ones: Dice, sensitivity and precision per case and label.

    Example: konsil evaluate konsil-home/cohorts/ms-2026 --model konsil-home/runs/ms-1/model
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.cohort.frozen import read_frozen
    from konsil.evaluation.metrics import summarise
    from konsil.learners import masks
    from konsil.settings import Settings

    speak()
    frozen = read_frozen(SiteFolder(Settings().home).locate(cohort).path)
    judged, aside = masks.evaluate(frozen, model, split)  # type: ignore[arg-type]  # `split` is checked by the cohort
    summary = summarise(judged)
    for case in judged:
        typer.echo(f"{case.case}  " + "  ".join(f"{name} {spoken(value)}" for name, value in case.dice.items()))
    typer.echo(f"mean Dice {spoken(summary['dice']['mean'])} over {summary['dice']['cases']} cases")
    outcome = Outcome(tuple(case.case for case in judged), aside)
    content: Json = {"summary": summary, "by_case": [case.as_json(with_case=True) for case in judged]}
    deliver({**outcome.as_json(), **content}, result)
    leave(outcome)


def spoken(value: float | None) -> str:
    """A figure, or the word for one that is not defined."""
    return "undefined" if value is None else f"{value:.3f}"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate")(evaluate)
