"""`konsil workflow key|trust|dismiss|reviewers`: the people who sign, and whose reviews count at this home."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli import listing
from konsil.settings import Settings

BY = typer.Option(..., "--by", help="Who decides that at this place.")


def add(verbs: typer.Typer) -> None:
    """Add these verbs to `konsil workflow`."""
    for verb in (key, trust, dismiss):
        verbs.command()(verb)
    verbs.command("reviewers")(list_reviewers)


def key(
    folder: Path = typer.Argument(..., help="New folder for your key, on your own machine."),
    name: str = typer.Option(..., "--name", help="Your name, as custodians shall read it."),
) -> None:
    """Make your key for publishing and reviewing. Keep FOLDER/keys to yourself, give others FOLDER/person.json.

    Example: konsil workflow key ~/konsil-key --name "Dr. Weber"
    """
    from konsil.trust.person import FILE, make_signer

    made = make_signer(folder, name)
    typer.echo(f"Give others {folder / FILE}, and read this out by phone: {made.fingerprint}")


def trust(
    person: Path = typer.Argument(..., help="The reviewer's person.json."),
    by: str = BY,
) -> None:
    """Let this reviewer's approvals count here. First compare the fingerprint with the reviewer by phone.

    At a site that trusts a reviewer, charters with a learner that nobody reviewed are refused (KONSIL_REVIEWED_ONLY).

    Example: konsil workflow trust person.json --by "Dr. Klein"
    """
    from konsil.parties.reviewers import trust as trust_person
    from konsil.trust.person import read_person

    found = read_person(person)
    trust_person(Settings().home, found, by=by)
    typer.echo(f"The reviews of {found.name} count here. Fingerprint: {found.fingerprint}")


def dismiss(
    name: str = typer.Argument(..., help="The reviewer's name."),
    by: str = BY,
    why: str = typer.Option("", "--why", help="The reason, one line; stays here."),
) -> None:
    """Let a reviewer's approvals count no more, for charters to come. Runs under way go on (konsil leave).

    Example: konsil workflow dismiss "Dr. Weber" --by "Dr. Klein" --why "left the centre"
    """
    from konsil.parties.reviewers import dismiss as dismiss_person

    dismiss_person(Settings().home, name, by=by, reason=why)
    typer.echo(f"The reviews of {name} do not count here any more.")


def list_reviewers(as_json: bool = listing.JSON) -> None:
    """Whose reviews count here, or did.

    Example: konsil workflow reviewers
    """
    from konsil.parties.reviewers import Reviewer, reviewers

    def told(one: Reviewer) -> str:
        found = one.as_json()
        why = found["why"] or f"fingerprint {found['fingerprint']}, trusted by {found['by']} on {found['at'][:10]}"
        return f"{found['name'] or 'a record'}: {found['state']}. {why}"

    listing.show(reviewers(Settings().home), told, nothing="No reviewer is trusted here.", as_json=as_json)
