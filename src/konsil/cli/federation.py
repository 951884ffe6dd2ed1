"""`konsil federation`: propose, launch, follow, results and cancel, as the SDK does (konsil.sdk.federation)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.errors import BadSetting
from konsil.files import read_json
from konsil.settings import Settings

if TYPE_CHECKING:
    from konsil.sdk.federation import Federation

verbs = typer.Typer(no_args_is_help=True, help="Drive a federation through the centre's Airflow (KONSIL_AIRFLOW_…).")
JSON = typer.Option(False, "--json", help="Print JSON instead of words.")
RUN = typer.Argument(..., help="Name of the run.")
CHARTER = typer.Argument(..., help="Charter file (docs/formats/charter.md).")


def register(app: typer.Typer) -> None:
    """Add `konsil federation`."""
    app.add_typer(verbs, name="federation")


@verbs.callback()
def federation() -> None:
    """Drive a federation through the centre's Airflow (KONSIL_AIRFLOW_URL, _USER, _PASSWORD; KONSIL_HOME)."""


def connected() -> Federation:
    """The centre that the settings name."""
    from konsil.sdk.federation import Federation

    settings = Settings()
    if not settings.airflow_url or settings.airflow_password is None:
        raise BadSetting(
            "the centre's Airflow is not named", expected="KONSIL_AIRFLOW_URL, KONSIL_AIRFLOW_PASSWORD",
            hint="konsil stack status shows both",
        )  # fmt: skip
    password = settings.airflow_password.get_secret_value()
    return Federation.connect(settings.airflow_url, settings.airflow_user, password, home=settings.home)


@verbs.command()
def propose(charter: Path = CHARTER, as_json: bool = JSON) -> None:
    """Check a charter and show what its custodians will read; nothing is published, no Airflow is needed.

    Example: konsil federation propose charter.json
    """
    from konsil.federation.charter import parse_charter

    made = parse_charter(read_json(charter))
    leaves = made.what_leaves_the_site()
    if as_json:
        content = {"charter": made.model_dump(mode="json"), "what_leaves_the_site": leaves}
        return typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    for line in (f"{made.run}: {made.rounds} rounds with {', '.join(made.sites)}. What leaves a site:", *leaves):
        typer.echo(line)
    return None


@verbs.command()
def launch(charter: Path = CHARTER, as_json: bool = JSON) -> None:
    """Start *Run federation* with a charter.

    Example: konsil federation launch charter.json
    """
    centre = connected()
    run = centre.launch(centre.propose(read_json(charter)))
    typer.echo(json.dumps({"run": run}) if as_json else f"{run} has started. Next: konsil federation follow {run}")


@verbs.command()
def follow(run: str = RUN, as_json: bool = JSON) -> None:
    """Tell the progress whenever it changes, until the run has ended; exit code 1 if it failed. --json: one line each.

    Example: konsil federation follow ms-lesions-2026
    """
    state = ""
    for progress in connected().follow(run):
        typer.echo(json.dumps(asdict(progress), ensure_ascii=False) if as_json else str(progress))
        state = progress.state
    raise typer.Exit(0 if state == "success" else 1)


@verbs.command()
def results(run: str = RUN, as_json: bool = JSON) -> None:
    """The mean Dice of every model at every site; --json: all figures.

    Example: konsil federation results ms-lesions-2026 --json
    """
    found = connected().results(run)
    text = json.dumps(found.summary, indent=2, ensure_ascii=False) if as_json else found.dice.to_string()
    typer.echo(text)


@verbs.command()
def cancel(
    run: str = RUN, why: str = typer.Option(..., "--why", help="The reason; every site reads it."), as_json: bool = JSON
) -> None:
    """End a run for everybody.

    Example: konsil federation cancel ms-lesions-2026 --why "wrong cohort at B"
    """
    connected().cancel(run, why=why)
    typer.echo(json.dumps({"run": run, "cancelled": True}) if as_json else f"{run}: ended for everybody")
