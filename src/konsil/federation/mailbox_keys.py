"""The keys a mailbox works with, and how it learns that somebody has new ones without stopping.

My own keys change in my home (`konsil site rotate`, `konsil central rotate`): every process looks there before it
reads and before it signs. Somebody else's change in their bucket: their old key says which keys follow
(`konsil.trust.rotation`), so I look for a successor when a signature does not fit, and once a minute anyway. A
rotation that was made here but has not reached the store yet is published before anything is signed with the new key.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from konsil.errors import BadMessage, BadSetting, Missing
from konsil.files import file_mark
from konsil.storage.store import Store
from konsil.trust.audit import Audit
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.membership import keep_roster, membership
from konsil.trust.roster import CENTRE, Roster, bucket_of
from konsil.trust.rotation import ROTATION_LIMIT, Rotation, place_of, successor

LOOK_S = 60.0
WATCHED = ("roster.json", "pass.json", "keys/identity.json", "keys/past.json", "keys/centre.json")
PENDING = "rotation.pending"
log = logging.getLogger(__name__)


class Keys:
    """Identity and roster of the party `me`; with a `home` they follow what lies there and keep what they learn.

    `changed` is called whenever one of them is another: what was verified with the old ones must be verified anew.
    """

    def __init__(
        self,
        store: Store,
        changed: Callable[[], None],
        *,
        me: str,
        identity: Identity,
        roster: Roster,
        home: Path | None = None,
    ) -> None:
        self.me, self.identity, self.roster = me, identity, roster
        self._store, self._changed, self._home = store, changed, home
        self._seen, self._looked = self._state(), dict[str, float]()

    def refresh(self) -> None:
        """Read the home again if somebody changed keys or roster there."""
        state = self._state()
        if self._home is None or state == self._seen:
            return
        party = membership(self._home)
        self.identity, self.roster, self._seen = party.identity, party.roster, state
        self._changed()

    def is_due(self, owner: str) -> bool:
        """Whether a minute has passed since it was last looked for new keys of `owner`."""
        return owner != self.me and time.monotonic() - self._looked.get(owner, -LOOK_S) >= LOOK_S

    def follow(self, owner: str) -> bool:
        """Look into the bucket of `owner` for a successor of its keys; whether there was one."""
        self._looked[owner] = time.monotonic()
        followed = False
        while owner != self.me and owner in self.roster.names:  # a site may be revoked meanwhile
            found = following(self._store, owner, self.roster.keys_of(owner))
            if found is None:
                break
            self._take(owner, found)
            followed = True
        return followed

    @contextmanager
    def signing(self) -> Iterator[Identity]:
        """My identity while something is signed and posted: nobody rotates meanwhile, and a rotation is published."""
        if self._home is None:
            yield self.identity
            return
        with locked(self._home, fcntl.LOCK_SH):
            self.refresh()
            publish(self._home, self._store, self.me, self.identity)
            yield self.identity

    def _take(self, owner: str, found: Rotation) -> None:
        """Go on with the successor; in a home, keep it there before anything is read with it."""
        self._changed()
        if self._home is None:
            self.roster = self.roster.rotated(owner, found.keys, found.letters)
            return
        with locked(self._home, fcntl.LOCK_EX):
            self.roster = membership(self._home).roster
            if owner in self.roster.names and self.roster.keys_of(owner) == found.replaces:  # nobody here was faster
                self.roster = self.roster.rotated(owner, found.keys, found.letters)
                keep_roster(self._home, self.roster)
                old, new = found.replaces.fingerprint, found.keys.fingerprint
                Audit(self._home / "audit.jsonl").append("keys rotated", party=owner, old=old, new=new)
        log.info("%s has new keys: %s", owner, found.keys.fingerprint)

    def _state(self) -> list[tuple[int, int]]:
        """What tells a changed file from an unchanged one: each is replaced by a new one, never written in place."""
        if self._home is None:
            return []
        return [file_mark(self._home / name) for name in WATCHED]


def following(store: Store, owner: str, known: PublicKeys) -> Rotation | None:
    """The rotation that replaces the keys `known` of `owner`; None if there is none, or none that is good."""
    try:
        with store.get(bucket_of(owner), place_of(known)) as stream:
            return successor(stream.read(ROTATION_LIMIT + 1), owner, known)
    except (Missing, BadSetting):  # a folder store has no bucket for a site that has never written
        return None
    except BadMessage as error:
        log.warning("the new keys of %s are not taken: %s", owner, error.sentence)
        return None


def successors(store: Store, centre: PublicKeys) -> list[PublicKeys]:
    """These keys of the centre, and those that followed them, up to the newest."""
    chain = [centre]
    while (found := following(store, CENTRE, chain[-1])) is not None and found.keys not in chain:
        chain.append(found.keys)
    return chain


def publish(home: Path, store: Store, me: str, identity: Identity) -> None:
    """Put a rotation that waits in `home` into the bucket, if the keys were really changed; then it no longer waits."""
    pending = home / "keys" / PENDING
    if not pending.is_file() or not identity.earlier:
        return
    document, replaced = pending.read_bytes(), identity.earlier[-1].public
    try:
        successor(document, me, replaced)
    except BadMessage:
        return  # the process died before it changed the keys: this document says nothing about those that are used
    if not is_standing(store, me, replaced, document):
        store.put(bucket_of(me), place_of(replaced), document)
    pending.unlink()


def is_standing(store: Store, me: str, replaced: PublicKeys, mine: bytes | None = None) -> bool:
    """Whether the document `mine` replaces these keys in the store; `BadSetting` if another one does."""
    try:
        with store.get(bucket_of(me), place_of(replaced)) as stream:
            found = stream.read(ROTATION_LIMIT + 1)
    except Missing:
        return False
    if found != mine:
        raise BadSetting(
            "somebody else has already replaced the keys of this party",
            hint="They were stolen. Call the other side at once: the centre revokes a site and invites it again",
        )
    return True


@contextmanager
def locked(home: Path, how: int) -> Iterator[None]:
    """Hold the lock on this home's keys: LOCK_SH while something is signed, LOCK_EX while keys change."""
    (home / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "keys" / "lock").open("a") as lock:
        fcntl.flock(lock, how)
        yield
