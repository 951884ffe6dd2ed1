"""A volume: voxels and where they lie.

`array[i, j, k]` is the signal of one voxel; `affine` (4x4, mm, RAS: x to the right, y to the front, z to the top) maps
the voxel index (i, j, k, 1) to the world point of the voxel's centre. Phantom volumes keep their axes as close to
RAS as the scanner's tilt allows: i runs to the right, j to the front, k to the top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from konsil.phantom.fields import Floats

LARGEST_STORED = 4095  # 12 bits, as scanners store


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


@dataclass(frozen=True)
class Signal:
    """What reaches the receiver before noise and rounding: the image that artifacts are planted in.

    `array` (i, j, k) float32, 0 or more, white matter in T1w = 1; `noise` is the standard deviation in each of the two
    channels, same unit; `scale` is the stored value of a signal of 1.
    """

    array: Floats
    affine: npt.NDArray[np.float64]
    noise: float
    scale: float

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size in mm along i, j, k."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def tissue(self) -> float:
        """The signal of tissue: mean of the voxels that reach the mean."""
        return float(self.array[self.array >= self.array.mean()].mean())


def record(rng: np.random.Generator, signal: Signal) -> Volume:
    """Make the signal noisy as a magnitude image is, sqrt((signal + n1)^2 + n2^2), and store it: 0 to 4095.

    Rician for independent normal n1, n2 (Gudbjartsson and Patz 1995).
    """
    shape = signal.array.shape
    first, second = (rng.standard_normal(shape, dtype=np.float32) * np.float32(signal.noise) for _ in range(2))
    magnitude = np.sqrt((signal.array + first) ** 2 + second**2) * np.float32(signal.scale)
    return Volume(np.clip(np.rint(magnitude), 0, LARGEST_STORED).astype(np.int16), signal.affine)
