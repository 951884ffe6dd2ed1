"""Mutual information: how well one image predicts the other, whatever their contrasts. In nats; more is better.

After Mattes et al. (IEEE TMI 2003): the joint histogram has hard bins for the fixed image and cubic B-spline windows
for the moving one, so it changes smoothly with the movement and its slope is exact. The fixed image is read at points
that are scattered within small cells, the same for every call: a fixed seed, one thread, the same result.

Mutual information is robust far from the answer but not unbiased at it: a smooth brightness error of the coil pulls it
by some tenths of a millimetre (measured: docs/quality.md). So it leads to the answer, and
`konsil.registration.patches` finishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.registration.interpolation import Floats, read
from konsil.registration.motion import Matrix

BINS = 32
SEED = 7
RANGE_PERCENTILES = (0.5, 99.5)  # within the brain and its rim; what lies beyond counts as the end of the range


@dataclass(frozen=True)
class Information:
    """Mutual information at `points` (3, N; RAS mm of the fixed image), whose fixed bins are `bins` (N,)."""

    points: Floats
    bins: npt.NDArray[np.intp]
    moving: Volume
    low: float
    high: float

    def evaluate(self, movement: Matrix) -> tuple[float, Floats]:
        """Information in nats and its slope by each moved point (3, N), per mm."""
        inverse = np.linalg.inv(self.moving.affine)
        to_index = inverse @ movement
        reading = read(self.moving.data, to_index[:3, :3] @ self.points + to_index[:3, 3:])
        scale = (BINS - 3) / (self.high - self.low)
        place = np.clip((reading.values - self.low) * scale, 0, BINS - 3) + 1
        cell = np.minimum(np.floor(place), BINS - 3).astype(np.intp)
        weights, changes = windows(place - cell)
        first = self.bins * BINS + cell - 1
        counts = [np.bincount(first + k, weights[k] * reading.inside, BINS * BINS) for k in range(4)]
        total = max(1.0, float(reading.inside.sum()))
        joint = np.sum(counts, axis=0).reshape(BINS, BINS) / total + 1e-12
        told = np.log(joint / joint.sum(axis=0))
        value = float((joint * (told - np.log(joint.sum(axis=1, keepdims=True)))).sum())
        within = reading.inside & (reading.values > self.low) & (reading.values < self.high)
        gain = np.sum([told.reshape(-1)[first + k] * changes[k] for k in range(4)], axis=0)
        return value, (inverse[:3, :3].T @ reading.slopes) * (gain * within * (scale / total))


def windows(t: Floats) -> tuple[list[Floats], list[Floats]]:
    """The four cubic B-spline windows that reach a place `t` (0 to 1) of the way through its cell, and their slopes."""
    weights: list[Floats] = [
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    ]
    changes: list[Floats] = [-((1 - t) ** 2) / 2, (3 * t**2 - 4 * t) / 2, (-3 * t**2 + 2 * t + 1) / 2, t**2 / 2]
    return weights, changes


def information(fixed: Volume, moving: Volume, cells: Volume, moving_cells: Volume, *, per_cell: int) -> Information:
    """The criterion over `per_cell` scattered points in every true voxel of `cells` (a coarse mask of the fixed image).

    `moving_cells` is a coarse mask of the moving image: its values there set the range of the bins.
    """
    points = scattered(cells, per_cell)
    inverse = np.linalg.inv(fixed.affine)
    reading = read(fixed.data, inverse[:3, :3] @ points + inverse[:3, 3:])
    values = reading.values[reading.inside]
    low, high = spread(values)
    bins = np.clip((values - low) / (high - low) * BINS, 0, BINS - 1).astype(np.intp)
    inverse = np.linalg.inv(moving.affine)
    there = read(moving.data, inverse[:3, :3] @ (scattered(moving_cells, 1)) + inverse[:3, 3:])
    return Information(points[:, reading.inside], bins, moving, *spread(there.values[there.inside]))


def scattered(cells: Volume, per_cell: int) -> npt.NDArray[np.float64]:
    """`per_cell` points at random places in every true voxel, in memory order; (3, N), RAS mm."""
    chance = np.random.default_rng(SEED)
    corners = np.argwhere(cells.data).repeat(per_cell, axis=0)
    index = corners + chance.random(corners.shape) - 0.5
    points: npt.NDArray[np.float64] = cells.affine[:3, :3] @ index.T + cells.affine[:3, 3:]
    return points


def spread(values: npt.NDArray[Any]) -> tuple[float, float]:
    """The range of values that the bins cover; never empty."""
    low, high = np.percentile(values, RANGE_PERCENTILES)
    return float(low), float(max(high, low + 1e-3 * abs(low) + 1e-6))
