"""A volume: voxels and where they lie.

`array[i, j, k]` is the signal of one voxel; `affine` (4x4, mm, RAS: x to the right, y to the front, z to the top) maps
the voxel index (i, j, k, 1) to the world point of the voxel's centre. Phantom volumes keep their axes as close to
RAS as the scanner's tilt allows: i runs to the right, j to the front, k to the top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Volume:
    """`array` (i, j, k) int16 and `affine` (4, 4) float64, voxel to world, RAS mm."""

    array: npt.NDArray[np.int16]
    affine: npt.NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size in mm along i, j, k."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)
