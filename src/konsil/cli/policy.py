"""`konsil policy`: the standing policies of this site."""

from __future__ import annotations

import json

import typer

from konsil.cli import listing
from konsil.cli.listing import JSON
from konsil.settings import Settings

verbs = typer.Typer(no_args_is_help=True, help="Standing policies: charters this site accepts without asking again.")


def register(app: typer.Typer) -> None:
    """Add `konsil policy`."""
    app.add_typer(verbs, name="policy")


@verbs.callback()
def policy() -> None:
    """Standing policies: charters this site accepts without asking again."""


@verbs.command("list")
def list_policies(as_json: bool = JSON) -> None:
    """Every standing policy of this site: what it covers, until when, and whether it counts.

    A policy is made with: konsil decide RUN --accept --cohort NAME --by WHO --standing

    Example: konsil policy list --json
    """
    from konsil.parties.policies import Standing, policies

    def told(one: Standing) -> str:
        if one.policy is None:
            return f"{one.name}: {one.state} ({one.why})"
        bounds = "; ".join(f"{field} {bound.words}" for field, bound in one.policy.bounds.items())
        return (
            f"{one.name}: {one.state}{f' ({one.why})' if one.why else ''}. {one.policy.learner.words} on "
            f"{one.policy.cohort.name} with {', '.join(one.policy.sites)}; {bounds}; "
            f"until {one.policy.expires:%Y-%m-%d}, signed by {one.policy.by}"
        )

    nothing = "This site has no standing policy: every charter asks a custodian."
    listing.show(policies(Settings().home), told, nothing=nothing, as_json=as_json)


@verbs.command()
def revoke(
    name: str = typer.Argument(..., help="Name of the policy."),
    by: str = typer.Option(..., "--by", help="Who revokes; stays at this site."),
    why: str = typer.Option("", "--why", help="The reason, one line; stays at this site."),
    as_json: bool = JSON,
) -> None:
    """End a standing policy: from now on such charters ask a custodian again. Runs under way go on (konsil leave).

    Example: konsil policy revoke ms-lesions-2026 --by "Dr. Weber" --why "ethics vote ended"
    """
    from konsil.parties.policies import revoke_policy

    found = revoke_policy(Settings().home, name, by=by, reason=why)
    typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False) if as_json else f"{name}: revoked")
