"""`konsil decide`: the custodian's decision on a charter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, deliver
from konsil.errors import BadInput
from konsil.settings import Settings

if TYPE_CHECKING:
    from konsil.parties.decision import Wish


def decide(
    run: str = typer.Argument(..., help="Name of the run."),
    accept: bool = typer.Option(False, "--accept", help="Take part, with the cohort named by --cohort."),
    cohort: str | None = typer.Option(None, "--cohort", help="Frozen cohort to train on."),
    by: str | None = typer.Option(None, "--by", help="Who decided; stays at this site."),
    refuse: str | None = typer.Option(None, "--refuse", help="Do not take part, for this reason."),
    by_policy: bool = typer.Option(False, "--by-policy", help="Take part if a standing policy covers the charter."),
    standing: bool = typer.Option(False, "--standing", help="Accept, and charters like this one from now on."),
    name: str = typer.Option("", "--policy-name", help="Name of the standing policy; default: the run's."),
    days: int = typer.Option(90, "--days", help="Days until the standing policy expires."),
    sites: str = typer.Option("", "--with-sites", help="Sites it covers, parted by commas; default: the charter's."),
    bound: list[str] = typer.Option([], "--bound", help="FIELD=LOW..HIGH, such as rounds=1..100; can be repeated."),
    result: Path | None = RESULT,
) -> None:
    """Accept or refuse a federation charter for this site. Without an option: show what would leave the site.

    Examples: konsil decide ms-lesions-2026
    konsil decide ms-lesions-2026 --accept --cohort ms --by "Dr. Weber" --standing --bound rounds=1..100
    konsil decide ms-lesions-2026 --refuse "no ethics vote yet" --by "Dr. Weber"
    """
    from konsil.parties.decision import accept_by_policy, accept_charter, refuse_charter

    settings = Settings()
    home, image, strict = settings.home, settings.image, settings.reviewed_only
    if accept + by_policy + (refuse is not None) > 1:
        raise BadInput("A charter is accepted or refused, not both", expected="--accept or --refuse REASON")
    if accept:
        wanted = wish(name, days, sites, bound) if standing else None
        decision = accept_charter(
            home, run, cohort=cohort or "", by=by or "", image=image, standing=wanted, reviewed_only=strict
        )
    elif by_policy:
        decision = accept_by_policy(home, run, image=image, reviewed_only=strict)
    elif refuse is not None:
        decision = refuse_charter(home, run, reason=refuse, by=by or "", image=image)
    else:
        return tell(home, run, settings, result)
    deliver(decision, result)
    typer.echo(f"{run}: {'accepted' if decision['accepted'] else 'refused'}. Next: konsil take-part {run}", err=True)
    return None


def wish(name: str, days: int, sites: str, bounds: list[str]) -> Wish:
    """The standing policy that the options describe."""
    from konsil.federation.policy import read_bound
    from konsil.parties.decision import Wish

    named = tuple(filter(None, (site.strip() for site in sites.split(","))))
    return Wish(name=name, days=days, sites=named, bounds=dict(read_bound(text) for text in bounds))


def tell(home: Path, run: str, settings: Settings, result: Path | None) -> None:
    """Print what a custodian has to know."""
    from konsil.parties.decision import proposal

    found = proposal(home, run, settings.image, settings.reviewed_only)
    deliver(found, result)
    typer.echo(
        f"{found['title'] or run}: {found['learner']}, {found['rounds']} rounds, with {', '.join(found['sites'])}, "
        f"updates combined by {found['strategy']}."
    )
    typer.echo(f"Asked by {found['asked_by']}.")
    typer.echo(f"The learner here: {found['learner_words']}.")
    for line in filter(None, (found["review"]["words"], found["review"]["refusal"])):
        typer.echo(line)
    given = "; ".join(f"{name} {value}" for name, value in found["settings"])
    for line in (*found["bounds"], f"Settings of the learner: {given or 'its defaults'}.", *found["privacy"]):
        typer.echo(f"  - {line}")
    typer.echo("What would leave this site:")
    for sentence in found["what_leaves_the_site"]:
        typer.echo(f"  - {sentence}")
    covered = f"The standing policy {found['policy']} covers it: konsil decide {run} --by-policy"
    for line in [covered] if found["policy"] else found["outside"]:
        typer.echo(line)
    if found["void"]:
        typer.echo(f"The decision taken here does not count any more: {found['void']}.")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(decide)
