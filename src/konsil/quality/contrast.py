"""Contrast: how well grey and white matter can be told apart.

Each tissue is taken where the atlas is sure of it (white matter > 0.8, grey matter > 0.7 on a grid of 3 mm) within the
parenchyma, and described by median and robust spread, so that lesions and the rims where tissues mix have little
weight. This works on T1w, where white matter is the bright one, and on FLAIR, where grey matter is. MRIQC takes both
from a segmentation (FSL FAST) instead: compare a case with cases measured by Konsil.
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

PRIOR_GRID_MM = 3.0
WHITE, GREY = 0.8, 0.7  # least share in the atlas
LARGEST_SAMPLE = 60_000  # voxels that are looked at
FEWEST = 200  # voxels of a tissue
NORMAL_MAD = 0.6745  # median of |x| for a standard normal x


@dataclass(frozen=True)
class Tissue:
    """Median and robust standard deviation of one tissue, in the unit of the image."""

    middle: float
    sd: float


@functools.cache
def shares() -> tuple[Volume, Volume]:
    """Grey and white matter of the atlas, 0 to 1, on a grid of PRIOR_GRID_MM."""
    grey, white = (from_itk(coarsened(as_itk(read_atlas(tissue)), PRIOR_GRID_MM)) for tissue in ("gm", "wm"))
    return Volume(grey.data / 255, grey.affine), Volume(white.data / 255, white.affine)


def sample(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Indices (N, 3) of at most LARGEST_SAMPLE voxels of `mask`, evenly drawn; always the same ones."""
    flat = np.flatnonzero(mask)
    chosen = flat[:: max(1, -(-flat.size // LARGEST_SAMPLE))]
    return np.stack(np.unravel_index(chosen, mask.shape), axis=1)


def shares_at(points: Values, placement: Placement) -> tuple[Values, Values]:
    """Shares of grey and of white matter that the atlas expects at points of the patient (N, 3; RAS mm), each (N,)."""
    from scipy import ndimage

    found = []
    for volume in shares():
        matrix = np.linalg.inv(volume.affine) @ np.linalg.inv(placement.matrix)
        index = points @ matrix[:3, :3].T + matrix[:3, 3]
        found.append(ndimage.map_coordinates(volume.data.astype(np.float64), index.T, order=1))
    return found[0], found[1]


def describe(values: Values) -> Tissue | None:
    """Median and robust spread (median absolute deviation / 0.6745) of a tissue's voxels (N,); None with too few."""
    if values.size < FEWEST:
        return None
    middle = float(np.median(values))
    return Tissue(middle, float(np.median(np.abs(values - middle)) / NORMAL_MAD))


def cnr(white: Tissue, grey: Tissue, noise: float) -> float | None:
    """Contrast to noise: |white - grey| / sqrt(noise^2 + sd_white^2 + sd_grey^2); more is better; no unit.

    Magnotta and Friedman, J Digit Imaging 2006; `cnr` of MRIQC, with the noise measured inside the brain (`noise`), not
    in the air. None if nothing varies at all.
    """
    spread = float(np.sqrt(noise**2 + white.sd**2 + grey.sd**2))
    return abs(white.middle - grey.middle) / spread if spread > 0 else None


def cjv(white: Tissue, grey: Tissue) -> float | None:
    """Coefficient of joint variation: (sd_white + sd_grey) / |white - grey|; less is better; no unit.

    Ganzetti et al., Front Neuroinform 2016; `cjv` of MRIQC. None if both tissues are equally bright.
    """
    difference = abs(white.middle - grey.middle)
    return (white.sd + grey.sd) / difference if difference > 0 else None
