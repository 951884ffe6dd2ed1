"""Whether water is dark or bright in an image: what the image itself says about its weighting.

Headers can lie or be stripped; the ventricles cannot. In the depth of the head, 30 to 100 mm below its top and more
than 28 mm from its surface, lie white matter, deep grey matter and the lateral ventricles. Against the median there,
the ventricles are the dark tail of T1w and FLAIR, and the bright tail of T2w and STIR. What was measured on public and
synthetic images stands in docs/formats/cohort.md (bench/fluid.py).

The measure cannot tell T1w from FLAIR, and small ventricles leave it unclear. So it never decides: it raises doubts and
finds candidates, and a person looks (`konsil.dicom.choice`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from konsil.dicom.geometry import Grid

Fluid: TypeAlias = Literal["dark", "bright", "unclear"]
Volume: TypeAlias = npt.NDArray[np.float64]

COARSE_MM = 4.0
"""Voxels are left out until they lie about this far apart: ventricles are wider, and a few slices are enough."""
DEPTH_MM = 28.0
BELOW_TOP_MM = (30.0, 100.0)
CLOSING = 3
FEWEST_VOXELS = 200
DARK = 0.6
BRIGHT = 1.8


def fluid_in(volume: npt.NDArray[Any], grid: Grid) -> Fluid:
    """Tell whether water is dark or bright in `volume` (columns, rows, slices), which lies on `grid`.

    "dark": the darkest 2 % of the deep head are below 0.6 of its median; "bright": the brightest 2 % are above 1.8 of
    it, and more than twice as far from it as the darkest; else, and where there is no head to look into, "unclear".
    """
    found = tails(volume, grid)
    if found is None:
        return "unclear"
    low, high = found
    if high > BRIGHT and high - 1 > 2 * (1 - low):
        return "bright"
    return "dark" if low < DARK else "unclear"


def tails(volume: npt.NDArray[Any], grid: Grid) -> tuple[float, float] | None:
    """Percentiles 2 and 98 of the signal in the depth of the head, as shares of its median; None without a head."""
    coarse, spacing_mm = coarsened(upright(volume, grid), np.asarray(upright_spacing(grid)))
    deep = coarse[deep_in_head(coarse, spacing_mm)]
    if deep.size < FEWEST_VOXELS:
        return None
    low, middle, high = (float(value) for value in np.percentile(deep, [2, 50, 98]))
    return (low / middle, high / middle) if middle > 0 else None


def axes_of(grid: Grid) -> list[int]:
    """Which axis of the volume runs mostly along left-right, back-front, down-up."""
    share = np.abs(grid.affine[:3, :3]) / np.asarray(grid.spacing_mm)
    up = int(np.argmax(share[2]))
    right = max((axis for axis in range(3) if axis != up), key=lambda axis: float(share[0, axis]))
    return [right, 3 - up - right, up]


def upright(volume: npt.NDArray[Any], grid: Grid) -> npt.NDArray[Any]:
    """The volume with its axes in the order left-right, back-front, down-up; the last one upwards."""
    order = axes_of(grid)
    turned = np.transpose(volume, order)
    return turned if grid.affine[2, order[2]] > 0 else turned[:, :, ::-1]


def upright_spacing(grid: Grid) -> list[float]:
    """Voxel size in mm in the order of `upright`."""
    return [grid.spacing_mm[axis] for axis in axes_of(grid)]


def coarsened(volume: npt.NDArray[Any], spacing_mm: Volume) -> tuple[Volume, Volume]:
    """Every n-th voxel along each axis, about `COARSE_MM` apart, and the new spacing."""
    steps = np.maximum(1, np.round(COARSE_MM / spacing_mm)).astype(int)
    return np.asarray(volume[:: steps[0], :: steps[1], :: steps[2]], dtype=np.float64), spacing_mm * steps


def deep_in_head(volume: Volume, spacing_mm: Volume) -> npt.NDArray[np.bool_]:
    """The voxels far from the surface of the head and in the height of the ventricles; none if there is no head."""
    from scipy import ndimage

    nothing = np.zeros(volume.shape, dtype=bool)
    bright = np.minimum(volume, np.percentile(volume, 99.5))
    if not bright.max() > bright.min():
        return nothing
    padded = np.pad(bright > 0.6 * otsu(bright), CLOSING)  # or the border of the image would count as air
    closed = ndimage.binary_closing(padded, iterations=CLOSING)[(slice(CLOSING, -CLOSING),) * 3]
    labels, count = ndimage.label(closed)
    if not count:
        return nothing
    head = labels == 1 + int(np.argmax(ndimage.sum_labels(closed, labels, range(1, count + 1))))
    head = np.stack([ndimage.binary_fill_holes(head[:, :, k]) for k in range(head.shape[2])], axis=2)
    depth = ndimage.distance_transform_edt(np.pad(head, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    below_top = (np.flatnonzero(head.any(axis=(0, 1)))[-1] - np.arange(head.shape[2])) * spacing_mm[2]
    level = (below_top >= BELOW_TOP_MM[0]) & (below_top <= BELOW_TOP_MM[1])
    deep: npt.NDArray[np.bool_] = (depth > DEPTH_MM) & level
    return deep


def otsu(values: Volume) -> float:
    """The threshold that separates two classes best (Otsu, IEEE Trans SMC 1979), from a histogram of 256 bins."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = np.nan_to_num(between) >= 0.999999 * np.nanmax(between)  # a plateau where some values do not occur
    return float(centres[best].mean())
