"""Intensity non-uniformity (INU): the same tissue is brighter near the coil than far from it.

The same tissue is white matter: it reaches from front to back and from side to side, and away from lesions it is
equally bright. A parabola in three dimensions (10 coefficients) is fitted to its brightness, and refitted without the
voxels that lie far off, such as lesions and vessels. MRIQC takes the field of N4 (Tustison et al., IEEE TMI 2010)
instead; within the few iterations that a check of every case can afford, N4 took grey matter around white matter for
unevenness: on T1w phantoms its range did not follow what was planted, and the parabola's did (bench/quality.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

FEWEST = 500  # voxels of white matter
ROUNDS = 6
FAR = 2.5  # robust standard deviations from the parabola
NORMAL_MAD = 0.6745  # median of |x| for a standard normal x
LEAST, MOST = 0.4, 2.5  # the parabola is not believed further than this outside white matter


@dataclass(frozen=True)
class Field:
    """A parabola over the box from `low` to `high` (RAS mm); its median over white matter is 1."""

    low: Values
    high: Values
    weights: Values

    def at(self, points: Values) -> Values:
        """The factor at points (N, 3; RAS mm), (N,); between LEAST and MOST."""
        factor: Values = np.clip(terms(points, self.low, self.high) @ self.weights, LEAST, MOST)
        return factor


def terms(points: Values, low: Values, high: Values) -> Values:
    """1, x, y, z and their six products at points (N, 3), the box scaled to -1 ... 1; (N, 10)."""
    unit = 2 * (points - low) / (high - low) - 1
    x, y, z = unit.T
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=1)


def fit_field(values: Values, points: Values) -> Field | None:
    """The unevenness of white matter from its brightness (N,) at points (N, 3; RAS mm).

    Least squares, repeated without what lies FAR from the last fit. None with fewer than FEWEST voxels, or if they are
    not bright or fill no volume.
    """
    if values.size < FEWEST or float(np.median(values)) <= 0 or float(np.ptp(points, axis=0).min()) <= 0:
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    known = terms(points, low, high)
    kept = np.abs(values - np.median(values)) <= 2 * FAR * spread(values)
    for _ in range(ROUNDS):
        rows = known[kept]
        weights = np.linalg.lstsq(rows.T @ rows, rows.T @ values[kept], rcond=None)[0].astype(np.float64)
        rest = values - known @ weights
        kept = np.abs(rest - np.median(rest[kept])) <= FAR * spread(rest[kept])
    middle = float(np.median(known @ weights))
    return Field(low, high, weights / middle) if middle > 0 else None


def spread(values: Values) -> float:
    """Robust standard deviation: median absolute deviation / 0.6745; never quite 0."""
    return float(np.median(np.abs(values - np.median(values))) / NORMAL_MAD) + 1e-9


def inu_range(factors: Values) -> float:
    """Range of the field from its 5th to its 95th percentile over white matter: 0 = even; less is better; no unit.

    0.3 means: the bright parts are brighter than the dark ones by 30 % of the median. `inu_range` of MRIQC, from
    another field and over white matter instead of the brain.
    """
    low, high = np.percentile(factors, [5.0, 95.0])
    return float(high - low)
