"""`konsil workflow`: publish a learner, review it, see how each stands, withdraw one. Who may: `workflow_people`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli import listing, workflow_people
from konsil.cli.listing import JSON
from konsil.errors import BadInput
from konsil.settings import Settings

if TYPE_CHECKING:
    from konsil.parties.workflows import Published

ABOUT = "Workflows: which learner was published, who reviewed it, whose reviews count here."
verbs = typer.Typer(no_args_is_help=True, help=ABOUT)
NAME = typer.Argument(..., help="Full name, such as nnunet-ms@1.2.")
KEY = typer.Option(..., "--key", help="Your folder of 'konsil workflow key'.")
FOLDER = typer.Option(None, "--folder", help="Folder of workflows; default: <KONSIL_HOME>/workflows.")


def register(app: typer.Typer) -> None:
    """Add `konsil workflow`."""
    workflow_people.add(verbs)
    app.add_typer(verbs, name="workflow")


@verbs.callback()
def workflow() -> None:
    """Workflows: which learner was published, who reviewed it, whose reviews count here."""


def place(folder: Path | None) -> Path:
    """The folder that is meant."""
    return folder or Settings().home / "workflows"


@verbs.command()
def publish(
    draft: Path = typer.Argument(..., help="TOML file; docs/formats/workflows.md shows one."),
    key: Path = KEY,
    folder: Path | None = FOLDER,
) -> None:
    """Sign what a learner is for and where it was tested, with the hash of its code as it is installed here.

    Example: konsil workflow publish nnunet-ms.toml --key ~/konsil-key
    """
    from konsil.parties.workflows import publish as publish_draft
    from konsil.trust.person import signer

    made = publish_draft(place(folder), draft, signer(key))
    code = made.workflow.code[:12] if made.workflow else ""
    typer.echo(f"{made.name} is published, code {code}…. Next, by somebody else: konsil workflow review {made.name}")


@verbs.command("list")
def list_workflows(folder: Path | None = FOLDER, as_json: bool = JSON) -> None:
    """Every workflow and whether it counts as reviewed here.

    Example: konsil workflow list --json
    """
    from konsil.parties.reviewers import trusted
    from konsil.parties.workflows import workflows

    found = workflows(place(folder), trusted(Settings().home))
    listing.show(found, line_of, nothing="No workflow was published here.", as_json=as_json)


def line_of(one: Published) -> str:
    """`nnunet-ms@1.2: approved. nnunet, code 12ab34cd56ef…, by Dr. Lee, 2026-11-27`."""
    told = f"{one.name}: {one.state}{f' ({one.why})' if one.why else ''}."
    if one.workflow is None:
        return told
    return (
        f"{told} {one.workflow.learner}, code {one.workflow.code[:12]}…, by {one.workflow.author.name}, "
        f"{one.workflow.at:%Y-%m-%d}"
    )


@verbs.command()
def show(name: str = NAME, folder: Path | None = FOLDER, as_json: bool = JSON) -> None:
    """Everything about one workflow: code, images, where it was tested, reviews, card.

    Example: konsil workflow show nnunet-ms@1.2
    """
    from konsil.parties.reviewers import trusted
    from konsil.parties.workflows import find

    found = find(place(folder), name, trusted(Settings().home))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    typer.echo(line_of(found))
    if found.workflow is None:
        return
    typer.echo(f"Code: {found.workflow.code}")
    typer.echo(f"Versions: {', '.join(f'{part} {version}' for part, version in found.workflow.versions.items())}")
    typer.echo(f"Author: {found.workflow.author.name}, fingerprint {found.workflow.author.fingerprint}")
    for title, lines in (("Images", found.workflow.images), ("Tested", found.workflow.tested)):
        typer.echo(f"{title}:" + "".join(f"\n  - {line}" for line in lines or ("none",)))
    for one in found.reviews:
        said = "approved" if one.verdict == "approve" else "refused"
        typer.echo(f"{one.reviewer.name} ({one.reviewer.fingerprint}) {said} it on {one.at:%Y-%m-%d}: {one.words}")
    typer.echo(f"\n{found.workflow.card}")


@verbs.command()
def review(
    name: str = NAME,
    approve: bool = typer.Option(False, "--approve", help="I have looked at this code, and sites may run it."),
    refuse: bool = typer.Option(False, "--refuse", help="Sites shall not run it."),
    words: str = typer.Option(..., "--words", help="What you looked at and found; custodians read it."),
    key: Path = KEY,
    folder: Path | None = FOLDER,
) -> None:
    """Sign a verdict on a workflow that somebody else wrote. Approving needs the same code to be installed here.

    Examples: konsil workflow review nnunet-ms@1.2 --approve --words "Read it, reran the tests" --key ~/konsil-key
    konsil workflow review nnunet-ms@1.2 --refuse --words "Tested on phantoms only" --key ~/konsil-key
    """
    from konsil.parties.workflows import review as review_workflow
    from konsil.trust.person import signer

    if approve == refuse:
        raise BadInput("It is not clear what the verdict is", expected="either --approve or --refuse")
    who = signer(key)
    review_workflow(place(folder), name, who, approve=approve, words=words)
    typer.echo(f"{name}: {'approved' if approve else 'refused'} by {who.person.name}.")


@verbs.command()
def withdraw(
    name: str = NAME,
    why: str = typer.Option("", "--why", help="The reason, one line."),
    key: Path = KEY,
    folder: Path | None = FOLDER,
) -> None:
    """Put a workflow into no charter from now on. Runs under way go on; the operator ends one with konsil steer abort.

    Example: konsil workflow withdraw nnunet-ms@1.1 --why "wrong learning rate" --key ~/konsil-key
    """
    from konsil.parties.workflows import withdraw as withdraw_workflow
    from konsil.trust.person import signer

    typer.echo(line_of(withdraw_workflow(place(folder), name, signer(key), reason=why)))
