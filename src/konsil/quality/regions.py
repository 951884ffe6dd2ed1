"""The places in an image where measures are taken: parenchyma, central fluid, air.

The atlas says where a tissue should lie, the image's own brightness says where it does. On T1w and on FLAIR alike fluid
is the dark class within the brain: a threshold between the two (Otsu 1979) sorts them. Fluid is only taken deep inside
(lateral ventricles), where no skull or vessel is mixed in. Air is what lies well away from the upper half of the brain,
where there is neither face nor neck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from konsil.cohort.grid import as_itk, coarsened, from_itk
from konsil.cohort.volume import Volume
from konsil.quality.atlas import Placement, lay, tissues

MATTER, FLUID = 0.8, 0.5  # least share in the atlas
CENTRAL_MM = 15.0  # depth below the surface of the brain from which fluid is taken
AIR_MM = 28.0  # distance from the brain from which air is taken: skull and scalp are 15 to 20 mm thick

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Regions:
    """Boolean arrays (X, Y, Z) on the image's grid."""

    brain: Mask
    parenchyma: Mask
    fluid: Mask
    air: Mask


def find_regions(image: Volume, brain: Mask, placement: Placement) -> Regions:
    """Find the regions of an oriented T1w or FLAIR, given its brain mask and where the atlas lies on it."""
    matter, fluid = (lay(tissue, placement, image) for tissue in tissues())
    bright = image.data > otsu(image.data[brain]) if brain.any() else brain
    depth = depth_mm(brain, image)
    return Regions(
        brain=brain,
        parenchyma=brain & (matter > MATTER) & (depth > 3) & bright,
        fluid=brain & (fluid > FLUID) & (depth > CENTRAL_MM) & ~bright,
        air=find_air(image, brain),
    )


def otsu(values: npt.NDArray[Any]) -> float:
    """The threshold that splits values into two classes with the least variance within (Otsu, IEEE SMC 1979)."""
    low, high = np.percentile(values, [0.5, 99.5])
    counts, edges = np.histogram(values, bins=128, range=(low, max(high, low + 1e-6)))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][int(np.nanargmax(between))])


def depth_mm(mask: Mask, image: Volume) -> npt.NDArray[np.float32]:
    """Distance of each voxel to the nearest outside of `mask`, mm; 0 outside."""
    from scipy import ndimage

    box = ndimage.find_objects(mask.astype(np.uint8))
    depth = np.zeros(mask.shape, np.float32)
    if box:
        inner = np.pad(mask[box[0]], 1)
        depth[box[0]] = ndimage.distance_transform_edt(inner, sampling=image.spacing_mm)[1:-1, 1:-1, 1:-1]
    return depth


def find_air(image: Volume, brain: Mask) -> Mask:
    """Voxels at least AIR_MM from the brain, in its upper half; grown on a 4 mm grid.

    Distance is asked of the brain mask and not of the head's brightness, because a strong ghost is bright as well.
    """
    if not brain.any():
        return np.zeros(brain.shape, bool)
    original = as_itk(image)
    small = coarsened(original, 4.0)
    inside = sitk.Resample(as_itk(Volume(brain, image.affine)), small, sitk.Transform(), sitk.sitkLinear, 0.0) > 0.3
    grown = sitk.BinaryDilate(inside, [max(1, round(AIR_MM / size)) for size in small.GetSpacing()])
    air = from_itk(sitk.Resample(grown, original, sitk.Transform(), sitk.sitkNearestNeighbor)).data == 0
    heights = np.flatnonzero(brain.any(axis=(0, 1)))
    air[:, :, : int(heights.mean())] = False
    return np.asarray(air)
