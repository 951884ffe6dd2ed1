"""`konsil site join` lets this hospital into a federation with the pass its centre gave it; `site rotate`: new keys."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver

verbs = typer.Typer(no_args_is_help=True, help="This site: join a federation, change its keys.")


def register(app: typer.Typer) -> None:
    """Add `konsil site`."""
    app.add_typer(verbs, name="site")


@verbs.callback()
def site() -> None:
    """This site: join a federation, change its keys."""


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


@verbs.command()
def rotate(home: Path | None = typer.Option(None, "--home", help="Folder of this site; default: KONSIL_HOME.")) -> None:
    """Give this site new keys. Running runs go on, and the centre follows by itself.

    Example: konsil site rotate
    """
    from konsil.settings import Settings

    rotate_keys(home or Settings().home, of_centre=False)


def rotate_keys(home: Path, *, of_centre: bool) -> None:
    """The body of both `rotate`s; a home of the other kind is refused."""
    from konsil.errors import BadSetting
    from konsil.federation.rotation import rotate as rotate_party
    from konsil.trust.membership import is_centre

    if is_centre(home) is not of_centre:
        verb = "konsil central rotate" if not of_centre else "konsil site rotate"
        raise BadSetting("this home is not of that kind", hint=f"Run: {verb}")
    keys = rotate_party(home)
    typer.echo(f"New keys were made here. Their fingerprint: {keys.fingerprint}")
    typer.echo("The old keys vouch for them, so nobody needs to call. They stay here to open what was sealed for them.")
