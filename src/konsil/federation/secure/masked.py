"""A site's update under its masks: what is posted in place of the weights."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.errors import Refused
from konsil.federation.secure.keys import SEED, RoundKeys
from konsil.federation.secure.masks import BLOCK, Masks, MaskStream
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.secure.shares import DIGEST, row_length, shared
from konsil.federation.strategies.contribution import Spec, Specs
from konsil.types import Tensors

SHARES, COMMITMENTS = "masked/shares", "masked/commitments"


def masked_specs(specs: Specs, size: int) -> dict[str, Spec]:
    """What a masked update of these tensors looks like on the wire, in a group of `size` sites."""
    numbers = {name: Spec(spec.shape, "uint32") if spec.is_averaged else spec for name, spec in specs.items()}
    rows, promised = (size, row_length(size)), (size + 1, size, DIGEST)
    return {SHARES: Spec(rows, "uint8"), COMMITMENTS: Spec(promised, "uint8"), **numbers}


@dataclass(frozen=True)
class Masker:
    """A site's part in one round. `threshold` sites can open what it shares."""

    keys: RoundKeys
    ring: FixedPoint
    threshold: int

    def masked(self, sent: Tensors, base: MutableMapping[str, npt.NDArray[Any]], cases: int) -> Tensors:
        """The tensors to post for the trained weights `sent`; `base` is the global message the round started from.

        `base` is used up, tensor by tensor, so that what is made takes its place in memory. Drawn anew by every call:
        an update must be made once and kept. Refused if a number is not finite.
        """
        made: dict[str, npt.NDArray[Any]] = {}
        own, group = secrets.token_bytes(SEED), self.keys.group
        seeds = [own if name == self.keys.me else self.keys.seed(name) for name in group.names]
        signs = [1 if name == self.keys.me else group.sign(self.keys.me, name) for name in group.names]
        masks = Masks(
            (MaskStream(seed, group.run, self.keys.number), sign) for seed, sign in zip(seeds, signs, strict=True)
        )
        for name in list(base):
            array = base.pop(name)
            made[name] = self._hidden(name, sent[name], array, cases, masks) if array.dtype.kind == "f" else sent[name]
        rows, commitments = shared(seeds, self.threshold, self.keys)
        return {SHARES: rows, COMMITMENTS: commitments, **made}

    def cut_off(self, sent: Tensors, base: Tensors) -> int:
        """How many weights changed by more than the range."""
        floats = [name for name, array in base.items() if array.dtype.kind == "f"]
        changes = (change for name in floats for _, change in _changes(sent[name], base[name]))
        return sum(int((np.abs(change, out=change) > self.ring.clip_range).sum()) for change in changes)

    def _hidden(self, name: str, sent: Any, base: Any, cases: int, masks: Masks) -> npt.NDArray[np.uint32]:
        """One tensor in the ring, under the masks; encoded in blocks, because float64 takes twice its memory."""
        made = np.empty(base.shape, np.uint32)
        flat = made.reshape(-1)
        for part, change in _changes(sent, base):
            if not np.isfinite(change).all():
                raise Refused(f"training made numbers in {name} that are not finite", hint="Lower the learning rate")
            flat[part] = self.ring.encoded(change, cases)
            masks.apply(flat[part])
        return made


def _changes(sent: Any, base: Any) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """The change of every weight in C order, block by block, and where each block lies."""
    after, before = np.reshape(sent, -1), np.reshape(base, -1)
    for begin in range(0, before.size, BLOCK):
        part = slice(begin, begin + BLOCK)
        yield part, np.subtract(after[part], before[part], dtype=np.float64)
