"""What a message says about itself, signed: run, round, sender, kind, for whom, and exactly which payload.

A manifest is a signed document (`konsil.trust.signed`) with subject `manifest`. It is written after its payload;
where no manifest lies, there is no message. Its facts (number of cases, steps, metrics …) stay readable without
opening the payload, so every decision of a round costs no download.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from konsil.errors import BadMessage
from konsil.federation.slot import Kind, Slot
from konsil.trust.canonical import canonical
from konsil.trust.identity import Identity
from konsil.trust.roster import Roster
from konsil.trust.signed import digest, first_line, opened, sign
from konsil.types import Json

SUBJECT = "manifest"
MANIFEST_LIMIT = 1 << 20  # bytes of a whole manifest
DTYPES = {  # safetensors name → numpy, little-endian
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
}
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Second = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
TensorName = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\"\\]+$")]
Length = Annotated[int, Field(ge=0, le=1 << 40)]
Shape = Annotated[tuple[Length, ...], Field(max_length=32)]  # more would cost minutes to multiply


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorTable(_Model):
    """Names, shapes and dtypes (safetensors names: F32, I64 …) of the tensors in a payload, in their order."""

    names: tuple[TensorName, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]

    @model_validator(mode="after")
    def _is_consistent(self) -> TensorTable:
        if not len(self.names) == len(self.shapes) == len(self.dtypes) or len(set(self.names)) != len(self.names):
            raise ValueError("one shape and one dtype per name, each name once")
        if "__metadata__" in self.names or not set(self.dtypes) <= set(DTYPES):
            raise ValueError("an unknown dtype or a forbidden name")
        return self

    def rows(self) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
        """Name, shape, dtype and number of bytes of each tensor."""
        for name, shape, dtype in zip(self.names, self.shapes, self.dtypes, strict=True):
            yield name, shape, dtype, math.prod(shape) * int(DTYPES[dtype][2:])

    @property
    def size(self) -> int:
        """Bytes of all numbers together, without the header."""
        return sum(size for _, _, _, size in self.rows())


class Manifest(_Model):
    """What a message says about itself. `created` is UTC to the second; `recipients` includes the sender."""

    run: str
    kind: Kind
    round: int | None
    sender: str
    recipients: tuple[str, ...]
    payload_sha256: Sha256
    payload_size: Length
    tensors: TensorTable | None
    facts: Json
    created: Second
    software: Json

    @property
    def slot(self) -> Slot:
        """Where this message belongs."""
        return Slot(self.kind, self.sender, self.round)

    @property
    def digest(self) -> str:
        """SHA-256 of the signed bytes, 64 hexadecimal digits: the name of this message."""
        return hashlib.sha256(first_line(SUBJECT) + canonical(self.as_json())).hexdigest()

    def as_json(self) -> Json:
        """The signed content."""
        return self.model_dump(mode="json")

    def signed(self, identity: Identity) -> bytes:
        """The document that is stored."""
        return sign(SUBJECT, self.as_json(), identity)


def read_manifest(
    document: bytes, *, run: str, slot: Slot, me: str, roster: Roster, pinned: str | None = None
) -> Manifest:
    """Read the manifest that lies in `slot`: authenticate, then parse, then check; `BadMessage` says which rule failed.

    The key is that of the slot's sender, which is the owner of the bucket it lies in, never one named by the document.
    `pinned`: digest of the message that was accepted in this slot before; it may be signed by a retired key.
    """
    if len(document) > MANIFEST_LIMIT:
        raise BadMessage("a manifest is too long", expected=f"at most {MANIFEST_LIMIT} bytes")
    name = digest(SUBJECT, document)
    content = opened(SUBJECT, document, *roster.signers_of(slot.sender, name, pinned=name == pinned))
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in found["loc"][:2]) for found in error.errors()})
        raise BadMessage("a manifest is not read: fields are wrong", got=", ".join(fields)) from error
    if canonical(manifest.as_json()) != canonical(content):  # in Python True == 1 == 1.0
        raise BadMessage("a manifest is not read: a field is written in another form than ours")
    _belongs(manifest, run, slot)
    if me not in manifest.recipients:
        raise BadMessage(f"a message of {slot.sender} is not addressed to {me}")
    if manifest.tensors is not None and manifest.tensors.size > manifest.payload_size:
        raise BadMessage("a manifest names more numbers than its payload can hold")
    return manifest


def _belongs(manifest: Manifest, run: str, slot: Slot) -> None:
    """What the manifest says about its place must be where it lies: nothing is replayed elsewhere."""
    pairs = {
        "run": (run, manifest.run),
        "kind": (slot.kind, manifest.kind),
        "round": (slot.round, manifest.round),
        "sender": (slot.sender, manifest.sender),
    }
    for name, (expected, got) in pairs.items():
        if expected != got:
            raise BadMessage(
                f"a message lies in a place of another {name}",
                expected=str(expected),
                got=str(got)[:80],
                hint="It was copied there. Tell the centre",
            )
