"""Rotating keys without stopping a run: new keys in this home, and a word from the old ones to everybody else.

In this order, so that a process killed anywhere leaves a home that works: note which messages the old key has signed,
write the rotation beside the keys, change the keys (one file, in one step), publish the rotation. Where the last part
is missing, the next message that is signed makes up for it (`konsil.federation.mailbox_keys`).
"""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

from konsil.federation.enrolment_centre import publish_roster
from konsil.federation.mailbox import RUN_NAME, Mailbox, open_store
from konsil.federation.mailbox_keys import PENDING, is_standing, locked, publish
from konsil.files import write_bytes
from konsil.storage.store import Store
from konsil.trust.audit import Audit, operator
from konsil.trust.identity import PublicKeys
from konsil.trust.membership import Membership, membership
from konsil.trust.past import keep_past
from konsil.trust.roster import CENTRE, bucket_of
from konsil.trust.rotation import rotation


def rotate(home: Path) -> PublicKeys:
    """Replace the keys of the party that lives in `home`; gives the new public keys.

    Running processes go on with the new keys by themselves. `Unavailable` if the store does not answer: then either
    nothing has changed, or the new keys count and are published with the next message. `BadSetting`, and nothing is
    changed, if somebody else has replaced the keys before.
    """
    store = open_store(home)
    with locked(home, fcntl.LOCK_EX):
        party = membership(home)
        publish(home, store, party.me, party.identity)  # one that waits from before comes first
        is_standing(store, party.me, party.identity.public)
        old, letters = party.identity, signed_so_far(store, party)
        new = old.successor()
        write_bytes(home / "keys" / PENDING, rotation(party.me, old, new, letters), mode=0o600)
        rotated = party.roster.rotated(party.me, new.public, letters)
        keep_past(home, party.me, rotated.past[party.me])
        new.save(home)
        facts = {"party": party.me, "old": old.public.fingerprint, "new": new.public.fingerprint, "by": operator()}
        Audit(home / "audit.jsonl").append("keys rotated", **facts)
        publish(home, store, party.me, new)
    if party.me == CENTRE:
        publish_roster(home, rotated)
    return new.public


def signed_so_far(store: Store, party: Membership) -> list[str]:
    """Digests of this party's messages that stand in any run and that its current key has signed."""
    current, found = (party.identity.public.signing,), list[str]()
    for run in store.folders(bucket_of(party.me)):
        if re.fullmatch(RUN_NAME, run):
            box = Mailbox(store, me=party.me, run=run, identity=party.identity, roster=party.roster)
            digests = [letter.manifest.digest for letter in box.mine()]
            found += [digest for digest in digests if party.roster.signers_of(party.me, digest) == current]
    return found
