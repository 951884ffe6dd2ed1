"""Coordinate-wise median: for every single weight the middle one of the sites' values.

Yin, Chen, Kannan, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates. ICML 2018,
definition 1:  w[j] = med { w_k[j] : k = 1 … n }, between two middle values their mean.

Every site counts the same, whatever its cases; of two sites the median is the mean, so it protects from three on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.federation.strategies.contribution import Contribution, Specs, Strategy
from konsil.federation.strategies.staging import staged
from konsil.types import Tensors


class RankRule(Strategy):
    """A rule that sorts the sites' values, weight by weight, and makes one of them. The files lie in `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """One model, shaped and typed as `specs` says. Raises Unusable, BadMessage."""
        made: dict[str, npt.NDArray[Any]] = {}
        with staged(contributions, specs, self.folder) as updates:
            for name, spec in specs.items():
                if not spec.is_averaged:
                    made[name] = updates.agreed(name)
                    continue
                flat = np.empty(spec.size, spec.dtype)
                for part, rows in updates.blocks(name):
                    flat[part] = self.middle(np.sort(np.ascontiguousarray(rows.T), axis=1))
                made[name] = flat.reshape(spec.shape)
        return made

    def middle(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """One value per row of `values` (elements, sites), whose rows ascend."""
        raise NotImplementedError


class Median(RankRule):
    """The middle value."""

    def middle(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The middle column, or the mean of the two."""
        count = values.shape[1]
        low = values[:, (count - 1) // 2].astype(np.float64)
        return low if count % 2 else np.asarray(low / 2 + values[:, count // 2].astype(np.float64) / 2)
