"""Fixed point in the ring of 2^32: how a change of a weight becomes a whole number, and a sum of them a mean again.

    u = round(n · clip(d, −R, R) · S) mod 2^32          S = the largest power of two with C · R · S ≤ 2^30

n are a site's training cases, C those of all sites. A sum over the sites U lies within ±(C_U R S + |U|), so half of the
ring stays free, and a sum with wrong masks lies outside with one half for every number. The error of the mean is
at most |U| / (2 S C_U).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.uint32]
Real = npt.NDArray[np.float64]
TOP = 2.0**30


@dataclass(frozen=True)
class FixedPoint:
    """`cases`: training cases of all sites of the run (C); `clip_range`: R, in units of the weights."""

    cases: int
    clip_range: float

    @property
    def scale(self) -> float:
        """S, a power of two."""
        return math.ldexp(1.0, math.frexp(TOP / (self.cases * self.clip_range))[1] - 1)

    def encoded(self, change: Real, cases: int) -> Ring:
        """A site's changes, float64 and finite, times its training cases, of the same shape."""
        scaled = np.clip(change.reshape(-1), -self.clip_range, self.clip_range)
        scaled *= cases * self.scale
        np.rint(scaled, out=scaled)
        return scaled.astype(np.int64).astype(np.uint32).reshape(change.shape)

    def mean(self, summed: Ring, cases: int) -> Real:
        """The mean of the changes, weighted by cases, from an opened sum over sites with `cases` in all."""
        return summed.view(np.int32) / (cases * self.scale)

    def holds(self, summed: Ring, cases: int, sites: int) -> bool:
        """Whether every number of an opened sum is one that clipped changes can give."""
        limit = cases * self.clip_range * self.scale + sites
        signed = summed.view(np.int32)
        return not signed.size or bool(-limit <= int(signed.min()) and int(signed.max()) <= limit)
