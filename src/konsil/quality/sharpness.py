"""Sharpness: is energy where the anatomy is, or smeared over its neighbours.

Motion, blur and ghosts all spread energy over voxels. Three looks at it: the entropy of the whole picture (EFC), the
entropy of its edges within the brain (a still head has few strong edges, a moved one many weak ones), and how far
neighbouring voxels resemble each other (FWHM).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.box import box_of

Floats = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

FWHM_OVER_SIGMA = 2.3548200450309493  # 2 sqrt(2 ln 2), of a Gaussian
FEWEST = 1000  # voxels


def efc(data: Floats) -> float:
    """Entropy focus criterion, 0 (all energy in one voxel) to 1 (spread evenly); less is better; no unit.

    E = -sum (x / r) ln(x / r) with r = sqrt(sum x^2) (Atkinson et al., IEEE TMI 1997), divided by its value
    sqrt(N) ln sqrt(N) for an even image, as in MRIQC (Esteban et al., PLoS ONE 2017). Depends on how much air the field
    of view holds: compare like with like.
    """
    values, times = occurring(data)
    shares = values / np.sqrt((times * values**2).sum())
    largest = np.sqrt(data.size) * np.log(np.sqrt(data.size))
    return float(-(times * shares * np.log(shares)).sum() / largest)


def occurring(data: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sizes of the values other than 0, and how often each occurs; whole numbers are counted, others stand for one."""
    if data.dtype == np.int16:
        times = np.bincount(np.abs(data.astype(np.int32)).ravel(order="K"))
        sizes = np.flatnonzero(times[1:]) + 1
        return sizes.astype(np.float64), times[sizes].astype(np.float64)
    values = np.abs(data[data != 0].astype(np.float64))
    return values, np.ones(1)


def gradient_entropy(data: Floats, mask: Mask) -> float | None:
    """Entropy of the edges within `mask` (X, Y, Z), 0 (one edge) to 1 (edges everywhere); less is better; no unit.

    H = -sum h ln h with h = |gradient| / sum |gradient|, over ln N: the metric that told motion best among 24 in McGee
    et al., JMRI 2000, 11:174. The gradient is that of central differences per voxel. None with fewer than FEWEST
    voxels.
    """
    if int(mask.sum()) < FEWEST:
        return None
    box = box_of(mask)
    inside, values = mask[box], data[box].astype(np.float32)
    squared = np.zeros(values.shape, np.float32)
    for axis in range(3):
        squared += np.square(np.gradient(values, axis=axis))
    size = np.sqrt(squared[inside])
    size = size[size > 0].astype(np.float64)
    if size.size == 0:
        return None
    share = size / size.sum()
    return float(-(share * np.log(share)).sum() / np.log(inside.sum()))


def fwhm(data: Floats, mask: Mask) -> tuple[float, float, float] | None:
    """Full width at half maximum of the image's own smoothness along its three axes, in voxels; less is better.

    FWHM = sqrt(-2 ln 2 / ln(1 - v / 2 s)), s the variance of the voxels in `mask`, v that of the differences between
    neighbours (Forman et al., MRM 1995, as in AFNI's 3dFWHMx -ShowMeClassicFWHM, divided by the voxel size as in
    MRIQC). Exact for white noise that was smoothed by a Gaussian; anatomy itself gives 2 to 4. None where neighbours
    have nothing in common, or with fewer than FEWEST voxels.
    """
    if int(mask.sum()) < FEWEST:
        return None
    box = box_of(mask)
    inside, values = mask[box], data[box].astype(np.float32)
    spread = float(values[inside].var(dtype=np.float64))
    widths = []
    for axis in range(3):
        both = np.moveaxis(inside, axis, 0)
        both = both[1:] & both[:-1]
        steps = np.diff(np.moveaxis(values, axis, 0), axis=0)[both]
        alike = 1 - float(steps.var(dtype=np.float64)) / (2 * spread) if spread > 0 and steps.size else 0.0
        if not 0 < alike < 1:
            return None
        widths.append(FWHM_OVER_SIGMA * float(np.sqrt(-1 / (4 * np.log(alike)))))
    return widths[0], widths[1], widths[2]
