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

# The faces of an oriented (RAS+) grid: the low ends of its three axes, then the high ends.
FACES = ("left", "posterior", "inferior", "right", "anterior", "superior")


def beyond_faces_mm(points: Points, affine: Matrix, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """How far each point (N, 3; RAS mm) lies beyond each of FACES, 0 if it does not; mm, (N, 6).

    The field of view ends at the outer faces of the outer voxels, half a voxel beyond their centres. The grid's axes
    run closest to right, front and up, so on an oblique grid a face is called after the direction it mostly looks in.
    """
    inverse = np.linalg.inv(affine)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    low, high = (-0.5 - index) * spacing, (index - (np.array(shape) - 0.5)) * spacing
    beyond: npt.NDArray[np.float64] = np.maximum(np.concatenate([low, high], axis=1), 0.0)
    return beyond


def cropped_mm(beyond_mm: npt.NDArray[np.float64]) -> dict[str, float]:
    """How far the brain sticks out of each of FACES, mm, by its farthest point; 0 = all of it is inside."""
    return {face: float(value) for face, value in zip(FACES, beyond_mm.max(axis=0), strict=True)}


def cropped_percent(beyond_mm: npt.NDArray[np.float64], tolerance_mm: float) -> float:
    """Share of the brain's points that lie more than `tolerance_mm` beyond some face, in percent; less is better."""
    return float(100 * (beyond_mm.max(axis=1) > tolerance_mm).mean())


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
