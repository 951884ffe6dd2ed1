"""The mailbox of one run: post messages, see which stand, open them.

There is no server that listens. Everybody, the centre too, is a client of an object store with one bucket per site (the
site writes, the centre reads) and one bucket `global` (the centre writes, all read). A message is a sealed payload and,
written after it, a signed manifest; docs/formats/federation.md says what is accepted. Posting is crash-only: a payload
without manifest is nothing, and posting a slot twice gives back the message that already stands.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from konsil.errors import BadInput, BadMessage, Missing, Unavailable
from konsil.federation.mailbox_keys import Keys
from konsil.federation.mailbox_pins import Pins
from konsil.federation.mailbox_record import Record
from konsil.federation.mailbox_scan import Letter, Refusal, Scan, manifest_key, payload_key
from konsil.federation.mailbox_stream import drawn
from konsil.federation.manifest import MANIFEST_LIMIT, SUBJECT, Manifest, TensorTable, read_manifest
from konsil.federation.payload import Chunk, Gathering, JsonSink, TensorSink, TensorSource, table_of
from konsil.federation.payload_sealed import Hashing, HashingSink, SignedPayload
from konsil.federation.slot import Kind, Slot
from konsil.provenance import versions
from konsil.storage.folder import FolderStore
from konsil.storage.s3 import S3Store
from konsil.storage.store import Store
from konsil.trust.canonical import canonical, parsed
from konsil.trust.envelope import Sink, Source, seal, unseal
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.membership import Connection, ca_of, connection_of, membership
from konsil.trust.roster import CENTRE, Roster, bucket_of
from konsil.trust.signed import digest, sign
from konsil.types import Json, Tensors

__all__ = ["Kind", "Letter", "Mailbox", "Manifest", "Refusal", "Slot", "open_mailbox", "open_store", "runs"]
SHOWN_AFTER_S = (0, 0.1, 0.2, 0.4, 0.8, 1.6)
RUN_NAME = r"^[a-z0-9][a-z0-9-]{2,40}$"


class Mailbox:
    """The messages of `run` as the party `me` ("centre" or a site's name) sees them.

    `folder` (usually `<home>/runs/<run>`) keeps the pins, and for moments what is being sealed; without it the pins
    last as long as this object. With `home`, identity and roster follow what lies there, and its audit log is written.
    """

    def __init__(
        self,
        store: Store,
        *,
        me: str,
        run: str,
        identity: Identity,
        roster: Roster,
        folder: Path | None = None,
        home: Path | None = None,
    ) -> None:
        if not re.fullmatch(RUN_NAME, run):
            raise BadInput("a run cannot bear this name", expected="3 to 41 of a-z, 0-9 and '-'", got=repr(run))
        self.me, self.run = me, run
        self.refused: list[Refusal] = []
        self._store, self._folder = store, folder
        self._record = Record(home, folder, me=me, run=run)
        self._scan = Scan(store, run, self._checked, Pins(folder), self._record.stands)
        self._keys = Keys(store, self._scan.forget, me=me, identity=identity, roster=roster, home=home)

    def now(self) -> datetime:
        """The store's clock, UTC."""
        return self._store.now()

    def post_json(self, slot: Slot, content: Json, *, recipients: Sequence[str], facts: Json | None = None) -> Letter:
        """Post a JSON object for `recipients` (names; the sender can always open it too).

        Posting a slot twice returns the letter that stands. `facts` stay readable without opening the payload.
        Raises `BadInput` for what JSON does not have, `Unavailable` if the store does not take it.
        """
        body = sendable(content, "a message")
        return self._post(slot, BytesIO(body), None, recipients, facts or {})

    def post_tensors(
        self, slot: Slot, tensors: Tensors, *, recipients: Sequence[str], facts: Json | None = None
    ) -> Letter:
        """Post named arrays; otherwise like `post_json`. Peak memory is one tensor, not one model more."""
        return self._post(slot, TensorSource(tensors), table_of(tensors), recipients, facts or {})

    def letters(self) -> list[Letter]:
        """All messages that stand, verified, oldest first; `.refused` then holds what was not accepted, and why."""
        letters: list[Letter] = []
        refused: list[Refusal] = []
        self._keys.refresh()
        for owner in owners(self.me, self._keys.roster):
            found, bad = self._of(owner)
            letters += found
            refused += bad
        self.refused = refused
        self._record.refused(refused)
        return sorted(letters, key=lambda letter: (letter.received, letter.slot.place))

    def mine(self) -> list[Letter]:
        """My own messages that stand."""
        return self._scan.letters(self.me)[0]

    def letter(self, slot: Slot) -> Letter | None:
        """The message that stands in one slot, found by a listing of that place alone."""
        self._keys.refresh()
        return next((letter for letter in self._of(slot.sender, f"{slot.place}/")[0] if letter.slot == slot), None)

    @property
    def revoked(self) -> frozenset[str]:
        """Sites that the centre has revoked; nothing of theirs may enter another model. Empty at a site."""
        return frozenset(self._keys.roster.revoked)

    def keys_of(self, name: str) -> PublicKeys:
        """The public keys of a party as this mailbox knows them; BadSetting for a name that is not in its roster."""
        self._keys.refresh()
        return self._keys.roster.keys_of(name)

    def signed(self, subject: str, content: Json) -> str:
        """A signed document of mine that travels inside a message."""
        with self._keys.signing() as identity:
            return sign(subject, content, identity).decode()

    def read_json(self, letter: Letter) -> Json:
        """Open a JSON message; `BadMessage` if its payload is not what the manifest says."""
        if letter.manifest.tensors is not None:
            raise BadMessage("a message holds tensors", expected="JSON")
        sink = JsonSink()
        self._unseal(letter, sink)
        return parsed(sink.getvalue(), f"the content of {letter.slot.place}")

    def read_tensors(self, letter: Letter) -> Tensors:
        """Open a message with tensors, all at once; `BadMessage` if its payload is not what the manifest says."""
        gathering = Gathering(tensor_table(letter))
        self._push(letter, gathering.sink())
        return gathering.tensors()

    def stream_tensors(self, letter: Letter) -> Iterator[Chunk]:
        """Yield (name, offset in elements, one-dimensional array) in the manifest's order, in constant memory.

        Each chunk was authenticated by age when it comes, but that the whole payload is the signed one is known only at
        the end: on `BadMessage` or `Unavailable` throw away what was computed and start again without this letter.
        """
        return drawn(lambda emit: self._push(letter, TensorSink(tensor_table(letter), emit)))

    def _push(self, letter: Letter, sink: TensorSink) -> None:
        self._unseal(letter, sink)
        sink.close()

    def _unseal(self, letter: Letter, sink: Sink) -> None:
        """Fetch, decrypt and compare with the manifest, in one pass."""
        key = payload_key(self.run, letter.slot, letter.manifest.payload_sha256)
        try:
            with self._store.get(bucket_of(letter.slot.sender), key) as stream, Hashing() as hashing:
                payload = SignedPayload(stream, letter.manifest, hashing)
                unseal(payload, sink, self._keys.identity)
                payload.close()
        except Missing as error:
            raise BadMessage(
                f"the payload of {letter.slot.place} is gone", hint="It was removed from the bucket"
            ) from error

    def _of(self, owner: str, place: str = "") -> tuple[list[Letter], list[Refusal]]:
        """The messages of one party; where a signature does not fit, its new keys are looked for."""
        if self._keys.is_due(owner):
            self._keys.follow(owner)
        found = self._scan.letters(owner, place)
        if self._scan.unsigned and self._keys.follow(owner):
            found = self._scan.letters(owner, place)
        return found

    def _checked(self, document: bytes, slot: Slot, pinned: str | None) -> Manifest:
        roster = self._keys.roster
        if slot.sender in roster.revoked and digest(SUBJECT, document) != pinned:
            raise BadMessage(f"a message of {slot.sender} is not read: the centre has revoked this site")
        return read_manifest(document, run=self.run, slot=slot, me=self.me, roster=roster, pinned=pinned)

    def _post(
        self, slot: Slot, source: Source, table: TensorTable | None, recipients: Sequence[str], facts: Json
    ) -> Letter:
        if slot.sender != self.me:
            raise BadInput("a message cannot be sent for somebody else", expected=self.me, got=slot.sender)
        facts = json.loads(sendable(facts, "the facts of a message"))  # tuples and numpy floats become plain JSON
        self._keys.refresh()
        if (standing := self.letter(slot)) is not None:
            return standing
        names = sorted({*recipients, self.me} - self.revoked)
        bucket = bucket_of(self.me)
        with self._sealed(source, names) as (file, sha256, size):
            self._store.put(bucket, payload_key(self.run, slot, sha256), file, size)
        with self._keys.signing() as identity:
            manifest = self._manifest(slot, names, {**facts, **self._record.facts()}, table, sha256, size)
            document = signed_within_limit(manifest, identity)
            self._store.put(bucket, manifest_key(self.run, slot, manifest.digest), document)
            return self._shown(slot)

    def _shown(self, slot: Slot) -> Letter:
        """My letter as the store lists it; some servers show a new object only after a moment."""
        for pause in SHOWN_AFTER_S:
            time.sleep(pause)
            if (standing := self.letter(slot)) is not None:
                return standing
        raise Unavailable(f"the message {slot.place} was sent but is not in the bucket", hint="Try again")

    def _manifest(
        self, slot: Slot, names: list[str], facts: Json, table: TensorTable | None, sha256: str, size: int
    ) -> Manifest:
        return Manifest(
            run=self.run,
            kind=slot.kind,
            round=slot.round,
            sender=self.me,
            recipients=tuple(names),
            payload_sha256=sha256,
            payload_size=size,
            tensors=table,
            facts=facts,
            created=self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            software=versions(),
        )

    @contextmanager
    def _sealed(self, source: Source, names: Sequence[str]) -> Iterator[tuple[BinaryIO, str, int]]:
        """The sealed payload as a nameless temporary file (a killed process leaves none), its hash and its size."""
        keys = [self._keys.roster.keys_of(name).age for name in names]
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            with Hashing(file) as hashing:
                sink = HashingSink(hashing)
                seal(source, sink, keys)
                sink.close()
                sha256 = hashing.hexdigest()
            yield file, sha256, file.tell()


def owners(me: str, roster: Roster) -> list[str]:
    """In whose buckets `me` finds the messages of a run."""
    return [*roster.names, *roster.revoked] if me == CENTRE else [CENTRE, me]


def open_mailbox(home: Path, run: str, store: Store | None = None) -> Mailbox:
    """The mailbox of whoever lives in `home`, centre or site; `Missing` if nobody does. `store`: one opened before."""
    party = membership(home)
    folder, store = home / "runs" / run, store or open_store(home)
    return Mailbox(store, me=party.me, run=run, identity=party.identity, roster=party.roster, folder=folder, home=home)


def open_store(home: Path) -> Store:
    """The store of whoever lives in `home`: an S3 server, or a folder where the address begins with `file://`."""
    connection = connection_of(home)
    return connect(connection, ca_of(home))


def connect(connection: Connection, ca_file: Path | None) -> Store:
    """The store behind an address; nothing is asked of it yet."""
    parts = urlsplit(connection.endpoint)
    if parts.scheme == "file":
        return FolderStore(Path(unquote(parts.path)))
    return S3Store(connection.endpoint, connection.access_key, connection.secret_key, ca_file)


def runs(store: Store) -> list[str]:
    """Runs of which the centre has posted anything, sorted; whether one is meant for me, its charter's letter says."""
    return [name for name in store.folders(bucket_of(CENTRE)) if re.fullmatch(RUN_NAME, name)]


def tensor_table(letter: Letter) -> TensorTable:
    """The table of a message with tensors; `BadMessage` for one with JSON."""
    if letter.manifest.tensors is None:
        raise BadMessage("a message holds JSON", expected="tensors")
    return letter.manifest.tensors


def sendable(content: Json, what: str) -> bytes:
    """The canonical form; `BadInput` for what JSON does not have (pydantic would quietly turn NaN into null)."""
    try:
        return canonical(content)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} cannot be sent", expected="JSON without NaN and infinity", got=str(error)) from error


def signed_within_limit(manifest: Manifest, identity: Identity) -> bytes:
    """The signed document; `BadInput` if it is longer than any reader accepts."""
    document = manifest.signed(identity)
    if len(document) > MANIFEST_LIMIT:
        raise BadInput("a message names too much", expected=f"a manifest of at most {MANIFEST_LIMIT} bytes")
    return document
