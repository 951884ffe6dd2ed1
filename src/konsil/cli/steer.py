"""`konsil steer`: what the operator does to a running federation."""

from __future__ import annotations

import typer

from konsil.federation.control import Action
from konsil.settings import Settings

RUN = typer.Argument(..., help="Name of the run.")
WHY = typer.Option("", "--why", help="The reason, one line; every site reads it.")
steering = typer.Typer(
    help="Pause, resume, abort or extend a run, or exclude a site from it (centre).", no_args_is_help=True
)


@steering.command()
def pause(run: str = RUN, why: str = WHY) -> None:
    """Let nothing new begin and no deadline run, until `resume`. What is being trained is finished and kept.

    Example: konsil steer pause ms-lesions-2026 --why "maintenance until Monday"
    """
    _say(run, Action.PAUSE, why=why)


@steering.command()
def resume(run: str = RUN, why: str = WHY) -> None:
    """Go on with a paused run.

    Example: konsil steer resume ms-lesions-2026
    """
    _say(run, Action.RESUME, why=why)


@steering.command()
def abort(run: str = RUN, why: str = WHY) -> None:
    """End a run without a model. The centre tells everybody when it looks next (konsil run --resume RUN).

    Example: konsil steer abort ms-lesions-2026 --why "wrong label convention"
    """
    _say(run, Action.ABORT, why=why)


@steering.command()
def exclude(run: str = RUN, site: str = typer.Argument(..., help="Name of the site."), why: str = WHY) -> None:
    """Take a site out of a run for good: its updates are in no global model from now on.

    Example: konsil steer exclude ms-lesions-2026 C --why "labels are shifted"
    """
    _say(run, Action.EXCLUDE, why=why, site=site)


@steering.command()
def extend(
    run: str = RUN, rounds: int = typer.Argument(..., min=1, help="How many rounds more."), why: str = WHY
) -> None:
    """Go on after the end for some more rounds, as far as the charter's extra_rounds allow.

    Where Airflow runs, everybody goes on by itself; elsewhere each starts its side again (konsil run --resume RUN,
    konsil take-part RUN).

    Example: konsil steer extend ms-lesions-2026 10
    """
    _say(run, Action.EXTEND, why=why, rounds=rounds)


def _say(run: str, action: Action, *, why: str, site: str = "", rounds: int = 0) -> None:
    from konsil.parties.steering import steer

    letter = steer(Settings().home, run, action, why=why, site=site, rounds=rounds)
    typer.echo(f"{run}: {action.value} is posted as word {letter.slot.round}", err=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(steering, name="steer")
