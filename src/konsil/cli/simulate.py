"""`konsil simulate`: a whole federation on one machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, deliver, speak
from konsil.errors import BadInput
from konsil.settings import Settings
from konsil.types import Json

if TYPE_CHECKING:
    from konsil.federation.steps import Step
    from konsil.parties.simulation import Simulation


def simulate(
    charter: Path = typer.Argument(..., help="Charter (JSON); see docs/formats/charter.md."),
    cohort: list[str] = typer.Option(..., "--cohort", help="SITE=FOLDER of a frozen cohort; once per site."),
    out: Path = typer.Option(..., "--out", help="Folder for the store, the homes, the model and the report."),
    workers: int | None = typer.Option(None, "--workers", min=1, help="Sites that work at once (KONSIL_WORKERS)."),
    start: Path | None = typer.Option(None, "--start", help="Folder of the model that the charter starts from."),
    result: Path | None = RESULT,
) -> None:
    """Run a whole federation on this machine: real keys, real messages, a folder as store.

    Started again with the same charter and folder it goes on where it stopped.

    Example: konsil simulate charter.json --cohort A=a/cohorts/ms --cohort B=b/cohorts/ms --out trial
    """
    from konsil.federation.charter import read_charter
    from konsil.parties.simulation import Simulation
    from konsil.parties.sinks import sinks_of
    from konsil.trust.roster import CENTRE

    speak()
    simulation = Simulation(read_charter(charter), places(cohort), out, workers or Settings().workers, start)
    simulation.sink = sinks_of(Settings(), simulation.charter.run, CENTRE, out)
    with shown(simulation) as show:
        ending = simulation.run(show)
    deliver({**ending.as_json(), "dice": simulation.summary["dice"], "report": str(simulation.report)}, result)
    table(simulation.summary)
    typer.echo(f"{ending.sentence}\nReport: {simulation.report}")
    raise typer.Exit(1 if ending.state == "aborted" else 0)


def places(pairs: list[str]) -> dict[str, Path]:
    """`["A=path", …]` as site → folder."""
    found: dict[str, Path] = {}
    for pair in pairs:
        site, equals, path = pair.partition("=")
        if not (site and equals and path) or site in found:
            raise BadInput("A cohort is not given as it should be", expected="SITE=FOLDER, each site once", got=pair)
        found[site] = Path(path)
    return found


@contextmanager
def shown(simulation: Simulation) -> Iterator[Callable[[str, Step], None]]:
    """Bars on a terminal; in a log, one line per deed and a line of the training now and then."""
    from konsil.cli.bar import bars
    from konsil.progress import Lines, heard

    if not sys.stderr.isatty():
        with heard(Lines()):
            yield tell
        return
    with bars(lambda: simulation.course) as bar:
        yield lambda name, step: bar(step)


def tell(name: str, step: Step) -> None:
    """One plain line per deed."""
    from konsil.federation.steps import Finish, Wait

    if not isinstance(step, Wait | Finish):
        number = getattr(step, "round", None)
        typer.echo(f"{name}: {type(step).__name__}{'' if number is None else f' {number}'}", err=True)


def table(summary: Json) -> None:
    """Mean test Dice of every model at every site."""
    from rich.console import Console
    from rich.table import Table

    dice, sites = summary["dice"], summary["sites"]
    shown = Table(title="Mean Dice on held-out patients")
    shown.add_column("model")
    for site in sites:
        shown.add_column(f"at {site}", justify="right")
    rows = {"federated": dice["federated"], "each site's own model": dice.get("personal", {})}
    rows |= {f"fine-tuned at {site}": dice.get("tuned", {}).get(site, {}) for site in sites}
    rows |= {f"{site} alone": dice["local"].get(site, {}) for site in sites}
    for name, values in rows.items():
        if values:
            shown.add_row(name, *("–" if values.get(site) is None else f"{values[site]:.3f}" for site in sites))
    Console().print(shown)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(simulate)
