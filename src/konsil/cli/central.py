"""`konsil central …`: set up a centre, run its store, invite sites, accept them, revoke them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, deliver

if TYPE_CHECKING:
    from konsil.federation.enrolment_sites import SiteState
    from konsil.storage.users import Credentials

HOME = typer.Option(None, "--home", help="Folder of the centre; default: KONSIL_HOME.")
ACCESS = typer.Option(None, "--access-key", help="Access key at an S3 server that is not the embedded one.")
SECRET = typer.Option(None, "--secret-file", help="File that holds the secret of --access-key.")
verbs = typer.Typer(no_args_is_help=True, help="The centre: set up, invite sites, accept and revoke them.")


def register(app: typer.Typer) -> None:
    """Add `konsil central`."""
    app.add_typer(verbs, name="central")


@verbs.command()
def init(
    endpoint: str = typer.Option(..., "--endpoint", help="Address of the store, as the sites reach it."),
    home: Path | None = HOME,
    access_key: str | None = ACCESS,
    secret_file: Path | None = SECRET,
    ca_file: Path | None = typer.Option(None, "--ca-file", help="Authority of that server's certificate (PEM)."),
) -> None:
    """Make this home a centre: keys, certificate authority, the store's first user.

    Example: konsil central init --home centre --endpoint https://store.example.org:9000
    """
    from konsil.federation.enrolment_centre import init as set_up

    keys = set_up(home_of(home), endpoint, credentials=credentials(access_key, secret_file), ca_file=ca_file)
    typer.echo(f"The centre is set up. Fingerprint of its keys: {keys.fingerprint}")


@verbs.command()
def store(
    home: Path | None = HOME,
    listen: str | None = typer.Option(None, "--listen", help="Bind this host:port instead of the endpoint's."),
) -> None:
    """Run the embedded S3 server of this centre until Ctrl-C.

    Example: konsil central store --home centre
    """
    from konsil.federation.enrolment_centre import store_server

    server = store_server(home_of(home), listen=listen)
    typer.echo(f"The store will answer at {server.endpoint}. Ctrl-C ends it.", err=True)
    server.become()


@verbs.command()
def invite(
    site: str = typer.Argument(help="Name of the site: letters, digits and '-'."),
    out: Path = typer.Option(..., "--out", help="Where to write the site pass. It is secret."),
    home: Path | None = HOME,
    days: float = typer.Option(14, "--days", min=0.01, max=365, help="How long the site can join with it."),
    again: bool = typer.Option(False, "--again", help="New credentials and keys for an enrolled site."),
    access_key: str | None = ACCESS,
    secret_file: Path | None = SECRET,
) -> None:
    """Write the pass of a site and let it into the store.

    Example: konsil central invite A --out A.pass.json
    """
    from konsil.federation.enrolment_centre import invite as invite_site

    given = credentials(access_key, secret_file)
    made = invite_site(home_of(home), site, out, again=again, days=days, given=given)
    typer.echo(f"The pass of {site} is in {out}, good for joining until {made.expires:%Y-%m-%d %H:%M} UTC.")
    typer.echo(f"Its fingerprint, to be read out by phone: {made.fingerprint}")
    typer.echo("Hand it over in person or encrypted: whoever holds it can join in the site's place.")


@verbs.command()
def sites(home: Path | None = HOME, result: Path | None = RESULT) -> None:
    """Accept the sites that enrolled, publish the roster, and show how far each site is.

    One line a site: state, fingerprint of its keys, last contact (UTC), versions its newest message names.

    Example: konsil central sites
    """
    from konsil.federation.enrolment_sites import accept_all

    states = accept_all(home_of(home))
    for state in states:
        typer.echo(line_of(state))
    if any(state.state == "enrolled" for state in states):
        typer.echo("Compare each fingerprint by phone with the one that 'konsil site join' showed at the site.")
    deliver({state.site: state.as_json() for state in states}, result)
    raise typer.Exit(2 if any(state.state in {"refused", "expired"} for state in states) else 0)


@verbs.command()
def revoke(site: str = typer.Argument(help="Name of the site."), home: Path | None = HOME) -> None:
    """Take a site out of the roster and away from the store, at once. Running runs go on without it, by quorum.

    Example: konsil central revoke A
    """
    from konsil.federation.enrolment_centre import is_embedded
    from konsil.federation.enrolment_centre import revoke as revoke_site

    place = home_of(home)
    revoke_site(place, site)
    typer.echo(f"{site} is revoked: nothing new of it is read, and running runs go on without it.")
    if not is_embedded(place):
        typer.echo("Now let the store's administrator end its credentials: this store is not run by this centre.")


@verbs.command()
def rotate(home: Path | None = HOME) -> None:
    """Give the centre new keys. Running runs go on, and the sites follow by themselves.

    Example: konsil central rotate
    """
    from konsil.cli.site import rotate_keys

    rotate_keys(home_of(home), of_centre=True)


@verbs.command()
def policy(site: str = typer.Argument(help="Name of the site.")) -> None:
    """Print what a site's user may do, for the administrator of a store that this centre does not run.

    Example: konsil central policy A
    """
    import json

    from konsil.storage.policies import user_policy
    from konsil.trust.roster import bucket_of, checked_site

    typer.echo(json.dumps(user_policy(bucket_of(checked_site(site))), indent=2))


@verbs.command("bucket-policies")
def buckets(
    sites: list[str] = typer.Argument(metavar="SITE=ARN...", help="Each site with the ARN of its user."),
    centre: str = typer.Option(..., "--centre", help="ARN of the centre's user, who owns the buckets."),
) -> None:
    """Print the policy of every bucket, for a store that knows policies of buckets only, such as Ceph's radosgw.

    Example: konsil central bucket-policies A=arn:aws:iam:::user/site-a --centre arn:aws:iam:::user/centre
    """
    import json

    from konsil.errors import BadInput
    from konsil.storage.policies import bucket_policies
    from konsil.trust.roster import bucket_of, checked_site

    if any("=" not in pair for pair in sites):
        raise BadInput("a site has no user", expected="SITE=ARN for each site")
    pairs = [pair.partition("=") for pair in sites]
    users = {bucket_of(checked_site(site)): arn for site, _, arn in pairs}
    typer.echo(json.dumps(bucket_policies(users, centre), indent=2))


def line_of(state: SiteState) -> str:
    """One site on one line; what is not known is left out."""
    seen = f"seen {state.last_contact:%Y-%m-%d %H:%M}" if state.last_contact else ""
    used = " ".join(f"{name} {version}" for name, version in sorted(state.software.items()))
    parts = [f"{state.site:32} {state.state:9} {state.fingerprint}", seen, used, state.sentence]
    return "  ".join(part for part in parts if part).rstrip()


def home_of(given: Path | None) -> Path:
    """The home of the command: `--home`, else the setting."""
    from konsil.settings import Settings

    return given or Settings().home


def credentials(access_key: str | None, secret_file: Path | None) -> Credentials | None:
    """Both or none; the secret is read from a file, because a command line is visible to others."""
    from konsil.errors import BadInput
    from konsil.storage.users import Credentials

    if (access_key is None) != (secret_file is None):
        raise BadInput("half of the store's credentials is missing", expected="--access-key and --secret-file")
    if access_key is None or secret_file is None:
        return None
    return Credentials(access_key, secret_file.read_text(encoding="utf-8").strip())
