"""FedAvg: the mean of the sites' weights, each weighted by its training cases.

McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data. AISTATS 2017, algorithm 1:  w = Σ_k n_k / n · w_k  with  n = Σ_k n_k.

Sums are float64 and run in the order given (the charter's), so the result depends neither on who was first nor on how
the stream was cut; memory is one model in float64 plus a chunk, however many sites there are. Integers and truth values
(counters, indices) have no mean: they are taken from the first site, and a site that differs from it is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.federation.strategies.contribution import (
    Contribution,
    Reading,
    Specs,
    Strategy,
    Unusable,
    total_weight,
)
from konsil.types import Tensors


class FedAvg(Strategy):
    """Weighted mean of the updates."""

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """Average in one pass; shapes, dtypes and order of `specs`. Raises Unusable, BadMessage."""
        total_weight(contributions)
        sums = {name: np.zeros(spec.size) for name, spec in specs.items() if spec.is_averaged}
        same = {name: np.zeros(spec.size, spec.dtype) for name, spec in specs.items() if not spec.is_averaged}
        source: dict[str, str] = {}
        for contribution in contributions:
            for name, offset, chunk in Reading(contribution, specs).chunks():
                part = slice(offset, offset + chunk.size)
                if name in sums:
                    sums[name][part] += np.multiply(chunk, contribution.weight, dtype=np.float64)
                elif source.setdefault(name, contribution.site) == contribution.site:
                    same[name][part] = chunk
                elif not np.array_equal(same[name][part], chunk):
                    raise Unusable(
                        contribution.site, f"the whole numbers of tensor {name} differ from those of {source[name]}"
                    )
        weights = {name: sum(part.weight for part in contributions if part.holds(name)) for name in sums}
        return {
            name: (_mean(sums.pop(name), weights[name], spec.dtype) if name in sums else same[name]).reshape(spec.shape)
            for name, spec in specs.items()
        }


def _mean(summed: npt.NDArray[np.float64], total: int, dtype: str) -> npt.NDArray[Any]:
    """Σ / n in the model's dtype, rounded once; the sum's memory is free afterwards, so both never lie whole."""
    made = summed if np.dtype(dtype) == summed.dtype else np.empty(summed.shape, dtype)
    return np.divide(summed, total, out=made, casting="same_kind")
