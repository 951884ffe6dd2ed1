"""Intensity non-uniformity (INU): the same tissue is brighter near the coil than far from it.

N4 (Tustison et al., IEEE TMI 2010, 29:1310) finds the smooth factor by which an image would have to be divided so that
its histogram becomes sharp. The factor changes over centimetres, so it is looked for on a grid of 5 mm with a few
iterations; that takes a fraction of a second instead of minutes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from konsil.cohort.grid import as_itk, coarsened, from_itk
from konsil.cohort.volume import Volume

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

GRID_MM = 5.0
ITERATIONS = (20, 20, 20)
FEWEST = 200  # voxels of the coarse brain


def find_field(image: Volume, brain: Mask) -> tuple[Volume, Mask] | None:
    """The factor that N4 finds within `brain` (X, Y, Z), on a grid of 5 mm, its median in the brain being 1.

    Returns the field and the coarse brain mask; None if the brain is too small or not brighter than 0.
    """
    small = coarsened(as_itk(image), GRID_MM)
    inside = sitk.Resample(as_itk(Volume(brain, image.affine)), small, sitk.Transform(), sitk.sitkLinear, 0.0)
    mask = sitk.And(inside > 0.5, small > 0)
    where = from_itk(mask).data > 0
    if int(where.sum()) < FEWEST:
        return None
    correction = sitk.N4BiasFieldCorrectionImageFilter()
    correction.SetNumberOfThreads(1)
    correction.SetMaximumNumberOfIterations(list(ITERATIONS))
    correction.Execute(small, mask)
    field = from_itk(sitk.Exp(correction.GetLogBiasFieldAsImage(small)))
    scaled = field.data / np.median(field.data[where])
    return Volume(scaled.astype(np.float32), field.affine), where


def inu_range(field: Floats, brain: Mask) -> float:
    """Range of the field from its 5th to its 95th percentile in the brain: 0 = even; less is better; no unit.

    `inu_range` of MRIQC, with the field's median set to 1, so that 0.3 means: bright parts are 30 % of the median
    brighter than dark ones.
    """
    low, high = np.percentile(field[brain], [5.0, 95.0])
    return float(high - low)


def field_at(field: Volume, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The field at points (N, 3; RAS mm), linear between voxels, (N,)."""
    from scipy import ndimage

    inverse = np.linalg.inv(field.affine)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    values: npt.NDArray[np.float32] = ndimage.map_coordinates(field.data, index.T, order=1, mode="nearest")
    return values
