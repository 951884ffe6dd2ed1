"""Signal and noise: how far a tissue's signal stands above the noise.

The noise is taken from the finest diagonal detail of the image inside the brain, where anatomy has hardly any energy
and noise has as much as anywhere (Donoho 1994; for MR images Coupe et al., Medical Image Analysis 2010). This needs no
air around the head, which hospitals often mask or deface, and does not rise when the patient moves, as estimates from
the background do. Limit: on images that were interpolated or smoothed it finds too little noise, so the ratio is too
high; compare a case with cases from the same scanner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.box import box_of

NORMAL_MAD = 0.6745  # median of |x| for a standard normal x
FEWEST = 50  # voxels or blocks from which a median is taken

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def noise_sd(data: Floats, mask: Mask) -> float | None:
    """Standard deviation of the noise, in the unit of `data` (X, Y, Z); None with fewer than FEWEST blocks in `mask`.

    The image is cut into blocks of 2 x 2 x 2 voxels. d = sum of +-v / sqrt(8), the sign changing along every axis, is
    the Haar wavelet's diagonal detail; it has the standard deviation of the noise. sd = median |d| / 0.6745.
    """
    if not mask.any():
        return None
    even = tuple(
        slice(side.start // 2 * 2, min(-(-side.stop // 2) * 2, size // 2 * 2))
        for side, size in zip(box_of(mask), data.shape, strict=True)
    )
    detail, inside = data[even].astype(np.float64), mask[even]
    for axis in range(3):
        first, second = halves(axis)
        detail = detail[first] - detail[second]
        inside = inside[first] & inside[second]
    values = np.abs(detail[inside]) / np.sqrt(8)
    if values.size < FEWEST:
        return None
    return float(np.median(values) / NORMAL_MAD)


def halves(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices that take every first and every second voxel along one of three axes."""
    whole = [slice(None)] * 3
    first, second = list(whole), list(whole)
    first[axis], second[axis] = slice(0, None, 2), slice(1, None, 2)
    return tuple(first), tuple(second)


def signal_to_noise(data: Floats, region: Mask, noise: float | None) -> float | None:
    """Median signal in `region` over the standard deviation of the noise; no unit.

    None if the region is too small or the image has no measurable noise (masked, synthetic or rounded to nothing).
    """
    if noise is None or noise <= 0 or int(region.sum()) < FEWEST:
        return None
    return float(np.median(data[region]) / noise)
