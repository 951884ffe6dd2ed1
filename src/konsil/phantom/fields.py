"""Smooth random fields and small rigid motions: the two kinds of chance that shape a patient.

A smooth field is a coarse grid of normal random numbers, blurred by a Gaussian of 0.6 grid steps and read out at every
voxel. Because the Gaussian is separable this costs a few multiplications per voxel, whatever the smoothness.
A rigid motion is a 4x4 matrix on world points in mm (RAS): x_new = R x + t, with R = Rx Ry Rz.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

KERNEL_SD = 0.6  # of the Gaussian, in steps of the coarse grid
MARGIN = 3  # coarse nodes beyond the volume, so that the field does not fade at its border


def smooth_field(rng: np.random.Generator, shape: Sequence[int], step_vox: float) -> Floats:
    """A random field of mean about 0 and standard deviation 1 that varies over about `step_vox` voxels.

    Returns float32 of the given shape. `einsum` is used without BLAS, so the bytes do not depend on the threads.
    """
    nodes = [max(4, int(np.ceil(size / step_vox)) + MARGIN) for size in shape]
    field = rng.standard_normal(nodes).astype(np.float32)
    for size, count in zip(shape, nodes, strict=True):
        weights = gaussian_weights(size, count)
        field = np.einsum("ni,iab->abn", weights, field, optimize=False)  # the axes turn once round in three steps
    field = np.ascontiguousarray(field)
    return np.asarray(field / (field.std() + 1e-6), dtype=np.float32)


def gaussian_weights(size: int, nodes: int) -> Floats:
    """Weight of each coarse node at each voxel of one axis: float32 (size, nodes)."""
    position = np.linspace(1, nodes - 2, size)[:, None] - np.arange(nodes)[None]
    return np.exp(-(position**2) / (2 * KERNEL_SD**2)).astype(np.float32)


def rotation(angles_rad: npt.ArrayLike) -> Matrix:
    """3x3 rotation Rx Ry Rz for three angles in radians about the axes x, y, z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z, dtype=np.float64)


def random_rigid(rng: np.random.Generator, *, shift_mm: float, turn_deg: float) -> Matrix:
    """4x4 rigid motion in mm with each shift and each turn drawn evenly between minus and plus its limit."""
    T = np.eye(4)
    T[:3, :3] = rotation(np.deg2rad(rng.uniform(-turn_deg, turn_deg, 3)))
    T[:3, 3] = rng.uniform(-shift_mm, shift_mm, 3)
    return T
