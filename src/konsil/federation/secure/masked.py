"""A site's update under its masks: what is posted in place of the weights."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.errors import Refused
from konsil.federation.secure.keys import SEED, RoundKeys
from konsil.federation.secure.masks import MaskStream, apply_masks
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
        numbers: dict[str, npt.NDArray[Any]] = {}
        for name in list(base):
            array = base.pop(name)
            if array.dtype.kind == "f":
                made[name] = numbers[name] = self._encoded(name, sent[name], array, cases)
            else:
                made[name] = sent[name]
        own, group = secrets.token_bytes(SEED), self.keys.group
        seeds = [own if name == self.keys.me else self.keys.seed(name) for name in group.names]
        signs = [1 if name == self.keys.me else group.sign(self.keys.me, name) for name in group.names]
        masks = ((MaskStream(seed, group.run, self.keys.number), sign) for seed, sign in zip(seeds, signs, strict=True))
        apply_masks(numbers, masks)
        rows, commitments = shared(seeds, self.threshold, self.keys)
        return {SHARES: rows, COMMITMENTS: commitments, **made}

    def cut_off(self, sent: Tensors, base: Tensors) -> int:
        """How many weights changed by more than the range."""
        floats = [name for name, array in base.items() if array.dtype.kind == "f"]
        return sum(int((np.abs(_change(sent[name], base[name])) > self.ring.clip_range).sum()) for name in floats)

    def _encoded(self, name: str, sent: Any, base: Any, cases: int) -> npt.NDArray[np.uint32]:
        change = _change(sent, base)
        if not np.isfinite(change).all():
            raise Refused(f"training made numbers in {name} that are not finite", hint="Lower the learning rate")
        return self.ring.encoded(change, cases)


def _change(sent: Any, base: Any) -> npt.NDArray[np.float64]:
    change = np.asarray(sent, np.float64) - base
    return np.asarray(change)
