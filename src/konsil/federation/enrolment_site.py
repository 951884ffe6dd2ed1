"""The site's side of trust: join with a pass, and see whether the centre has accepted.

Joining makes the site's own keys, tries the pass against the real store before anything is kept, leaves the enrolment
request in the site's bucket and keeps the pass as `<home>/pass.json`. Doing it again is harmless.
"""

from __future__ import annotations

import fcntl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from konsil.errors import BadSetting, Missing
from konsil.federation.mailbox import connect, open_store
from konsil.federation.mailbox_keys import locked, successors
from konsil.files import write_bytes, write_json
from konsil.storage.store import Store
from konsil.trust.audit import Audit
from konsil.trust.enrolment import ENROLMENT_KEY, ROSTER_KEY, request
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.membership import Connection, centre_keys, membership
from konsil.trust.passes import SitePass, read_pass
from konsil.trust.past import Past, keep_past, read_past
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

    `BadInput` for a damaged pass, `BadSetting` for an expired or used one, one for another site or centre than this
    home's, a wrong bucket, credential or certificate; `Unavailable` if nobody answers at its address.
    """
    if (home / "centre.json").is_file():
        raise BadSetting("this home belongs to a centre", hint="Use another folder for the site (KONSIL_HOME)")
    found = read_pass(path)
    before = read_pass(home / "pass.json") if (home / "pass.json").is_file() else None
    _same_site(found, before)
    store = _tried(found, again=before == found)
    centre = _same_centre(store, found, before, home)
    enrolled = _published(store, centre).sites.get(found.site)
    if enrolled is not None and enrolled not in own_keys(home):
        raise used_up(found.site)
    identity = Identity.keep(home) if before is None or before == found else _new_keys(home, found.site)
    if found.ca_pem is not None:
        write_bytes(home / "ca.pem", found.ca_pem.encode())
    if enrolled is None:
        store.put(found.bucket, ENROLMENT_KEY, request(found.site, identity.public, found.enrolment_secret))
    found.save(home / "pass.json")
    if centre[-1] != found.centre:
        write_json(home / "keys" / "centre.json", centre[-1].model_dump(mode="json"))
    if before is None:
        Audit(home / "audit.jsonl").append("joined", site=found.site, fingerprint=identity.public.fingerprint)
    return Joined(found.site, found.fingerprint, identity.public.fingerprint, enrolled is not None)


def is_accepted(home: Path) -> bool:
    """Whether the roster that the centre published holds this site with the keys of this home."""
    party = membership(home)
    store = open_store(home)
    published = _published(store, successors(store, party.roster.centre))
    return published.sites.get(party.me) in own_keys(home)


def own_keys(home: Path) -> list[PublicKeys]:
    """The public keys of this home, and those that it had before; none where it has none yet."""
    try:
        identity = Identity.load(home)
    except Missing:
        return []
    return [identity.public, *(held.public for held in identity.earlier)]


def _new_keys(home: Path, site: str) -> Identity:
    """New keys for a new pass; the old ones open what was sealed for them, and vouch here for what this site sent."""
    with locked(home, fcntl.LOCK_EX):
        old = Identity.load(home)
        new = old.successor()
        keep_past(home, site, read_past(home).get(site, Past()).with_retired(old.public.signing))
        new.save(home)
    return new


def used_up(site: str) -> BadSetting:
    """The sentence for a pass with which somebody has enrolled before."""
    return BadSetting(
        "this site pass has been used already: it lets a site in once",
        got=f"{site} is enrolled with other keys than those of this home",
        hint="If that was not you, call the centre at once. For new keys it makes a new pass (invite --again)",
    )


def _published(store: Store, centre: list[PublicKeys]) -> Roster:
    """The roster that the centre published, under one of its keys; an empty one if there is none yet."""
    try:
        with store.get(GLOBAL, ROSTER_KEY) as stream:
            document = stream.read(ROSTER_LIMIT)
    except Missing:
        return Roster(centre=centre[-1])
    return Roster.opened(document, *centre)


def _same_centre(store: Store, found: SitePass, before: SitePass | None, home: Path) -> list[PublicKeys]:
    """The centre's keys up to the newest; `BadSetting` if the pass is of another centre than this home's."""
    if before is None:
        return successors(store, found.centre)
    chain = successors(store, before.centre)
    known = centre_keys(home, before.centre)
    if found.centre not in chain or known not in chain:
        raise other_federation(before.site, found.site)
    return chain


def _tried(found: SitePass, *, again: bool) -> Store:
    """The store of a pass, after it answered for both buckets and its clock found the pass in time."""
    with tempfile.TemporaryDirectory() as folder:
        ca_file = None
        if found.ca_pem is not None:
            ca_file = Path(folder) / "ca.pem"
            ca_file.write_text(found.ca_pem)
        connection = Connection(endpoint=found.endpoint, access_key=found.access_key, secret_key=found.secret_key)
        store = connect(connection, ca_file)
        if not again:
            found.check_time(store.now())
        for bucket in (found.bucket, GLOBAL):
            store.list(bucket, "_konsil/")
        return store


def _same_site(found: SitePass, before: SitePass | None) -> None:
    """A home joins one federation as one site; a newer pass for the same is welcome."""
    if before is not None and before.site != found.site:
        raise other_federation(before.site, found.site)


def other_federation(before: str, now: str) -> BadSetting:
    """The sentence for a pass of another site or centre than this home's."""
    return BadSetting(
        f"this home has joined as {before} already",
        got=f"a pass for {now} or of another centre",
        hint="Use another folder for another federation (KONSIL_HOME)",
    )
