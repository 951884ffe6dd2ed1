"""Do the two images show one head? A registration always ends somewhere; this looks at where it ended.

After the rigid movement every patch of the brain of one person fits best where it is. In two people the folds lie
elsewhere: moved by a few millimetres in some direction, each patch fits better, and each wants another direction. So
every patch is tried at all places of a small cube around its own, and two numbers come out:

same_person_score   the share of patches, weighted by how well they fit at their best, that fit best where they are
                    (within NEAR of a step). 0 to 1, higher = one person. Needs no reference, depends little on noise.
residual_mm         the median distance to the best place, mm; lower is better. What is left after a rigid movement.

Measured on synthetic and public images: docs/quality.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.registration.motion import Matrix
from konsil.registration.patches import Patches, patches

COUNT = 300  # patches
POINT_STEP_MM, POINT_STEP_VOXELS = 3.5, 1.5  # between the points of a patch, the larger of the two: 14 mm wide and more
REACH = 2  # places tried on either side along each axis
PLACE_STEP_MM = (2.0, 3.0)  # between them: the voxel size, held within this range
NEAR = 0.75  # steps from its own place, after interpolation between the places tried


@dataclass(frozen=True)
class Agreement:
    """`same_person_score` 0 to 1, `residual_mm` from 0, `patches`: how many were compared."""

    same_person_score: float
    residual_mm: float
    patches: int


def agree(fixed: Volume, moving: Volume, cells: Volume, movement: Matrix) -> Agreement:
    """Look at both images, about 2 mm coarse, under a found movement (4 x 4, fixed to moving RAS mm)."""
    voxel_mm = float(np.cbrt(1000 * max(fixed.voxel_ml, moving.voxel_ml)))
    step_mm = float(np.clip(voxel_mm, *PLACE_STEP_MM))
    compared = patches(fixed, moving, cells, COUNT, max(POINT_STEP_MM, POINT_STEP_VOXELS * voxel_mm))
    fits = tried(compared, movement, step_mm)
    weights = fits.reshape(len(fits), -1).max(axis=1)
    steps = np.sqrt((best_places(fits) ** 2).sum(axis=1))
    score = float((weights * (steps < NEAR)).sum() / max(1e-9, weights.sum()))
    return Agreement(score, weighted_median(steps, weights) * step_mm, len(steps))


def tried(compared: Patches, movement: Matrix, step_mm: float) -> npt.NDArray[np.float64]:
    """The squared correlation of every patch at every place: (P, n, n, n) with n = 2 REACH + 1."""
    places = np.arange(-REACH, REACH + 1) * step_mm
    rows = []
    for shift in product(places, repeat=3):
        shifted = movement.copy()
        shifted[:3, 3] += shift
        rows.append(compared.correlations(shifted))
    return np.stack(rows, axis=1).reshape(-1, len(places), len(places), len(places))


def best_places(fits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where each patch fits best relative to its own place, (P, 3) in steps; refined by a parabola along each axis."""
    size = fits.shape[1]
    best = np.stack(np.unravel_index(fits.reshape(len(fits), -1).argmax(axis=1), fits.shape[1:]), axis=1)
    rows = np.arange(len(fits))
    away: npt.NDArray[np.float64] = (best - size // 2).astype(np.float64)
    for axis in range(3):
        before, after = best.copy(), best.copy()
        before[:, axis], after[:, axis] = best[:, axis] - 1, best[:, axis] + 1
        inner = (before[:, axis] >= 0) & (after[:, axis] < size)
        a, b, c = (fits[(rows, *np.clip(at, 0, size - 1).T)] for at in (before, best, after))
        bend = a - 2 * b + c
        away[:, axis] += np.where(inner & (bend < -1e-9), (a - c) / np.where(bend < -1e-9, 2 * bend, 1.0), 0.0)
    return away


def weighted_median(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    """The value at which half of the weight is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
