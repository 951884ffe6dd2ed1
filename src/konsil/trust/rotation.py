"""A rotation: a party's old signing key says which new keys take its place, and which of its messages stay good.

A signed document (`konsil.trust.signed`) with subject `rotation`, signed by the old key and laid where a reader that
knows the old keys looks for their successor. The new key proves by a signature of its own that the party holds it.
docs/formats/federation.md, section 7.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from konsil.errors import BadMessage
from konsil.trust.canonical import canonical
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.signed import first_line, opened, sign

SUBJECT = "rotation"
ROTATION_LIMIT = 1 << 24  # bytes: a quarter of a million messages
FOLDER = "_konsil/keys/"


class Rotation(BaseModel):
    """What a rotation says: `keys` replace `replaces`; of old signatures, those of `letters` (digests) stay good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: PublicKeys
    letters: tuple[str, ...]
    party: str
    possession: str
    replaces: PublicKeys


def rotation(party: str, old: Identity, new: Identity, letters: Iterable[str]) -> bytes:
    """The document by which `party` replaces the keys of `old` by those of `new`."""
    proven = base64.b64encode(new.sign(_claim(party, new.public, old.public))).decode()
    said = Rotation(
        keys=new.public, letters=tuple(sorted(letters)), party=party, possession=proven, replaces=old.public
    )
    return sign(SUBJECT, said.model_dump(mode="json"), old)


def successor(document: bytes, party: str, known: PublicKeys) -> Rotation:
    """What a document says, if it replaces the keys `known` of `party`; `BadMessage` otherwise."""
    if len(document) > ROTATION_LIMIT:
        raise BadMessage("a rotation is too long", expected=f"at most {ROTATION_LIMIT} bytes")
    try:
        found = Rotation.model_validate(opened(SUBJECT, document, known.signing))
    except ValidationError as error:
        raise BadMessage("a rotation is not read: fields are wrong") from error
    if found.party != party or found.replaces != known:
        raise BadMessage("a rotation is of another party, or replaces other keys", hint="Tell the centre")
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(found.keys.signing))
        key.verify(base64.b64decode(found.possession, validate=True), _claim(party, found.keys, known))
    except (InvalidSignature, ValueError) as error:
        raise BadMessage(f"a rotation of {party} is refused: it does not hold the keys that it names") from error
    return found


def place_of(keys: PublicKeys) -> str:
    """Where the successor of these keys lies, in the bucket of the party."""
    return FOLDER + hashlib.sha256(canonical(keys.model_dump(mode="json"))).hexdigest()


def _claim(party: str, keys: PublicKeys, replaced: PublicKeys) -> bytes:
    content = {"keys": keys.model_dump(mode="json"), "party": party, "replaces": replaced.model_dump(mode="json")}
    return first_line("possession") + canonical(content)
