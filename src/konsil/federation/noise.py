"""A site's update, shortened and noised before it leaves (`konsil.federation.privacy` says what for).

The noise comes from the stream of a cipher, not from an ordinary generator: an update has numbers that hardly change
(a bias before a normalisation layer), and from the noise that these show, the state of an ordinary generator, and with
it all other noise, could be computed.
"""

from __future__ import annotations

import math
import secrets
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from konsil.errors import Refused
from konsil.federation.privacy import Privacy
from konsil.federation.strategies.site_rule import CONTROL
from konsil.types import Tensors


class Noise:
    """Standard normal numbers: Box and Muller (1958) on the stream of ChaCha20. `key` (32 bytes) is for tests only."""

    def __init__(self, key: bytes | None = None) -> None:
        chosen = secrets.token_bytes(32) if key is None else key
        self._stream = Cipher(algorithms.ChaCha20(chosen, bytes(16)), mode=None).encryptor()

    def normal(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Independent draws, float64, of this shape."""
        size = math.prod(shape)
        pairs = (size + 1) // 2
        bits = np.frombuffer(self._stream.update(bytes(16 * pairs)), "<u8").reshape(2, pairs)
        uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # inside (0, 1)
        radius, angle = np.sqrt(-2 * np.log(uniform[0])), 2 * np.pi * uniform[1]
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size].reshape(shape)


def protected(sent: Tensors, base: Tensors, privacy: Privacy, noise: Noise) -> tuple[Tensors, float]:
    """The update to post, and the length its change had before (for the site's own log only).

    `base` is the global message. Lengths are over all tensors together, float64. Refused for whole numbers, which
    cannot be noised, and where the length is not finite.
    """
    changes: dict[str, npt.NDArray[np.float64]] = {}
    for name, array in sent.items():
        if array.dtype.kind != "f" or name.startswith(CONTROL):
            raise Refused(f"The tensor {name} cannot be sent with noise", expected="floating weights only")
        changes[name] = array.astype(np.float64) - base[name].astype(np.float64)
    length = math.sqrt(sum(float(np.square(change).sum()) for change in changes.values()))
    if not math.isfinite(length):
        raise Refused("training made numbers that are not finite", hint="Lower the learning rate")
    share = 1.0 if length <= privacy.clip_norm else privacy.clip_norm / length
    made: dict[str, npt.NDArray[Any]] = {}
    for name, change in changes.items():
        noised = base[name].astype(np.float64) + share * change + privacy.sigma * noise.normal(change.shape)
        made[name] = noised.astype(sent[name].dtype)
    return made, length
