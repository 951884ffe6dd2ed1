"""The air around the head: receiver noise has no pattern, artifacts have one.

Ghosts of a moving or pulsating head, a fold-over and radio interference all leave signal where nothing is. Mortamet et
al. (MRM 2009, 62:365) therefore look at the air: how much of it is corrupted (QI1), and how far the rest is from pure
noise (QI2). Magnitude noise of n receiver coils follows a chi distribution with 2 n degrees of freedom (n = 1:
Rayleigh).

Air here is what `regions` gives: more than 28 mm from the brain, above its middle. MRIQC has the head segmented and
takes everything above the line from nasion to inion; so values of the same name agree in meaning, not in every digit.
Hospitals often mask or deface the air. Then nothing can be measured, and every function says None.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.box import box_of

Floats = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

BOX = 3  # voxels: edge of the box over which air is averaged
MASKED_SHARE = 0.2  # more air voxels than this at exactly the lowest value: the air was removed
FEWEST = 1000  # air voxels
CORRUPTED_Z = 10.0  # robust standard deviations above the air's median, as in MRIQC
NORMAL_MAD = 0.6745  # median of |x| for a standard normal x
BINS = 200  # of the histogram of the air
LARGEST_FREEDOM = 256.0  # degrees of freedom of the chi distribution: 128 coils


def has_air(data: Floats, air: Mask) -> bool:
    """Whether `air` marks at least FEWEST voxels of `data` (X, Y, Z) and nobody has blanked them."""
    values = data[air]
    if values.size < FEWEST:
        return False
    return bool((values == data.min()).mean() <= MASKED_SHARE and values.min() < values.max())


def air_structure(data: Floats, air: Mask) -> float | None:
    """How much smoother the air is than white noise would be, 1 = pure noise; less is better; no unit.

    The standard deviation of means over 3 x 3 x 3 boxes within the air, times sqrt(27), over that of single voxels: 1
    for independent noise, up to sqrt(27) = 5.2 for a pattern. None where the air was masked, or too little is left.
    """
    from scipy import ndimage

    if not has_air(data, air):
        return None
    box = box_of(air)
    whole = ndimage.minimum_filter(air[box], BOX, mode="constant")
    if int(whole.sum()) < FEWEST // 10:
        return None
    means = ndimage.uniform_filter(data[box].astype(np.float32), BOX)[whole]
    return float(means.std() * np.sqrt(BOX**3) / data[air].std())


def corrupted_air(data: Floats, air: Mask) -> Mask:
    """The voxels of the air that hold signal: more than CORRUPTED_Z robust deviations above its median, in clusters.

    Single voxels are noise and are opened away with a cross of 7 voxels (Mortamet et al., figure 2; threshold of
    MRIQC).
    """
    from scipy import ndimage

    values = data[air].astype(np.float32)
    middle = float(np.median(values))
    spread = float(np.median(np.abs(values - middle))) / NORMAL_MAD
    high = air & (data > middle + CORRUPTED_Z * spread)
    if high.any():
        box = box_of(high)
        high[box] = ndimage.binary_opening(high[box], ndimage.generate_binary_structure(3, 1))
    return high


def qi_1(air: Mask, corrupted: Mask) -> float:
    """Share of the air that holds signal, 0 to 1; less is better (QI1 of Mortamet et al., MRM 2009)."""
    return float(corrupted.sum() / air.sum())


def qi_2(data: Floats, air: Mask, corrupted: Mask) -> float | None:
    """How far the rest of the air is from noise: 0 = exactly noise, 1 = nothing like it; less is better.

    Half the summed absolute difference between the histogram of the air, without `corrupted`, and a chi distribution,
    from the half height right of the mode upwards; after QI2 of Mortamet et al., MRM 2009. Scale and degrees of freedom
    come from the quartiles on the left of that, where artifacts have little weight. Unlike MRIQC's, the value does not
    depend on the unit of the image, since probabilities are compared and not densities.
    """
    values = data[air & ~corrupted]
    if values.size < FEWEST:
        return None
    counts, edges = histogram(values)
    share = counts / counts.sum()
    cumulated = np.concatenate([[0.0], np.cumsum(share)])
    low, middle = (float(np.interp(level, cumulated, edges)) for level in (0.25, 0.5))
    if low <= 0 or middle <= low:
        return None
    freedom, scale = chi_from_quartiles(low, middle)
    mode = int(np.argmax(np.convolve(counts, np.ones(5), mode="same")))
    after = np.flatnonzero(counts[mode:] < counts[mode] / 2)
    first = mode + int(after[0]) if after.size else len(counts) - 1
    return tail_distance(share, edges, first, freedom, scale)


def histogram(values: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Counts and edges (one more) of about BINS bins up to the 99.9th percentile, the last bin open above.

    Whole numbers get bins that are whole numbers wide and end between two of them.
    """
    top = float(np.percentile(values, 99.9))
    if np.issubdtype(values.dtype, np.integer) or bool((values[:1000] == np.rint(values[:1000])).all()):
        width = max(1.0, np.ceil(top / BINS))
        edges = np.arange(-0.5, top + width, width)
    else:
        edges = np.linspace(0.0, top, BINS + 1)
    held = np.clip(values, edges[0], edges[-1])
    counts, _ = np.histogram(held, bins=len(edges) - 1, range=(float(edges[0]), float(edges[-1])))
    return counts.astype(np.float64), np.maximum(edges, 0.0)


def chi_from_quartiles(low: float, middle: float) -> tuple[float, float]:
    """Degrees of freedom (1 to LARGEST_FREEDOM) and scale of the chi distribution with this quartile and median."""
    from scipy import special

    freedoms = np.geomspace(1.0, LARGEST_FREEDOM, 400)
    quartile, median = (np.sqrt(2 * special.gammaincinv(freedoms / 2, share)) for share in (0.25, 0.5))
    freedom = float(np.interp(low / middle, quartile / median, freedoms))
    return freedom, middle / float(np.sqrt(2 * special.gammaincinv(freedom / 2, 0.5)))


def tail_distance(
    share: npt.NDArray[Any], edges: npt.NDArray[np.float64], first: int, freedom: float, scale: float
) -> float:
    """Total variation between a histogram and a chi distribution over the bins from `first` on, 0 to 1."""
    from scipy import special

    cumulated = special.gammainc(freedom / 2, (edges[first:] / scale) ** 2 / 2)
    cumulated[-1] = 1.0
    return float(np.abs(share[first:] - np.diff(cumulated)).sum() / 2)


def fber(data: Floats, brain: Mask, air: Mask) -> float | None:
    """Foreground-background energy ratio: mean energy of the brain over that of the air; more is better; no unit.

    E[x^2 in the brain] / E[x^2 in the air] (Shehzad et al., Front Neurosci 2015). MRIQC's foreground is the whole head.
    None where the air holds nothing.
    """
    if not brain.any() or int(air.sum()) < FEWEST:
        return None
    energies = []
    for region in (brain, air):
        values = data[region].astype(np.float64)
        energies.append(float(values @ values) / values.size)
    return energies[0] / energies[1] if energies[1] > 0 else None
