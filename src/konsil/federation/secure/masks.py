"""The numbers that hide an update: a stream of ChaCha20 per seed, added or taken off modulo 2^32."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from konsil.federation.secure.keys import expanded

BLOCK = 1 << 16
"""Numbers that are made at a time: 256 KiB, so that mask and masked stay in the processor's cache."""
ZEROS = bytes(4 * BLOCK)


class MaskStream:
    """M(seed) of one round: 32-bit numbers, uniform to whoever does not have the seed (16 bytes)."""

    def __init__(self, seed: bytes, run: str, number: int) -> None:
        key = expanded(seed, f"konsil-mask/1 {run} {number:04d}")
        self._cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()

    def take(self, count: int, into: bytearray | None = None) -> npt.NDArray[np.uint32]:
        """The next `count` numbers, at most BLOCK; made in `into` (4 · BLOCK bytes), or in memory of their own."""
        buffer = bytearray(4 * BLOCK) if into is None else into
        self._cipher.update_into(memoryview(ZEROS)[: 4 * count], buffer)
        return np.frombuffer(buffer, "<u4", count)


class Masks:
    """Several masks with their signs (1 adds, −1 takes off), over arrays that come one after the other."""

    def __init__(self, masks: Iterable[tuple[MaskStream, int]]) -> None:
        self._masks, self._buffer = list(masks), bytearray(4 * BLOCK)

    def apply(self, numbers: npt.NDArray[np.uint32]) -> None:
        """Put all masks on the next numbers, one-dimensional, in place: no memory beyond a block."""
        for begin in range(0, numbers.size, BLOCK):
            part = numbers[begin : begin + BLOCK]
            for stream, sign in self._masks:
                (np.add if sign > 0 else np.subtract)(part, stream.take(part.size, self._buffer), out=part)
