"""A signed document: what was said, by whom, and about which subject, in three parts that are checked in this order.

    konsil-<subject>/1\\n              first line: subject and version of the format
    <base64 of 64 bytes>\\n            second line: Ed25519 signature (RFC 8032) over the first line and the rest
    {...}                             the rest: one JSON object in canonical form, no byte after it

The first line is signed too, so a document of one subject is never taken for another. Nothing behind the second line is
parsed before the signature was verified. The digest of a document is the SHA-256 of what was signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from konsil.errors import BadMessage
from konsil.trust.canonical import canonical, parsed
from konsil.trust.identity import Identity
from konsil.types import Json

VERSION = 1
SIGNATURE_LENGTH = 88  # base64 of 64 bytes


def sign(subject: str, content: Json, identity: Identity) -> bytes:
    """The signed document with `content` about `subject`."""
    head, body = first_line(subject), canonical(content)
    return head + base64.b64encode(identity.sign(head + body)) + b"\n" + body


class WrongSigner(BadMessage):
    """A document whose signature is by none of the keys that its sender may use."""


def opened(subject: str, document: bytes, *signing_keys: str) -> Json:
    """The content of a document, after checking version, subject and signature; `BadMessage` otherwise.

    `signing_keys`: base64 of the Ed25519 public keys of which one must have signed, known beforehand and never taken
    from the document. A signature by none of them is `WrongSigner`.
    """
    head, signature, body = _parts(subject, document)
    if not any(_fits(signature, head + body, key) for key in signing_keys):
        raise WrongSigner(
            f"a {subject} is not read: its signature is not that of its sender",
            hint="It was changed on the way, or somebody else wrote it. Tell the centre",
        )
    return parsed(body, f"a {subject}")


def claimed(subject: str, document: bytes) -> Json:
    """What a document says, its signature not looked at: only good for finding the key to open it with."""
    return parsed(_parts(subject, document)[2], f"a {subject}")


def _fits(signature: bytes, content: bytes, key: str) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(raw, content)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def digest(subject: str, document: bytes) -> str:
    """SHA-256, 64 hexadecimal digits, of the signed bytes: the first line and the JSON, without the signature."""
    head, _, body = _parts(subject, document)
    return hashlib.sha256(head + body).hexdigest()


def first_line(subject: str) -> bytes:
    """The line that names subject and version."""
    return f"konsil-{subject}/{VERSION}\n".encode()


def _parts(subject: str, document: bytes) -> tuple[bytes, bytes, bytes]:
    """First line, signature, JSON; nothing of it is believed yet."""
    head = first_line(subject)
    if not document.startswith(head):
        raise BadMessage(
            f"a {subject} is not read: unknown format or version",
            expected=head.decode().strip(),
            hint="The sender may use a newer Konsil; install the same version",
        )
    rest = document[len(head) :]
    if rest[SIGNATURE_LENGTH : SIGNATURE_LENGTH + 1] != b"\n":
        raise BadMessage(f"a {subject} is not read: its signature line is damaged", expected="88 base64 characters")
    return head, rest[:SIGNATURE_LENGTH], rest[SIGNATURE_LENGTH + 1 :]
