"""Who takes part: take in those who enrolled, and say of every site how far it is and when it was last heard of."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from konsil.errors import BadMessage, BadSetting, KonsilError, Missing
from konsil.federation.enrolment_centre import checked_centre, is_embedded, publish_roster
from konsil.federation.mailbox import open_store
from konsil.federation.mailbox_keys import Keys
from konsil.federation.manifest import MANIFEST_LIMIT, read_manifest
from konsil.federation.slot import Slot
from konsil.storage.store import Entry, Store
from konsil.storage.users import Users
from konsil.trust.audit import Audit
from konsil.trust.enrolment import ENROLMENT_KEY, REQUEST_LIMIT, verified
from konsil.trust.invitations import Invitation, Invitations
from konsil.trust.membership import membership
from konsil.trust.roster import CENTRE, Roster, bucket_of
from konsil.types import Json

LOOKS = 5  # manifests that are tried for the versions of a site


@dataclass(frozen=True)
class SiteState:
    """How far a site is: "invited", "enrolled", "expired", "refused" or "revoked", with a sentence where one helps.

    `fingerprint` is that of its keys, `last_contact` when the store last received anything from it (UTC), `software`
    the versions that its newest message names.
    """

    site: str
    state: str
    fingerprint: str = ""
    sentence: str = ""
    last_contact: datetime | None = None
    software: Json = field(default_factory=dict)

    def as_json(self) -> Json:
        """The form of `--result`."""
        last = self.last_contact.isoformat(timespec="seconds") if self.last_contact else None
        return {**asdict(self), "last_contact": last}


def accept_all(home: Path) -> list[SiteState]:
    """Take in every site whose enrolment lies in its bucket and fits its invitation; publish the signed roster.

    Sites that have rotated their keys are followed. The states of all sites come back, sorted by name.
    """
    checked_centre(home)
    store, states = open_store(home), []
    for site, invitation in Invitations(home).all().items():
        if invitation.secret is not None:
            states.append(_accept(home, store, site, invitation))
    roster = _followed(home, store)
    publish_roster(home, roster)
    fresh = {state.site for state in states if state.state != "enrolled"}
    states = [state for state in states if state.site in fresh]
    states += [_enrolled(home, store, roster, site) for site in roster.sites]
    states += [SiteState(site, "revoked") for site in roster.revoked if site not in fresh]
    return sorted(states, key=lambda state: state.site)


def _followed(home: Path, store: Store) -> Roster:
    """The roster after every site that has new keys was followed to them."""
    party = membership(home)
    keys = Keys(store, lambda: None, me=party.me, identity=party.identity, roster=party.roster, home=home)
    for site in party.roster.sites:
        keys.follow(site)
    return keys.roster


def _accept(home: Path, store: Store, site: str, invitation: Invitation) -> SiteState:
    """Look at one enrolment; a bad one is a state with a sentence, never the end of the others."""
    try:
        entry = store.stat(bucket_of(site), ENROLMENT_KEY)
        if not invitation.open_at(entry.modified):
            return _expired(home, site, invitation, "It enrolled after its pass had expired.")
        document = _enrolment(store, site)
        keys = verified(document, site, invitation.secret or "")
    except Missing:
        if store.now() > invitation.expires:
            return _expired(home, site, invitation, "Its pass has expired.")
        return SiteState(site, "invited")
    except (BadMessage, BadSetting) as error:
        return SiteState(site, "refused", sentence=error.sentence)
    publish_roster(home, membership(home).roster.with_site(site, keys))
    Invitations(home).put(site, invitation.used(hashlib.sha256(document).hexdigest()))
    Audit(home / "audit.jsonl").append("site enrolled", site=site, fingerprint=keys.fingerprint)
    return SiteState(site, "enrolled", keys.fingerprint)


def _expired(home: Path, site: str, invitation: Invitation, what: str) -> SiteState:
    """A pass that came to nothing opens the store no longer."""
    if invitation.access_key and is_embedded(home):
        Users(home / "store").remove(invitation.access_key)
    return SiteState(site, "expired", sentence=f"{what} Invite it again.")


def _enrolled(home: Path, store: Store, roster: Roster, site: str) -> SiteState:
    """A site of the roster: last contact, versions, and whether its pass was used a second time."""
    fingerprint, sentence = roster.keys_of(site).fingerprint, ""
    invitation = Invitations(home).all().get(site)
    try:
        entries = store.list(bucket_of(site))
        if invitation and invitation.document and invitation.document != _sha256(_enrolment(store, site)):
            sentence = "Somebody used its pass a second time; nothing was changed. Call the site."
    except KonsilError as error:
        return SiteState(site, "enrolled", fingerprint, error.sentence)
    last = max((entry.modified for entry in entries), default=None)
    return SiteState(site, "enrolled", fingerprint, sentence, last, _software(store, roster, site, entries))


def _enrolment(store: Store, site: str) -> bytes:
    with store.get(bucket_of(site), ENROLMENT_KEY) as stream:
        return stream.read(REQUEST_LIMIT + 1)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _software(store: Store, roster: Roster, site: str, entries: list[Entry]) -> Json:
    """The versions that the newest good manifest of a site names; empty where there is none."""
    manifests = [entry for entry in entries if "/manifest-" in entry.key and entry.size <= MANIFEST_LIMIT]
    for entry in sorted(manifests, key=lambda found: found.modified, reverse=True)[:LOOKS]:
        run, _, rest = entry.key.partition("/")
        try:
            slot = Slot.at(rest.rpartition("/")[0], site)
            with store.get(bucket_of(site), entry.key) as stream:
                document = stream.read(MANIFEST_LIMIT + 1)
            return read_manifest(document, run=run, slot=slot, me=CENTRE, roster=roster).software
        except (BadMessage, Missing):
            continue
    return {}
