"""`konsil site join`: let this hospital into a federation with the pass that its centre gave it."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver

verbs = typer.Typer(no_args_is_help=True, help="This site: join a federation.")


def register(app: typer.Typer) -> None:
    """Add `konsil site`."""
    app.add_typer(verbs, name="site")


@verbs.callback()
def site() -> None:
    """This site: join a federation."""


@verbs.command()
def join(
    path: Path = typer.Argument(metavar="PASS", help="The site pass, a file of 'konsil central invite'."),
    home: Path | None = typer.Option(None, "--home", help="Folder of this site; default: KONSIL_HOME."),
    result: Path | None = RESULT,
) -> None:
    """Make this site's keys, try the pass, and ask the centre to be let in. Doing it again shows how far it is.

    Example: konsil site join A.pass.json
    """
    from konsil.federation.enrolment_site import join as join_federation
    from konsil.settings import Settings

    joined = join_federation(home or Settings().home, path)
    typer.echo(f"This is site {joined.site}. Its keys were made here and stay here.")
    typer.echo(f"Fingerprint of the pass:        {joined.pass_fingerprint}")
    typer.echo(f"Fingerprint of this site's keys: {joined.keys_fingerprint}")
    if joined.accepted:
        typer.echo("The centre has accepted this site.")
    else:
        typer.echo("Call the centre and compare both fingerprints; it accepts with 'konsil central sites'.")
    facts = {"site": joined.site, "fingerprint": joined.keys_fingerprint, "accepted": joined.accepted}
    deliver(facts, result)
