"""The lateral ventricles of one person: where the atlas expects them, as far as the person's own fluid reaches.

An affine atlas knows where ventricles are, not how wide they are in this person; brightness knows where fluid ends, not
whether it is a ventricle or a cistern. So a voxel is ventricle if it is dark on the FLAIR, hangs together with dark
voxels where the atlas has a lateral ventricle, is nearer to the atlas's lateral ventricles than to its other fluid
(third ventricle, cisterns, sulci), and at most REACH_MM from them. Dark is what lies below the middle between fluid and
white matter, the point at which a voxel is half of each. Both levels are taken around the ventricles; that of white
matter is a median, which lesions do not move until they are half of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from konsil.cohort.growth import distance_mm
from konsil.cohort.volume import Volume
from konsil.quality.atlas import Placement, lay, read_atlas
from konsil.quality.regions import depth_mm

DEEP_MM = 15.0  # below the surface of the brain: farther out, the atlas's fluid is that of sulci
TRIGONES_MNI_MM = ((-22.0, -40.0, 12.0), (22.0, -40.0, 12.0))  # wide in everybody, and of lateral ventricles only
REACH_MM = 10.0  # how far ventricles are followed beyond the atlas's
PURE = 0.8  # least share in the atlas of what teaches the level of white matter
DARK_QUARTER = 25  # percentile of the atlas's ventricles with which the level of fluid begins: half may be off the mark
ROUNDS = 2
SUPPRESSED = 0.75  # of white matter: a FLAIR shows fluid at half of it or darker

Mask = npt.NDArray[np.bool_]


def find_ventricles(flair: Volume, brain: Mask, placement: Placement) -> Mask:
    """The lateral ventricles on the FLAIR's grid, bool (X, Y, Z); none where the atlas's lie outside the brain.

    Where the image shows no fluid there, the atlas's own.
    """
    lateral, other = (lay(one, placement, flair) > 0.5 for one in fluids())
    expected = lateral & brain
    if not expected.any():
        return expected
    reach = distance_mm(lateral, flair.spacing_mm)
    near = brain & (reach <= REACH_MM)
    white = near & (lay(tissue("wm"), placement, flair) > PURE)
    if not white.any():
        return expected
    if other.any():
        near &= reach < distance_mm(other, flair.spacing_mm)
    fluid, bright = levels(flair.data[expected], flair.data[white])
    if fluid > SUPPRESSED * bright:
        return expected
    dark = near & (flair.data < (fluid + bright) / 2)
    return np.asarray(ndimage.binary_propagation(expected & dark, mask=dark), dtype=np.bool_)


def levels(expected: npt.NDArray[np.number], white: npt.NDArray[np.number]) -> tuple[float, float]:
    """The brightness of fluid and of white matter, from values where the atlas has either (and errs)."""
    bright, fluid = float(np.median(white)), float(np.percentile(expected, DARK_QUARTER))
    for _ in range(ROUNDS):
        within = expected[expected < (fluid + bright) / 2]
        fluid = float(np.median(within)) if within.size else fluid
    return fluid, bright


@cache
def fluids() -> tuple[Volume, Volume]:
    """The atlas's lateral ventricles, and all its other fluid; 1 where it is, float32, 1 mm."""
    brain = np.asarray(ndimage.binary_fill_holes(read_atlas("t1").data > 0), dtype=np.bool_)
    grey, white = tissue("gm"), tissue("wm")
    fluid = brain & (grey.data + white.data < 0.5)
    lateral = holding(TRIGONES_MNI_MM, fluid & (depth_mm(brain, grey) > DEEP_MM), grey.affine)
    both = (Volume(np.asarray(mask, np.float32), grey.affine) for mask in (lateral, fluid & ~lateral))
    return next(both), next(both)


@cache
def tissue(name: str) -> Volume:
    """Grey ("gm") or white ("wm") matter of the atlas, share of each voxel, float32, 1 mm."""
    atlas = read_atlas(name)
    return Volume(np.asarray(atlas.data, np.float32) / 255, atlas.affine)


def holding(points_mm: Iterable[tuple[float, float, float]], mask: Mask, affine: npt.NDArray[np.float64]) -> Mask:
    """The connected parts of a mask (face to face) in which these points lie; `affine` maps its voxels to mm."""
    numbered, _ = ndimage.label(mask)
    inverse = np.linalg.inv(affine)
    places = [np.rint(inverse[:3, :3] @ point + inverse[:3, 3]).astype(int) for point in points_mm]
    wanted = {int(numbered[tuple(place)]) for place in places} - {0}
    return np.asarray(np.isin(numbered, list(wanted)), dtype=np.bool_)
