"""The header of an age file (C2SP age.md, version 1): one random file key, wrapped for each X25519 recipient.

    age-encryption.org/v1
    -> X25519 <ephemeral share>          one stanza per recipient; stanzas of other types are skipped
    <file key under ChaCha20-Poly1305>
    --- <HMAC-SHA256 of everything before it>

Base64 is the canonical kind without padding. A reader takes the first stanza that its key opens, and believes the
header only when its HMAC, made with a key derived from the file key, agrees.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from contextlib import suppress

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from konsil.errors import BadMessage
from konsil.trust.buffered import Buffered

VERSION = b"age-encryption.org/v1"
LABEL = VERSION + b"/X25519"
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # bech32 (BIP 173)
KEY, FILE_KEY, COLUMNS = 32, 16, 64
LINE_LIMIT, HEADER_LIMIT = 1 << 10, 1 << 20  # bytes; a stanza takes 110, so thousands of recipients fit


def raw_key(text: str) -> bytes:
    """The 32 bytes in `age1…` or `AGE-SECRET-KEY-1…`, whose checksum pyrage has verified."""
    value = 0
    for letter in text.lower().rpartition("1")[2][:-6]:
        value = value << 5 | ALPHABET.index(letter)
    return (value >> 4).to_bytes(KEY, "big")


def derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869), 32 bytes."""
    return HKDF(SHA256(), KEY, salt, info).derive(secret)


def written(recipients: Sequence[bytes]) -> tuple[bytes, bytes]:
    """A header for the recipients' public keys, and the new file key inside."""
    file_key = os.urandom(FILE_KEY)
    head = b"".join([VERSION, b"\n", *(_stanza(file_key, recipient) for recipient in recipients), b"---"])
    mac = HMAC(derived(file_key, b"", b"header"), SHA256())
    mac.update(head)
    return head + b" " + _encoded(mac.finalize()) + b"\n", file_key


def opened(source: Buffered, private: Sequence[bytes]) -> bytes:
    """Read a header to its end and give its file key; `BadMessage` if it is for none of these keys, or not intact."""
    keys, file_key = [X25519PrivateKey.from_private_bytes(key) for key in private], None
    head = bytearray(source.take(len(VERSION) + 1))
    if head != VERSION + b"\n":
        raise BadMessage("a payload cannot be opened: it is not an age file", expected=VERSION.decode())
    while (line := source.line(LINE_LIMIT)).startswith(b"-> "):
        arguments, lines = line[3:-1].split(b" "), _body(source)
        head += line + b"".join(lines)
        if len(head) > HEADER_LIMIT:
            raise malformed()
        if file_key is None and arguments[0] == b"X25519":
            file_key = _unwrapped(keys, arguments[1:], _decoded(b"".join(part[:-1] for part in lines)))
    if not line.startswith(b"--- ") or head == VERSION + b"\n":
        raise malformed()
    if file_key is None:
        raise BadMessage("a payload cannot be opened: it was not sealed for this party's key")
    _verify(bytes(head) + b"---", _decoded(line[4:-1]), file_key)
    return file_key


def malformed() -> BadMessage:
    """The sentence for a header that breaks the specification."""
    return BadMessage("a payload cannot be opened: its header is not as age writes it", expected=VERSION.decode())


def _stanza(file_key: bytes, recipient: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    body = ChaCha20Poly1305(derived(shared, share + recipient, LABEL)).encrypt(bytes(12), file_key, None)
    return b"-> X25519 " + _encoded(share) + b"\n" + _encoded(body) + b"\n"


def _body(source: Buffered) -> list[bytes]:
    """The lines of a stanza's body: all full but the last, which may be empty."""
    lines = [source.line(COLUMNS + 1)]
    while len(lines[-1]) == COLUMNS + 1:
        if len(lines) > LINE_LIMIT:
            raise malformed()
        lines.append(source.line(COLUMNS + 1))
    return lines


def _unwrapped(keys: Sequence[X25519PrivateKey], arguments: list[bytes], body: bytes) -> bytes | None:
    """The file key of a stanza, or None if it is somebody else's."""
    if len(arguments) != 1 or len(share := _decoded(arguments[0])) != KEY or len(body) != FILE_KEY + 16:
        raise malformed()
    for key in keys:
        try:
            shared = key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as error:  # a share of low order
            raise malformed() from error
        wrapping = derived(shared, share + key.public_key().public_bytes_raw(), LABEL)
        with suppress(InvalidTag):
            return ChaCha20Poly1305(wrapping).decrypt(bytes(12), body, None)
    return None


def _verify(head: bytes, expected: bytes, file_key: bytes) -> None:
    mac = HMAC(derived(file_key, b"", b"header"), SHA256())
    mac.update(head)
    try:
        mac.verify(expected)
    except InvalidSignature as error:
        raise BadMessage("a payload cannot be opened: its header was changed after sealing") from error


def _encoded(content: bytes) -> bytes:
    return base64.b64encode(content).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    """Canonical base64 without padding; `BadMessage` for any other form."""
    try:
        content = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed() from error
    if _encoded(content) != text:
        raise malformed()
    return content
