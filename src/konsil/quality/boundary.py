"""From the atlas's outline to the patient's: where the brain ends, decided near the outline by brightness.

The atlas is laid by an affine transform, so its outline misses a patient's by some millimetres. Around it lies fluid
and bone, dark on T1w and on FLAIR alike; brain is bright on both. So every voxel of a 2 mm grid gets odds for brain:

    odds = clip((v / local - DARK) / SOFT, -1, 1) - d / TRUST_MM

v: the image; local: the median-like brightness of the brain nearby (a Gaussian mean of the atlas's inner brain, which
removes the coil's field); d: distance outside the atlas's outline in mm, negative inside. Smoothed over 2 mm, positive
odds are brain. Within TRUST_MM of the outline the image decides, beyond it the atlas does: ventricles, lesions and deep
sulci stay in, scalp and marrow stay out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from konsil.cohort.binning import binned
from konsil.cohort.box import box_of, carried, part
from konsil.cohort.grid import read_on
from konsil.cohort.volume import Volume

GRID_MM = 2.0
DARK = 0.5  # of the local brain: half way between fluid and grey matter; on real images better than higher values
SOFT = 0.25
TRUST_MM = 6.0
SMOOTH_MM = 1.5
REACH_MM = 16.0  # around the outline, the part of the image that is looked at
INNER_MM = 4.0  # inside the outline, where brightness is learnt
LOCAL_MM = 20.0  # over which the brightness of the brain may change
CORE = 0.5  # darker than this share of the middle brightness is fluid and teaches nothing

Floats = npt.NDArray[np.floating[Any]]


def follow(image: Volume, outline: Floats, grid: Volume) -> npt.NDArray[np.bool_]:
    """The brain on `grid`, bool (X, Y, Z); `outline`: share of atlas brain (0 to 1) on the voxels of `image`.

    `image` is about 2 mm coarse (`small`) and need not have the voxels of `grid`, only its frame. False everywhere if
    the outline lies outside the image.
    """
    inside = outline > 0.5
    brain = np.zeros(grid.data.shape, np.bool_, order="F")
    if not inside.any():
        return brain
    box = carried(box_of(inside), np.eye(4), inside.shape, REACH_MM / image.spacing_mm)
    near = part(image, box)
    odds = Volume(brain_odds(near, inside[box]), near.affine)
    to_index = np.linalg.inv(grid.affine) @ odds.affine
    fine = carried(box_of(odds.data > 0), to_index, brain.shape, np.abs(to_index[:3, :3]).sum(axis=1))
    brain[fine] = read_on(part(grid, fine), odds, np.eye(4), outside=-1.0) > 0
    return brain


def small(image: Volume) -> Volume:
    """The image on a grid of about GRID_MM; thick axes stay."""
    return binned(image, GRID_MM)


def brain_odds(image: Volume, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Odds as above, one connected brain without holes; float32 (X, Y, Z), positive = brain."""
    spacing = image.spacing_mm
    away = ndimage.distance_transform_edt(~inside, sampling=spacing)
    away -= ndimage.distance_transform_edt(inside, sampling=spacing)
    bright = np.clip((image.data / local_brightness(image, away < -INNER_MM) - DARK) / SOFT, -1, 1)
    odds = ndimage.gaussian_filter((bright - away / TRUST_MM).astype(np.float32), SMOOTH_MM / spacing)
    one = largest(ndimage.binary_opening(odds > 0, iterations=1))
    brain = ndimage.binary_fill_holes(ndimage.binary_dilation(one) & (odds > 0))
    return np.asarray(np.where(brain, np.maximum(odds, 1e-3), np.minimum(odds, -1e-3)), dtype=np.float32)


def local_brightness(image: Volume, inner: npt.NDArray[np.bool_]) -> Floats:
    """How bright brain tissue is around every voxel: a Gaussian mean over the inner brain without its fluid."""
    if not inner.any():
        return np.full(image.data.shape, max(1e-6, float(np.abs(image.data).max())))
    middle = float(np.median(image.data[inner]))
    tissue = (inner & (image.data > CORE * middle) & (image.data < 2 * middle)).astype(np.float32)
    width = LOCAL_MM / image.spacing_mm
    weight = ndimage.gaussian_filter(tissue, width)
    total = ndimage.gaussian_filter(tissue * image.data, width)
    return np.asarray((total + 1e-3 * middle) / (weight + 1e-3), dtype=np.float64) + 1e-9


def largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest connected part of a mask."""
    labels, found = ndimage.label(mask)
    if found < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))
