"""The outside of a payload: hashed while it is written, and while it is read compared with what was signed."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from konsil.errors import BadMessage
from konsil.federation.manifest import Manifest
from konsil.storage.store import Readable

BLOCK = 1 << 20


class HashingSink:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 so far, 64 hexadecimal digits."""
        return self._sha256.hexdigest()

    def write(self, content: bytes, /) -> int:
        """Take the next bytes."""
        self._sha256.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        """Nothing waits that matters."""


class SignedPayload:
    """A payload on its way in: never more bytes than were signed, and at the end exactly the bytes that were signed."""

    def __init__(self, stream: Readable, manifest: Manifest) -> None:
        self._stream, self._manifest = stream, manifest
        self._sha256, self._left = hashlib.sha256(), manifest.payload_size
        self._block = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes (a block if negative)."""
        if not len(self._block):
            block = self._stream.read(min(BLOCK, self._left + 1))
            self._sha256.update(block)
            self._left -= len(block)
            if self._left < 0:
                raise BadMessage("a payload is longer than its manifest says")
            self._block = memoryview(block)
        taken = self._block[: size if size >= 0 else None]
        self._block = self._block[len(taken) :]
        return bytes(taken)

    def close(self) -> None:
        """Read what is left, then compare size and hash."""
        while self.read(BLOCK):
            pass
        if self._left:
            raise BadMessage("a payload is shorter than its manifest says")
        if self._sha256.hexdigest() != self._manifest.payload_sha256:
            raise BadMessage("a payload is not the one that its manifest names: its hash differs")
