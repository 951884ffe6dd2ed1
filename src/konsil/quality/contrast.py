"""Contrast: how well grey and white matter can be told apart.

No voxel is labelled for this. The atlas says how likely fluid, grey and white matter are at each place; a mixture of
three normal distributions is fitted to the brightness of the brain with these likelihoods as spatial priors, by
expectation maximisation (Ashburner and Friston, NeuroImage 2005, equations 8 to 12, without its deformations). The same
works on T1w, where white matter is the bright one, and on FLAIR, where grey matter is. MRIQC takes mean and spread from
a hard segmentation instead.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from konsil.cohort.grid import as_itk, coarsened, from_itk
from konsil.cohort.volume import Volume
from konsil.quality.atlas import Placement, read_atlas

Values = npt.NDArray[np.float64]

TISSUES = ("fluid", "grey", "white")
PRIOR_GRID_MM = 3.0
LARGEST_SAMPLE = 60_000  # voxels of the brain that are looked at
FEWEST = 1000
ROUNDS = 25
FLOOR = 0.01  # least likelihood of a tissue: the atlas is no better than this


@dataclass(frozen=True)
class Tissue:
    """Mean and standard deviation of one tissue, in the unit of the image."""

    mean: float
    sd: float


@functools.cache
def priors() -> tuple[Volume, Volume]:
    """Grey and white matter of the atlas, 0 to 1, on a grid of PRIOR_GRID_MM."""
    grey, white = (from_itk(coarsened(as_itk(read_atlas(tissue)), PRIOR_GRID_MM)) for tissue in ("gm", "wm"))
    return Volume(grey.data / 255, grey.affine), Volume(white.data / 255, white.affine)


def sample(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Indices (N, 3) of at most LARGEST_SAMPLE voxels of `mask`, evenly drawn; always the same ones."""
    flat = np.flatnonzero(mask)
    chosen = flat[:: max(1, -(-flat.size // LARGEST_SAMPLE))]
    return np.stack(np.unravel_index(chosen, mask.shape), axis=1)


def likelihoods(points: Values, placement: Placement) -> Values:
    """How likely each of TISSUES is at points of the patient (N, 3; RAS mm) according to the atlas: (3, N), sum 1."""
    from scipy import ndimage

    found = []
    for volume in priors():
        matrix = np.linalg.inv(volume.affine) @ np.linalg.inv(placement.matrix)
        index = points @ matrix[:3, :3].T + matrix[:3, 3]
        found.append(ndimage.map_coordinates(volume.data.astype(np.float32), index.T, order=1))
    grey, white = found
    likely = np.stack([np.clip(1 - grey - white, 0, 1), grey, white]).astype(np.float64)
    likely = np.maximum(likely, FLOOR)
    scaled: Values = likely / likely.sum(axis=0)
    return scaled


def fit_tissues(values: Values, likely: Values) -> dict[str, Tissue] | None:
    """Mean and spread of each of TISSUES from brightness (N,) and likelihoods (3, N), by expectation maximisation.

    None with fewer than FEWEST voxels, or if they are all equal.
    """
    if values.size < FEWEST or values.min() == values.max():
        return None
    low, high = np.percentile(values, [0.1, 99.9])  # vessels and rims are no tissue
    kept = (values >= low) & (values <= high)
    values, likely = values[kept], likely[:, kept]
    least = 1e-6 * float(values.var()) + 1e-12
    belongs = likely**2 / (likely**2).sum(axis=0)
    weights = np.ones((3, 1))
    for _ in range(ROUNDS):
        amount = belongs.sum(axis=1, keepdims=True) + 1e-9
        means = (belongs * values).sum(axis=1, keepdims=True) / amount
        variances = (belongs * (values - means) ** 2).sum(axis=1, keepdims=True) / amount + least
        weights = weights * amount / (weights * likely / (weights * likely).sum(axis=0)).sum(axis=1, keepdims=True)
        density = weights * likely * np.exp(-((values - means) ** 2) / (2 * variances)) / np.sqrt(variances)
        belongs = density / (density.sum(axis=0) + 1e-300)
    return {
        name: Tissue(float(mean), float(np.sqrt(variance)))
        for name, mean, variance in zip(TISSUES, means[:, 0], variances[:, 0], strict=True)
    }


def cnr(white: Tissue, grey: Tissue, noise: float) -> float:
    """Contrast to noise: |white - grey| / sqrt(noise^2 + sd_white^2 + sd_grey^2); more is better; no unit.

    Magnotta and Friedman, J Digit Imaging 2006; `cnr` of MRIQC, with the noise measured inside the brain (`noise`), not
    in the air.
    """
    spread = np.sqrt(noise**2 + white.sd**2 + grey.sd**2)
    return float(abs(white.mean - grey.mean) / spread)


def cjv(white: Tissue, grey: Tissue) -> float | None:
    """Coefficient of joint variation: (sd_white + sd_grey) / |white - grey|; less is better; no unit.

    Ganzetti et al., Front Neuroinform 2016, equation 5; `cjv` of MRIQC. None if both tissues are equally bright.
    """
    difference = abs(white.mean - grey.mean)
    return float((white.sd + grey.sd) / difference) if difference > 0 else None
