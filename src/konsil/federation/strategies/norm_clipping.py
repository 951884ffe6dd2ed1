"""Norm clipping: no site may move the model further than a given length; any other strategy follows.

Sun, Kairouz, Suresh, McMahan: Can You Really Backdoor Federated Learning? 2019 (arXiv:1911.07963), norm thresholding:

    Δ_k ← Δ_k / max(1, ‖Δ_k‖₂ / M)   with  Δ_k = w_k − x_t  and M the charter's `clip_norm`

The length is over all floating tensors together, in float64. The stream of an update is read twice: once for its
length, once, shortened and rounded to its dtype, for the strategy behind. What is short enough passes unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from konsil.federation.strategies.contribution import Chunk, Contribution, Reading, Specs, Strategy, Unusable
from konsil.types import Tensors


class NormClipping(Strategy):
    """Shortens what is longer than `limit` (> 0) and hands it to `inner`; `before` is the global model x_t."""

    def __init__(self, inner: Strategy, before: Tensors, limit: float) -> None:
        super().__init__()
        self.inner, self.before, self.limit = inner, before, limit

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """What `inner` makes of the shortened updates; `remarks` names the sites. Raises what `inner` raises."""
        clipped = [self._clipped(contribution, specs) for contribution in contributions]
        made = self.inner.combine(clipped, specs)
        self.memory = self.inner.memory
        for site, remark in self.inner.remarks.items():
            self.remarks[site] = f"{self.remarks[site]}; {remark}" if site in self.remarks else remark
        return made

    def _clipped(self, contribution: Contribution, specs: Specs) -> Contribution:
        length = self.length(contribution, specs)
        if length <= self.limit:
            return contribution
        self.remarks[contribution.site] = f"was shortened: its change had length {length:.6g}, allowed {self.limit:g}"
        opened = partial(self._shortened, contribution, specs, self.limit / length)
        return replace(contribution, open=opened)

    def length(self, contribution: Contribution, specs: Specs) -> float:
        """‖w_k − x_t‖₂ over the floating tensors. Raises Unusable, also where it is beyond all numbers."""
        total = 0.0
        with np.errstate(over="ignore"):
            for name, offset, chunk in Reading(contribution, specs).chunks():
                if specs[name].is_averaged:
                    total += float(np.square(chunk.astype(np.float64) - self._part(name, offset, chunk.size)).sum())
        if not math.isfinite(total):
            raise Unusable(contribution.site, "the update is too long to be measured", expected="a finite length")
        return math.sqrt(total)

    def _shortened(self, contribution: Contribution, specs: Specs, share: float) -> Iterator[Chunk]:
        for name, offset, chunk in contribution.open():
            if name in specs and specs[name].is_averaged and offset + chunk.size <= specs[name].size:
                before = self._part(name, offset, chunk.size)
                yield name, offset, (before + share * (chunk - before)).astype(chunk.dtype)
            else:
                yield name, offset, chunk

    def _part(self, name: str, offset: int, size: int) -> npt.NDArray[np.float64]:
        return np.asarray(self.before[name]).reshape(-1)[offset : offset + size].astype(np.float64)
