"""Quantiles of data that nobody may collect: each site tells its own at 1001 ranks, the centre inverts their mixture.

A site's summary is the order statistics at ranks 0, 1/1000, … 1 of what it drew; between two of them its distribution
function is taken to be straight, which is wrong by less than 1/1000 of its draws. The distribution function of all
sites together is the mean of theirs, weighted by draws, so it is wrong by less than 1/1000 too (a tenth of a per cent
in rank), whatever the values look like and however they were divided. Sums are made in the order of size, so the order
of the sites does not change a bit. An average of percentiles has none of these properties. Decision 023 says why this
and not a randomised sketch (KLL) or one with bins (DDSketch).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
STEPS = 1000
POINTS = STEPS + 1


def summary(values: npt.NDArray[np.floating]) -> list[float]:
    """The order statistics of finite values of any shape at ranks 0, 1/1000, … 1: 1001 numbers, sorted."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    places = np.rint(np.linspace(0, len(ordered) - 1, POINTS)).astype(int)
    return [float(value) for value in ordered[places]]


def quantile(parts: Sequence[tuple[float, Sequence[float]]], q: float) -> float:
    """The value below which the share `q` (0 to 1) of all data lies; `parts` are pairs of weight and summary."""
    weights = np.array([weight for weight, _ in parts], dtype=np.float64)
    points = np.unique(np.concatenate([np.asarray(part, dtype=np.float64) for _, part in parts]))
    below, upto = (
        mixture(weights, [shares(np.asarray(part, dtype=np.float64), points, side) for _, part in parts])
        for side in (True, False)
    )
    ranks = np.stack([below, upto], axis=1).ravel()  # at a value that occurs often the function jumps
    return float(np.interp(q, np.maximum.accumulate(ranks), np.repeat(points, 2)))


def shares(part: Floats, points: Floats, below: bool) -> Floats:
    """The share of one site's data below (or up to) each of the points, straight between its order statistics."""
    known = np.searchsorted(part, points, side="left" if below else "right")
    inside = (known > 0) & (known < POINTS)
    left, right = part[np.clip(known, 1, STEPS) - 1], part[np.clip(known, 1, STEPS)]
    part_way = np.divide(points - left, right - left, out=np.zeros_like(points), where=inside & (right > left))
    return np.where(inside, (known - 1 + part_way) / STEPS, np.where(known > 0, 1.0, 0.0))


def mixture(weights: Floats, functions: Sequence[Floats]) -> Floats:
    """The weighted mean of the sites' distribution functions; the order of the sites does not matter."""
    terms = np.sort(np.stack(functions) * weights[:, None], axis=0)
    return np.asarray(terms.sum(axis=0) / np.sort(weights).sum(), dtype=np.float64)
