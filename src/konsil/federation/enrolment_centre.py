"""The centre's side of trust: set up, invite a site, revoke it. Who enrolled: `konsil.federation.enrolment_sites`.

What lies in the centre's home: `centre.json` (address and credentials), `keys/`, `authority/`, `ca.pem`,
`roster.json`, `invitations.json`, `audit.jsonl`, and `store/` with users and objects where the centre runs the
embedded S3 server itself.
"""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from konsil.errors import BadInput, BadSetting
from konsil.federation.mailbox import open_store
from konsil.federation.mailbox_keys import locked
from konsil.files import write_bytes
from konsil.storage.s3 import checked_endpoint
from konsil.storage.server import StoreServer
from konsil.storage.users import Credentials, Users
from konsil.trust.audit import Audit, operator
from konsil.trust.authority import Authority
from konsil.trust.enrolment import ROSTER_KEY
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.invitations import Invitation, Invitations
from konsil.trust.membership import Connection, connection_of, is_centre, membership
from konsil.trust.passes import SitePass, new_secret
from konsil.trust.roster import CENTRE, GLOBAL, Roster, bucket_of, checked_site

PASS_DAYS = 14


def init(
    home: Path, endpoint: str, *, credentials: Credentials | None = None, ca_file: Path | None = None
) -> PublicKeys:
    """Make `home` a centre whose store is at `endpoint`; doing it again with the same address changes nothing.

    Without `credentials` the store is the embedded server in `<home>/store` (see `store_server`), or a folder for
    `file://…`. With them it is somebody else's S3 server; `ca_file` is the authority of its certificate.
    """
    if (home / "pass.json").is_file():
        raise BadSetting("this home belongs to a site", hint="Use another folder for the centre (KONSIL_HOME)")
    if (home / "centre.json").is_file():
        if connection_of(home).endpoint != endpoint:
            raise BadSetting("this home is a centre with another address", expected=connection_of(home).endpoint)
        return Identity.load(home).public
    embedded = credentials is None and not endpoint.startswith("file://")
    if not endpoint.startswith("file://"):
        checked_endpoint(endpoint)
    identity = Identity.keep(home)
    Roster(centre=identity.public).save(home)
    if ca_file is not None:
        write_bytes(home / "ca.pem", ca_file.read_bytes())
    if embedded:
        if endpoint.startswith("https://"):
            write_bytes(home / "ca.pem", Authority(home).pem.encode())
        credentials = Users(home / "store").add(CENTRE, None)
    access, secret = credentials or ("", "")
    Connection(endpoint=endpoint, access_key=access, secret_key=secret).save(home)
    Audit(home / "audit.jsonl").append("centre set up", by=operator(), fingerprint=identity.public.fingerprint)
    return identity.public


def store_server(home: Path, *, listen: str | None = None) -> StoreServer:
    """The embedded server of this centre, with a certificate that is good for its address; start it yourself."""
    endpoint = connection_of(checked_centre(home)).endpoint
    if not is_embedded(home):
        raise BadSetting("this centre's store is not the embedded server", got=endpoint)
    if endpoint.startswith("https://"):
        Authority(home).certify(urlsplit(endpoint).hostname or "", home / "store")
    return StoreServer(home / "store", endpoint, listen=listen)


def invite(
    home: Path, site: str, out: Path, *, again: bool = False, days: float = PASS_DAYS, given: Credentials | None = None
) -> SitePass:
    """Write the pass of a new site to `out` and let it into the store.

    `again`: the site is enrolled already and shall get new credentials and keys; its old ones end now, as if it had
    been revoked. `given`: its credentials where the store is not the embedded server, limited to its bucket and to
    reading `global`.
    """
    connection, roster = connection_of(checked_centre(home)), membership(home).roster
    invitations = Invitations(home)
    if out.exists():
        raise BadInput("the pass is not written over another file", got=out.name, hint="Choose another name")
    _may_be_invited(site, roster, invitations, again=again)
    credentials = given or _store_user(home, site, connection)
    if again:
        publish_roster(home, roster.without(site))
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    ca = home / "ca.pem"
    made = SitePass(
        site=site,
        endpoint=connection.endpoint,
        bucket=bucket_of(site),
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        ca_pem=ca.read_text() if ca.is_file() else None,
        centre=roster.centre,
        enrolment_secret=new_secret(),
        expires=expires,
    )
    previous = invitations.all().get(site)
    if previous is not None and previous.access_key and is_embedded(home):
        Users(home / "store").remove(previous.access_key)
    kept = Invitation(secret=made.enrolment_secret, expires=expires, access_key=made.access_key or None)
    invitations.put(site, kept)
    made.save(out)
    Audit(home / "audit.jsonl").append("site invited", site=site, by=operator(), fingerprint=made.fingerprint)
    return made


def _may_be_invited(site: str, roster: Roster, invitations: Invitations, *, again: bool) -> None:
    if not again:
        checked_site(site, taken=roster.sites)
        checked_site(site, taken=[name for name in invitations.all() if name != site])
    elif site not in roster.sites:
        raise BadSetting(f"{site} is not enrolled", hint="Invite it without --again")


def revoke(home: Path, site: str) -> None:
    """Take a site out of the roster and away from the store, at once.

    Of its messages those remain that the centre had accepted; nothing new of it is read, and running runs go on without
    it. On another store than the embedded server its administrator ends the credentials.
    """
    roster = membership(checked_centre(home)).roster
    invitation = Invitations(home).all().get(site)
    if site not in roster.sites and invitation is None:
        raise BadSetting(f"there is no site {site}", expected=", ".join(sorted(roster.sites)) or "none yet")
    if invitation is not None and invitation.access_key and is_embedded(home):
        Users(home / "store").remove(invitation.access_key)
    Invitations(home).drop(site)
    Audit(home / "audit.jsonl").append("site revoked", site=site, by=operator())
    publish_roster(home, roster.without(site) if site in roster.sites else roster)


def publish_roster(home: Path, roster: Roster) -> None:
    """Keep a roster, and show it to the sites under the centre's signature."""
    with locked(home, fcntl.LOCK_EX):
        roster.save(home)
    open_store(home).put(GLOBAL, ROSTER_KEY, roster.signed(Identity.load(home)))


def checked_centre(home: Path) -> Path:
    """The home itself if a centre lives there."""
    if not is_centre(home):
        raise BadSetting("this home belongs to a site", hint="Run this at the centre, or set KONSIL_HOME")
    return home


def is_embedded(home: Path) -> bool:
    """Whether this centre runs the embedded server."""
    return (home / "store" / "users.json").is_file()


def _store_user(home: Path, site: str, connection: Connection) -> Credentials:
    if is_embedded(home):
        return Users(home / "store").add(bucket_of(site), {bucket_of(site): "rw", GLOBAL: "ro"})
    if connection.endpoint.startswith("file://"):
        return Credentials("", "")
    raise BadSetting(
        "the store is not the embedded server, so its administrator makes the site's credentials",
        expected=f"a key for bucket {bucket_of(site)} and for reading {GLOBAL}: --access-key and --secret-file",
    )
