"""From a listing of a bucket to the messages that stand: what lies where, what is refused and why.

The order of the checks is the order of docs/formats/federation.md: the place, the size, the signature, the fields,
the payload's presence, and last which of several messages in one slot stands. Nothing that lies in a bucket can stop
a scan; only a store that does not answer can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from konsil.errors import BadMessage, Missing
from konsil.federation.mailbox_pins import Pins
from konsil.federation.manifest import MANIFEST_LIMIT, SUBJECT, Manifest
from konsil.federation.slot import Slot
from konsil.storage.store import Entry, Store
from konsil.trust.canonical import canonical
from konsil.trust.roster import bucket_of
from konsil.trust.signed import WrongSigner, digest


@dataclass(frozen=True)
class Letter:
    """A verified message: its place, its manifest, and when the store had received it (the store's clock, UTC)."""

    slot: Slot
    manifest: Manifest
    received: datetime


@dataclass(frozen=True)
class Refusal:
    """An object that is not read, and why. `slot` is its place below the run, as text."""

    slot: str
    sentence: str


@dataclass(frozen=True)
class Unread:
    """Why a manifest is not read. An exception, raised anew at every look, would keep what each of them had in hand."""

    sentence: str
    unsigned: bool


@dataclass
class Found:
    """What lies below one prefix of one bucket: manifests by place, sizes of payloads by key, objects out of place."""

    manifests: dict[Slot, list[Entry]] = field(default_factory=dict)
    payloads: dict[str, int] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    def put(self, slot: Slot, name: str, entry: Entry) -> None:
        """Sort one object of a slot by its name; `BadMessage` for a name that is neither."""
        if name.startswith("manifest-"):
            self.manifests.setdefault(slot, []).append(entry)
        elif name.startswith("payload-"):
            self.payloads[entry.key] = entry.size
        else:
            raise BadMessage("an object is neither payload nor manifest", expected="payload-… or manifest-…")


Check = Callable[[bytes, Slot, str | None], Manifest]  # the document, its slot, the digest that is pinned there


class Scan:
    """Reads the messages of one run; remembers verified and refused objects, so each manifest is fetched once.

    `unsigned` is true after a listing with a manifest that none of its sender's known keys has signed. `stands` hears
    of every message that is accepted for the first time.
    """

    def __init__(
        self, store: Store, run: str, check: Check, pins: Pins, stands: Callable[[Letter], None] = lambda letter: None
    ) -> None:
        self._store, self._run, self._check, self._pins, self._stands = store, run, check, pins, stands
        self._known: dict[tuple[str, Entry], Manifest | Unread] = {}
        self._same: dict[Any, Any] = {}
        self.unsigned = False

    def forget(self) -> None:
        """Verify everything anew: somebody's keys have changed."""
        self._known.clear()
        self._same.clear()

    def letters(self, owner: str, place: str = "") -> tuple[list[Letter], list[Refusal]]:
        """The messages that stand in the bucket of `owner` (below `place`), and what is refused there."""
        bucket = bucket_of(owner)
        self.unsigned = False
        found = sorted_out(self._store.list(bucket, f"{self._run}/{place}"), self._run, owner)
        letters, refused = [], found.refused
        for slot, entries in found.manifests.items():
            letter, others = self._standing(bucket, slot, entries, found.payloads)
            letters += [letter] if letter else []
            refused += others
        return letters, refused

    def _standing(
        self, bucket: str, slot: Slot, entries: list[Entry], payloads: dict[str, int]
    ) -> tuple[Letter | None, list[Refusal]]:
        """The pinned message of a slot, else the earliest valid one (by store time, then digest)."""
        pinned, refused = self._pins.get(slot.place), []
        letter: Letter | None = None
        for entry in sorted(entries, key=lambda e: (e.modified, e.key)):
            try:
                manifest = self._manifest(bucket, slot, entry)
                check_first(manifest, slot, pinned[0] if pinned else letter.manifest.digest if letter else None)
                check_payload(manifest, payloads.get(payload_key(self._run, slot, manifest.payload_sha256)))
                letter = Letter(slot, manifest, pinned[1] if pinned else entry.modified)
            except BadMessage as error:
                refused.append(Refusal(slot.place, error.sentence))
        if letter is not None and pinned is None:
            self._pins.add(slot.place, letter.manifest.digest, letter.received, partial(self._stands, letter))
        return letter, refused

    def _manifest(self, bucket: str, slot: Slot, entry: Entry) -> Manifest:
        """The verified manifest of one object; what was found once is not fetched again."""
        known = self._known.get((bucket, entry))
        if known is None:
            try:
                known = self._shared(self._fetched(bucket, slot, entry))
            except Missing as error:  # not remembered: it may come again
                raise BadMessage("a manifest went away while it was read") from error
            except BadMessage as error:
                known = Unread(error.sentence, unsigned=isinstance(error, WrongSigner))
            self._known[bucket, entry] = known
        if isinstance(known, Unread):
            self.unsigned |= known.unsigned
            raise BadMessage(known.sentence)
        return known

    def _shared(self, manifest: Manifest) -> Manifest:
        """The manifest; the long parts that an earlier one has as well, the table of tensors above all, are its."""
        table, names = manifest.tensors, manifest.recipients
        software = self._same.setdefault(canonical(manifest.software), manifest.software)
        same = {"tensors": self._same.setdefault(table, table), "recipients": self._same.setdefault(names, names)}
        return manifest.model_copy(update={"software": software, **same})

    def _fetched(self, bucket: str, slot: Slot, entry: Entry) -> Manifest:
        if entry.size > MANIFEST_LIMIT:
            raise BadMessage("a manifest is too long", expected=f"at most {MANIFEST_LIMIT} bytes", got=str(entry.size))
        with self._store.get(bucket, entry.key) as stream:
            document = stream.read(MANIFEST_LIMIT + 1)
        pinned = self._pins.get(slot.place)
        manifest = self._check(document, slot, pinned[0] if pinned else None)
        if entry.key != manifest_key(self._run, slot, digest(SUBJECT, document)):
            raise BadMessage("a manifest does not bear the name of its content", hint="It was copied or renamed")
        return manifest


def sorted_out(entries: Iterable[Entry], run: str, owner: str) -> Found:
    """Sort a listing by place; objects that are neither payload nor manifest of `owner` are refused."""
    found = Found()
    for entry in entries:
        place, _, name = entry.key.removeprefix(f"{run}/").rpartition("/")
        try:
            found.put(Slot.at(place, owner), name, entry)
        except BadMessage as error:
            found.refused.append(Refusal(place, error.sentence))
    return found


def check_payload(manifest: Manifest, size: int | None) -> None:
    """The payload must lie there with the size that was signed; its bytes are checked when they are read."""
    if size is None:
        raise BadMessage("a message has no payload", hint="It was removed from the bucket, or never arrived")
    if size != manifest.payload_size:
        raise BadMessage(
            "a payload has another size than its manifest says", expected=str(manifest.payload_size), got=str(size)
        )


def check_first(manifest: Manifest, slot: Slot, first: str | None) -> None:
    """A second, different message in a slot is equivocation; `first` is the digest of the one that stands, if any."""
    if first not in {None, manifest.digest}:
        raise BadMessage(
            f"{slot.sender} posted a second, different message for {slot.place}",
            hint="The first one seen stands. Tell the centre: an honest sender posts once",
        )


def payload_key(run: str, slot: Slot, sha256: str) -> str:
    """Key of the payload with this hash."""
    return f"{run}/{slot.place}/payload-{sha256}.age"


def manifest_key(run: str, slot: Slot, digest: str) -> str:
    """Key of the manifest with this digest."""
    return f"{run}/{slot.place}/manifest-{digest}.json"
