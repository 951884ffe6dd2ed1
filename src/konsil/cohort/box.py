"""The part of a grid that matters: boxes of voxels, found once, so that the air around a head is not worked on.

A box is three slices into an array (X, Y, Z), none of them empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume

Box = tuple[slice, slice, slice]
Matrix = npt.NDArray[np.float64]


def box_of(mask: npt.NDArray[np.bool_]) -> Box:
    """The smallest box of voxels that holds a mask which is not empty."""
    flat = np.asarray(mask.any(axis=2))
    x, y = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    first, second = slice(int(x[0]), int(x[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1)
    z = np.flatnonzero(mask[first, second].any(axis=(0, 1)))
    return first, second, slice(int(z[0]), int(z[-1]) + 1)


def part(volume: Volume, box: Box) -> Volume:
    """The voxels of a box, not copied, where they lie in the patient."""
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, :3] @ [side.start for side in box]
    return Volume(volume.data[box], affine)


def carried(box: Box, to_index: Matrix, shape: tuple[int, ...], margin: Any = 0.0) -> Box:
    """The box on another grid that holds a box, its voxels whole, and `margin` voxels more; at least 2 voxels wide.

    `to_index` (4 x 4) maps the indices of the one grid to those of the other, whose size is `shape`. What lies outside
    that grid is left out; a box of which nothing lies inside becomes two voxels at its edge.
    """
    corners = np.array(np.meshgrid(*((side.start - 0.5, side.stop - 0.5) for side in box))).reshape(3, -1)
    index = to_index[:3, :3] @ corners + to_index[:3, 3:]
    low = np.clip(np.floor(index.min(axis=1) - margin), 0, np.array(shape) - 2).astype(int)
    high = np.clip(np.ceil(index.max(axis=1) + margin) + 1, low + 2, shape).astype(int)
    x, y, z = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return x, y, z
