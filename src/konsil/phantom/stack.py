"""A volume cut into DICOM slices.

DICOM describes a slice by the position of its first pixel, the direction in which the column index grows and that in
which the row index grows, in LPS mm (PS3.3 C.7.6.2). Sagittal slices are seen from the left side with the nose to the
left, axial ones from the feet, coronal ones from the front; slices are stacked along the normal (columns x rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from konsil.phantom.fields import Matrix
from konsil.phantom.volume import Volume

# For each plane the volume axis (0 = i, 1 = j, 2 = k) and direction of slices, rows and columns.
PLANES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "sagittal": ((0, 1), (2, -1), (1, -1)),
    "axial": ((2, 1), (1, -1), (0, -1)),
    "coronal": ((1, -1), (2, -1), (0, -1)),
}
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Stack:
    """`pixels` (slice, row, column) uint16, and `affine` (4x4) from these indices to LPS mm."""

    pixels: npt.NDArray[np.uint16]
    affine: Matrix

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between slices, rows and columns in mm."""
        between = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(between[0]), float(between[1]), float(between[2])

    @property
    def cosines(self) -> list[float]:
        """ImageOrientationPatient: unit vectors along a row (columns grow) and along a column (rows grow)."""
        unit = self.affine[:3, :3] / np.array(self.spacing_mm)
        return [*unit[:, 2].tolist(), *unit[:, 1].tolist()]

    def position(self, index: int) -> list[float]:
        """ImagePositionPatient of a slice: the centre of its first pixel, LPS mm."""
        point: list[float] = (self.affine @ [index, 0, 0, 1])[:3].tolist()
        return point


def cut(volume: Volume, plane: str) -> Stack:
    """Turn and flip a volume (RAS) into slices of the given plane; no voxel changes its place in the world."""
    order = [axis for axis, _ in PLANES[plane]]
    pixels = np.transpose(volume.array, order)
    affine = RAS_TO_LPS @ volume.affine[:, [*order, 3]]
    for axis, (_, direction) in enumerate(PLANES[plane]):
        if direction < 0:
            pixels = np.flip(pixels, axis)
            affine[:, 3] += affine[:, axis] * (pixels.shape[axis] - 1)
            affine[:, axis] *= -1
    return Stack(np.ascontiguousarray(pixels).astype(np.uint16), affine)
