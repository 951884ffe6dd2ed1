"""Coordinate-wise trimmed mean: for every single weight the mean without the smallest and the largest values.

Yin, Chen, Kannan, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates. ICML 2018,
definition 2:  w[j] = 1 / (n − 2b) Σ of the values that are left without the b largest and the b smallest.

The paper's share β is b / n; the charter names b (`trim`), the wrong sites that are tolerated. Every
site counts the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.errors import BadMessage
from konsil.federation.strategies.contribution import Contribution, Specs
from konsil.federation.strategies.median import RankRule
from konsil.types import Tensors


class TrimmedMean(RankRule):
    """Mean of the values in the middle; `trim` ≥ 1 values go on either side."""

    def __init__(self, trim: int, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.trim = trim

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """As every rank rule; BadMessage where nothing would be left."""
        if len(contributions) <= 2 * self.trim:
            expected = f"more than {2 * self.trim}, or nothing is left after trimming {self.trim} on either side"
            raise BadMessage(
                "These updates are too few for a trimmed mean", expected=expected, got=str(len(contributions))
            )
        return super().combine(contributions, specs)

    def middle(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The mean of the middle columns, summed from the smallest on."""
        kept = values[:, self.trim : values.shape[1] - self.trim]
        total = np.zeros(len(values))
        for column in kept.T:
            total += column
        return np.asarray(total / kept.shape[1])
