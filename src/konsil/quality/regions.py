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

from konsil.cohort.box import box_of, part
from konsil.cohort.growth import distance_mm
from konsil.cohort.volume import Volume
from konsil.quality.atlas import Placement, lay, tissues

MATTER, FLUID = 0.8, 0.5  # least share in the atlas
CENTRAL_MM = 15.0  # depth below the surface of the brain from which fluid is taken
RIM_MM = 3.0  # below the surface of the brain, where tissues mix
AIR_GRID_MM = 4.0
AIR_MM = 28.0  # distance from the brain from which air is taken: skull and scalp are 15 to 20 mm thick

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Regions:
    """Boolean arrays (X, Y, Z) on the image's grid."""

    brain: Mask
    matter: Mask  # where the atlas has grey or white matter, however bright
    parenchyma: Mask  # the bright part of it
    fluid: Mask
    air: Mask


def find_regions(image: Volume, brain: Mask, placement: Placement) -> Regions:
    """Find the regions of an oriented T1w or FLAIR, given its brain mask and where the atlas lies on it."""
    matter, parenchyma, fluid = (np.zeros_like(brain) for _ in range(3))
    if brain.any():
        box = box_of(brain)  # nothing of these two lies outside it, and the head is four times as large
        grid = part(image, box)
        inside = brain[box]
        depth = depth_mm(inside, grid)
        bright = grid.data > otsu(grid.data[inside])
        solid, water = (lay(tissue, placement, grid) for tissue in tissues())
        matter[box] = inside & (solid > MATTER) & (depth > RIM_MM)
        parenchyma[box] = matter[box] & bright
        fluid[box] = inside & (water > FLUID) & (depth > CENTRAL_MM) & ~bright
    return Regions(brain=brain, matter=matter, parenchyma=parenchyma, fluid=fluid, air=find_air(image, brain))


def otsu(values: npt.NDArray[Any]) -> float:
    """The threshold that splits values into two classes with the least variance within (Otsu, IEEE SMC 1979).

    Values that are all equal are one class: the threshold is their value.
    """
    low, high = np.percentile(values, [0.5, 99.5])
    if low == high:
        return float(high)
    counts, edges = np.histogram(values, bins=128, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][int(np.nanargmax(between))])


def depth_mm(mask: Mask, image: Volume) -> npt.NDArray[np.float32]:
    """Distance of each voxel of a mask on the image's grid to the nearest voxel outside it, mm; 0 outside."""
    outside = np.pad(~mask, 1, constant_values=True)
    depth: npt.NDArray[np.float32] = distance_mm(outside, image.spacing_mm)[1:-1, 1:-1, 1:-1]
    return depth


def find_air(image: Volume, brain: Mask) -> Mask:
    """Voxels at least AIR_MM from the brain, in its upper half; distances are taken on a grid of about 4 mm.

    Distance is asked of the brain mask and not of the head's brightness, because a strong ghost is bright as well.
    """
    from scipy import ndimage

    if not brain.any():
        return np.zeros(brain.shape, bool)
    steps = np.maximum(1, np.rint(AIR_GRID_MM / image.spacing_mm)).astype(int)
    small = brain[tuple(slice(step // 2, None, step) for step in steps)]
    far = ndimage.distance_transform_edt(~small, sampling=image.spacing_mm * steps) > AIR_MM
    nearest = [
        np.minimum(np.arange(size) // step, coarse - 1)
        for size, step, coarse in zip(brain.shape, steps, small.shape, strict=True)
    ]
    air: Mask = far[np.ix_(*nearest)]
    air[:, :, : int(np.flatnonzero(brain.any(axis=(0, 1))).mean())] = False
    return air
