"""Artifacts: energy where a clean image has none.

Three looks at the same image. The entropy focus criterion (Atkinson et al., IEEE TMI 1997) sees blur and ghosts, since
both spread energy over voxels. The spike score looks at k-space, where a spark in the scanner is one bright point and
in the image a pattern of stripes. Air structure looks at the air around the head: receiver noise has no pattern, ghosts
of a moving head have one (compare QI1 of Mortamet et al., MRM 2009). None of them separates mild motion from a good
scan by one threshold, and scanners differ as much as most artifacts do; the limits are wide, and the reviewer decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

BOX = 3  # voxels: edge of the box over which air is averaged
MASKED_SHARE = 0.2  # more air voxels than this at exactly the lowest value: the air was removed
FEWEST = 1000  # air voxels
INNER_K = 0.25  # share of the Nyquist radius that anatomy fills and the spike score ignores


def entropy_focus(data: Floats) -> float:
    """Entropy focus criterion, 0 (all energy in one voxel) to 1 (spread evenly); less is better; no unit.

    E = -sum (x / r) ln(x / r) with r = sqrt(sum x^2), divided by its value sqrt(N) ln sqrt(N) for an even image, as in
    MRIQC (Esteban et al., PLoS ONE 2017). Depends on how much air the field of view holds: compare like with like.
    """
    values = np.abs(data[data != 0]).astype(np.float64)
    root = np.sqrt((values**2).sum())
    share = values / root
    largest = np.sqrt(data.size) * np.log(np.sqrt(data.size))
    return float(-(share * np.log(share)).sum() / largest)


def spike_score(data: Floats) -> float:
    """Brightest outlier of k-space outside its centre over its neighbourhood, natural logarithm; less is better.

    Noise alone gives about 2 (the largest of a million Rayleigh values); a spike of n times the local level gives ln n.
    """
    from scipy import ndimage

    level = np.log(np.abs(np.fft.rfftn(data.astype(np.float32))) + 1e-6)
    axes = [np.fft.fftfreq(size) * 2 for size in data.shape[:2]] + [np.fft.rfftfreq(data.shape[2]) * 2]
    radius = np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True)))
    around = ndimage.uniform_filter(level, 5, mode="wrap")
    return float((level - around)[radius > INNER_K].max())


def air_structure(data: Floats, air: Mask) -> float | None:
    """How much smoother the air is than white noise would be, 1 = pure noise; less is better; no unit.

    The standard deviation of means over 3 x 3 x 3 boxes within the air, times sqrt(27), over that of single voxels: 1
    for independent noise, up to sqrt(27) = 5.2 for a pattern. None where the air was masked, or too little is left.
    """
    from scipy import ndimage

    values = data[air]
    if values.size < FEWEST or (values == data.min()).mean() > MASKED_SHARE:
        return None
    single = float(values.std())
    whole = ndimage.minimum_filter(air, BOX, mode="constant")
    if single == 0 or int(whole.sum()) < FEWEST // 10:
        return None
    means = ndimage.uniform_filter(data.astype(np.float32), BOX)[whole]
    return float(means.std() * np.sqrt(BOX**3) / single)
