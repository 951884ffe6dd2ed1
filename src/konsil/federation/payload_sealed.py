"""The outside of a payload: hashed while it is written, and while it is read compared with what was signed.

Hashing runs in a thread of its own beside encryption and decryption, which keep Python's lock: SHA-256 is a third of
what a payload costs, and needs no lock. At most two blocks wait for it, so memory stays constant.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO

from konsil.errors import BadMessage
from konsil.federation.manifest import Manifest
from konsil.storage.store import Readable
from konsil.trust.envelope import full_disk

BLOCK = 1 << 20
WAITING = 1  # blocks beside the one that is being hashed


class Hashing:
    """SHA-256 of blocks, in the order they are given, computed aside; a context manager that ends the thread.

    With `file`, each block is also written there. What goes wrong is raised by a later call.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._sha256, self._file = hashlib.sha256(), file
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="konsil-hash")
        self._waiting: deque[Future[None]] = deque()

    def update(self, block: bytes) -> None:
        """Take the next bytes, whose memory must not change any more."""
        self._waiting.append(self._aside.submit(self._do, block))
        if len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def hexdigest(self) -> str:
        """64 hexadecimal digits, once all that was given is done."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._sha256.hexdigest()

    def __enter__(self) -> Hashing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._aside.shutdown(cancel_futures=True)

    def _do(self, block: bytes) -> None:
        self._sha256.update(block)
        try:
            if self._file is not None:
                self._file.write(block)
        except OSError as error:
            raise full_disk() from error


class HashingSink:
    """Gathers what is written to it into blocks for `hashing`; `close` hands on the last."""

    def __init__(self, hashing: Hashing) -> None:
        self._hashing, self._block = hashing, bytearray()

    def write(self, content: bytes, /) -> int:
        """Take the next bytes."""
        self._block += content
        if len(self._block) >= BLOCK:
            self.close()
        return len(content)

    def flush(self) -> None:
        """Nothing waits that matters."""

    def close(self) -> None:
        """Hand on what was gathered."""
        self._hashing.update(bytes(self._block))
        self._block.clear()


class SignedPayload:
    """A payload on its way in: never more bytes than were signed, and at the end exactly the bytes that were signed."""

    def __init__(self, stream: Readable, manifest: Manifest, hashing: Hashing) -> None:
        self._stream, self._manifest = stream, manifest
        self._sha256, self._left = hashing, manifest.payload_size
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
