"""Sealed payloads: the published age format (C2SP age.md, v1), X25519 recipients, in constant memory.

age wraps one random file key for each recipient and cuts the content into authenticated chunks of 64 KiB, so a missing
end, a changed byte and bytes after the end are refused. It does not say who wrote a file and has no place for "this is
round 3 of that run": the signed manifest beside the payload binds both (docs/formats/federation.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from konsil.errors import BadMessage, Unavailable
from konsil.trust.age_header import derived, opened, raw_key, written
from konsil.trust.buffered import Buffered, Source
from konsil.trust.identity import Identity

CHUNK, TAG, NONCE = 1 << 16, 16, 16  # bytes


class Sink(Protocol):
    """Where bytes go to."""

    def write(self, content: bytes | memoryview, /) -> int:
        """Take all of `content`, whose memory is used again afterwards."""


def seal(source: Source, sink: Sink, recipients: Sequence[str]) -> None:
    """Encrypt `source` into `sink` for every age recipient (`age1…`). A stranger sees their number only.

    `Unavailable` if the sink does not take it.
    """
    head, file_key = written([raw_key(text) for text in recipients])
    nonce, content = os.urandom(NONCE), Buffered(source)
    cipher, sealed = ChaCha20Poly1305(derived(file_key, nonce, b"payload")), bytearray(CHUNK + TAG)
    try:
        sink.write(head + nonce)
        for number in count():
            chunk = content.take(CHUNK)
            last = content.has_ended()
            size = cipher.encrypt_into(_nonce(number, last=last), chunk, None, _room(sealed, len(chunk) + TAG))
            sink.write(memoryview(sealed)[:size])
            if last:
                return
    except OSError as error:
        raise Unavailable("a payload could not be written to this computer's disk", hint="Is it full?") from error


def unseal(source: Source, sink: Sink, identity: Identity) -> None:
    """Decrypt `source` into `sink`; `BadMessage` if it is not an intact age file for a key of this identity.

    Chunks reach the sink as soon as each is authenticated, so what came before a failure must be thrown away by the
    caller; the sink must not keep a chunk's memory. Errors of `source` and `sink` pass through unchanged.
    """
    content = Buffered(source)
    file_key = opened(content, [raw_key(str(key)) for key in identity.openers])
    nonce = content.take(NONCE)
    if len(nonce) < NONCE:
        raise cut()
    cipher, plain = ChaCha20Poly1305(derived(file_key, nonce, b"payload")), bytearray(CHUNK)
    for number in count():
        chunk = content.take(CHUNK + TAG)
        last = content.has_ended()
        if len(chunk) < TAG or (number and len(chunk) == TAG):  # only an empty content has an empty chunk
            raise cut()
        try:
            size = cipher.decrypt_into(_nonce(number, last=last), chunk, None, _room(plain, len(chunk) - TAG))
        except InvalidTag as error:
            raise _explained(cipher, number, chunk, last=last) from error
        sink.write(memoryview(plain)[:size])
        if last:
            return


def _room(buffer: bytearray, size: int) -> memoryview:
    return memoryview(buffer)[:size]


def _nonce(number: int, *, last: bool) -> bytes:
    """Counter of 11 bytes and a flag for the last chunk, so that a missing end shows."""
    return number.to_bytes(11, "big") + bytes([last])


def _explained(cipher: ChaCha20Poly1305, number: int, chunk: bytes, *, last: bool) -> BadMessage:
    """Whether a chunk that is not authentic would be so elsewhere: then the end is missing, or something follows it."""
    try:
        cipher.decrypt(_nonce(number, last=not last), chunk, None)
    except InvalidTag:
        return BadMessage("a payload cannot be opened: bytes were changed, missing or added after sealing")
    return cut() if last else BadMessage("a payload cannot be opened: bytes follow its end")


def cut() -> BadMessage:
    """The sentence for a file that ends early."""
    return BadMessage("a payload cannot be opened: its end is missing", hint="Ask the sender to post it again")
