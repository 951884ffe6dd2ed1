"""`konsil decide`: the custodian's decision on a charter."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver
from konsil.errors import BadInput
from konsil.settings import Settings


def decide(
    run: str = typer.Argument(..., help="Name of the run."),
    accept: bool = typer.Option(False, "--accept", help="Take part, with the cohort named by --cohort."),
    cohort: str | None = typer.Option(None, "--cohort", help="Frozen cohort to train on."),
    by: str | None = typer.Option(None, "--by", help="Who decided; stays at this site."),
    refuse: str | None = typer.Option(None, "--refuse", help="Do not take part, for this reason."),
    result: Path | None = RESULT,
) -> None:
    """Accept or refuse a federation charter for this site. Without an option: show what would leave the site.

    Examples: konsil decide ms-lesions-2026
    konsil decide ms-lesions-2026 --accept --cohort ms --by "Dr. Weber"
    konsil decide ms-lesions-2026 --refuse "no ethics vote yet" --by "Dr. Weber"
    """
    from konsil.parties.decision import accept_charter, refuse_charter

    home = Settings().home
    if accept and refuse is None:
        decision = accept_charter(home, run, cohort=cohort or "", by=by or "")
    elif refuse is not None and not accept:
        decision = refuse_charter(home, run, reason=refuse, by=by or "")
    elif accept:
        raise BadInput("A charter is accepted or refused, not both", expected="--accept or --refuse REASON")
    else:
        return tell(home, run, result)
    deliver(decision, result)
    typer.echo(f"{run}: {'accepted' if decision['accepted'] else 'refused'}. Next: konsil take-part {run}", err=True)
    return None


def tell(home: Path, run: str, result: Path | None) -> None:
    """Print what a custodian has to know."""
    from konsil.parties.decision import proposal

    found = proposal(home, run)
    deliver(found, result)
    typer.echo(
        f"{found['title'] or run}: {found['learner']}, {found['rounds']} rounds, with {', '.join(found['sites'])}, "
        f"updates combined by {found['strategy']}."
    )
    typer.echo("What would leave this site:")
    for sentence in found["what_leaves_the_site"]:
        typer.echo(f"  - {sentence}")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(decide)
