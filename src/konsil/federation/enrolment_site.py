"""The site's side of trust: join with a pass, and see whether the centre has accepted.

Joining makes the site's own keys, tries the pass against the real store before anything is kept, leaves the enrolment
request in the site's bucket and keeps the pass as `<home>/pass.json`. Doing it again is harmless.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from konsil.errors import BadSetting, Missing
from konsil.federation.mailbox import connect, open_store
from konsil.files import write_bytes
from konsil.storage.store import Store
from konsil.trust.audit import Audit
from konsil.trust.enrolment import ENROLMENT_KEY, ROSTER_KEY, request
from konsil.trust.identity import Identity
from konsil.trust.membership import Connection, membership
from konsil.trust.passes import SitePass, read_pass
from konsil.trust.roster import GLOBAL, Roster

ROSTER_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True)
class Joined:
    """What the person at the site has to know: compare both fingerprints with the centre by phone."""

    site: str
    pass_fingerprint: str
    keys_fingerprint: str
    accepted: bool


def join(home: Path, path: Path) -> Joined:
    """Join the federation of the pass at `path`.

    `BadInput` for a damaged pass, `BadSetting` for an expired one, one for another site or centre than this home's, a
    wrong bucket, credential or certificate; `Unavailable` if nobody answers at its address.
    """
    if (home / "centre.json").is_file():
        raise BadSetting("this home belongs to a centre", hint="Use another folder for the site (KONSIL_HOME)")
    found = read_pass(path)
    _same_as_before(home, found)
    store = _tried(found)
    identity = Identity.keep(home)
    if found.ca_pem is not None:
        write_bytes(home / "ca.pem", found.ca_pem.encode())
    document = request(found.site, identity.public, found.enrolment_secret)
    store.put(found.bucket, ENROLMENT_KEY, document)
    new = not (home / "pass.json").is_file()
    found.save(home / "pass.json")
    if new:
        Audit(home / "audit.jsonl").append("joined", site=found.site, fingerprint=identity.public.fingerprint)
    return Joined(found.site, found.fingerprint, identity.public.fingerprint, is_accepted(home))


def is_accepted(home: Path) -> bool:
    """Whether the roster that the centre published holds this site with the keys of this home."""
    party = membership(home)
    try:
        with open_store(home).get(GLOBAL, ROSTER_KEY) as stream:
            published = Roster.opened(stream.read(ROSTER_LIMIT), party.roster.centre)
    except Missing:
        return False
    return published.sites.get(party.me) == party.identity.public


def _tried(found: SitePass) -> Store:
    """The store of a pass, after it answered for both buckets and its clock found the pass in time."""
    with tempfile.TemporaryDirectory() as folder:
        ca_file = None
        if found.ca_pem is not None:
            ca_file = Path(folder) / "ca.pem"
            ca_file.write_text(found.ca_pem)
        connection = Connection(endpoint=found.endpoint, access_key=found.access_key, secret_key=found.secret_key)
        store = connect(connection, ca_file)
        found.check_time(store.now())
        for bucket in (found.bucket, GLOBAL):
            store.list(bucket, "_konsil/")
        return store


def _same_as_before(home: Path, found: SitePass) -> None:
    """A home joins one federation as one site; a newer pass for the same is welcome."""
    if not (home / "pass.json").is_file():
        return
    before = read_pass(home / "pass.json")
    if (before.site, before.centre) != (found.site, found.centre):
        raise BadSetting(
            f"this home has joined as {before.site} already",
            got=f"a pass for {found.site} or of another centre",
            hint="Use another folder for another federation (KONSIL_HOME)",
        )
