"""The numbers that hide an update: a stream of ChaCha20 per seed, added or taken off modulo 2^32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
        self._buffer = bytearray(4 * BLOCK)

    def take(self, count: int) -> npt.NDArray[np.uint32]:
        """The next `count` numbers, at most BLOCK; good until the next call."""
        self._cipher.update_into(memoryview(ZEROS)[: 4 * count], self._buffer)
        return np.frombuffer(self._buffer, "<u4", count)


def apply_mask(numbers: Mapping[str, npt.NDArray[Any]], stream: MaskStream, sign: int) -> None:
    """Add (`sign` 1) or take off (−1) one mask, in place, over all arrays of uint32 in their order."""
    work = np.add if sign > 0 else np.subtract
    for array in numbers.values():
        flat = array.reshape(-1)
        for begin in range(0, flat.size, BLOCK):
            part = flat[begin : begin + BLOCK]
            work(part, stream.take(part.size), out=part)


def apply_masks(numbers: Mapping[str, npt.NDArray[Any]], masks: Iterable[tuple[MaskStream, int]]) -> None:
    """The same for several masks with their signs, one after the other: no memory beyond a block."""
    for stream, sign in masks:
        apply_mask(numbers, stream, sign)
