"""Coarser copies of an image by means over blocks of whole voxels: cheap, without aliasing, exact about where they lie.

Axes whose voxels are long already (thick slices) stay as they are. Affines map voxel indices to RAS mm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume


def binned(volume: Volume, grid_mm: float) -> Volume:
    """The mean over blocks so that voxels measure about `grid_mm`; float32 (X, Y, Z). Never finer than it was."""
    factor = np.maximum(1, np.floor(grid_mm / volume.spacing_mm + 0.2)).astype(int)
    return by_blocks(volume, np.where(np.array(volume.data.shape) // factor >= 2, factor, 1))


def by_blocks(volume: Volume, factor: npt.NDArray[np.int_]) -> Volume:
    """The mean over blocks of so many voxels along each axis; float32 (X, Y, Z). What fills no block is left out."""
    count = np.array(volume.data.shape) // factor
    data = volume.data[tuple(slice(0, n * k) for n, k in zip(count, factor, strict=True))]
    for axis, k in enumerate(factor):
        data = mean_of_neighbours(data, axis, int(k))
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, :3] @ ((factor - 1) / 2)
    affine[:3, :3] *= factor
    return Volume(np.ascontiguousarray(data, dtype=np.float32), affine)


def every_nth(volume: Volume, step: npt.NDArray[np.int_]) -> Volume:
    """Every so many voxels along each axis, beginning with the first; not copied, where they lie in the patient."""
    affine = volume.affine.copy()
    affine[:3, :3] *= step
    return Volume(volume.data[tuple(slice(None, None, int(n)) for n in step)], affine)


def mean_of_neighbours(data: npt.NDArray[np.generic], axis: int, count: int) -> npt.NDArray[np.generic]:
    """The mean of every `count` voxels along one axis; strided slices are added because numpy does that quickly."""
    if count == 1:
        return data
    along = [slice(None)] * 3
    total = np.zeros(1, np.float32)
    for start in range(count):
        along[axis] = slice(start, None, count)
        total = total + data[tuple(along)].astype(np.float32)
    return np.asarray(total / np.float32(count))
