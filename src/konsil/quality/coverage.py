"""Geometry: is the whole brain in the picture, how large are the voxels, do two masks agree.

Cropping is asked of the atlas, because what was never imaged cannot be measured in the image: the atlas brain, laid on
the patient, may stick out of the field of view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.floating[Any]]
Matrix = npt.NDArray[np.float64]


def outside_mm(points: Points, affine: Matrix, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """How far each point (N, 3; RAS mm) lies outside the field of view, 0 inside; mm along the farthest axis, (N,).

    The field of view ends at the outer faces of the outer voxels, half a voxel beyond their centres.
    """
    inverse = np.linalg.inv(affine)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    over = np.maximum(-0.5 - index, index - (np.array(shape) - 0.5))
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    beyond: npt.NDArray[np.float64] = np.maximum(over, 0.0) * spacing
    return np.asarray(beyond.max(axis=1))


def cropped_percent(beyond_mm: npt.NDArray[np.float64], tolerance_mm: float) -> float:
    """Share of the brain's points that lie more than `tolerance_mm` outside, in percent; less is better."""
    return float(100 * (beyond_mm > tolerance_mm).mean())


def voxel_deviation_mm(spacing_mm: npt.NDArray[np.float64], wanted_mm: float) -> float:
    """Largest difference of the three voxel sizes from the wanted size, mm; less is better."""
    return float(np.abs(spacing_mm - wanted_mm).max())


def volume_similarity(a_ml: float, b_ml: float) -> float | None:
    """1 - |a - b| / (a + b): 1 = equal volumes, 0 = one is empty (Taha and Hanbury, BMC Medical Imaging 2015).

    None if both are empty. Says nothing about where the two lie.
    """
    if a_ml + b_ml == 0:
        return None
    return float(1 - abs(a_ml - b_ml) / (a_ml + b_ml))
