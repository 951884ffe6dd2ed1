"""Rigid registration: the one movement (three angles, three shifts) that lays a moving image on a fixed one.

1. Starts: where the scanner says the head lay; the centres of the two brains on each other; and, if both masks know
   where the atlas lies, the movement that brings atlas to atlas (this one survives any turn of the head). From each,
   mutual information is climbed at 4 mm; the best goes on.
2. Mutual information at 2 mm (`konsil.registration.information`).
3. Correlation of small patches at full resolution (`konsil.registration.patches`): not pulled by the coil's field.

The coarser image is always the one whose points are taken, so that thick slices are compared as the scanner saw them;
the movement is turned around at the end if need be. The result depends on nothing but its input: points come from a
fixed seed, and nothing runs in parallel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.binning import binned
from konsil.cohort.volume import Volume
from konsil.errors import BadInput
from konsil.registration.agreement import Agreement, agree
from konsil.registration.cropping import cropped
from konsil.registration.information import information
from konsil.registration.motion import Matrix, climb, inverse_of
from konsil.registration.patches import patches

COARSE_MM, MIDDLE_MM = 4.0, 2.0
PATCHES = 1500
CROP_MARGIN_MM = 16.0  # of the moving image around its brain at full resolution
COARSER = 1.2  # the moving image is the coarser one if its voxels are this many times as large


@dataclass(frozen=True)
class Movement:
    """A rigid movement and how well it explains the images.

    `matrix` (4 x 4) maps fixed to moving points, RAS mm. `translation_mm` is how far the centre of the fixed brain
    moves. Information in nats, at 2 mm, where the scanner laid the images (before) and after.
    """

    matrix: Matrix
    rotation_deg: float
    translation_mm: float
    information_before: float
    information_after: float
    agreement: Agreement


@dataclass(frozen=True)
class Side:
    """One image with its brain: full resolution near the brain, 2 mm, 4 mm; the brain at 4 mm, and with a rim.

    The rim helps to find the way. Patches stay in the brain: the scalp does not move with it.
    """

    full: Volume
    middle: Volume
    coarse: Volume
    solid: Volume
    cells: Volume
    centre: npt.NDArray[np.float64]  # of the brain, RAS mm


def find_rigid(
    fixed: Volume,
    moving: Volume,
    fixed_brain: npt.NDArray[Any],
    moving_brain: npt.NDArray[Any],
    *,
    start: Matrix | None = None,
) -> Movement:
    """The movement from `fixed` points to `moving` points; masks are boolean (X, Y, Z) on their own image's grid.

    `start` (4 x 4, fixed to moving RAS mm) is one more first guess. Raises `BadInput` if there is nothing to compare.
    """
    sides = side_of(fixed, fixed_brain), side_of(moving, moving_brain)
    turned_round = moving.voxel_ml > COARSER * fixed.voxel_ml
    a, b = sides[::-1] if turned_round else sides
    guess = inverse_of(start) if turned_round and start is not None else start
    matrix = refine(a, b, best_start(a, b, guess))
    middle = information(a.middle, b.middle, a.cells, b.cells, per_cell=2)
    before, after = middle.evaluate(np.eye(4))[0], middle.evaluate(matrix)[0]
    agreement = agree(a.middle, b.middle, a.solid, matrix)
    found = inverse_of(matrix) if turned_round else matrix
    centre = sides[0].centre
    moved = float(np.linalg.norm(found[:3, :3] @ centre + found[:3, 3] - centre))
    return Movement(found, angle_deg(found), moved, before, after, agreement)


def side_of(image: Volume, brain: npt.NDArray[Any]) -> Side:
    """Everything the search needs of one image."""
    from scipy import ndimage

    if not brain.any():
        raise BadInput("a brain mask is empty", expected="a mask from: konsil mask COHORT")
    middle = binned(image, MIDDLE_MM)
    inside = binned(binned(Volume(brain.astype(np.uint8), image.affine), MIDDLE_MM), COARSE_MM)
    solid = inside.data > 0.5
    if not solid.any():
        raise BadInput("a brain mask is almost empty", expected="a mask from: konsil mask COHORT")
    cells = Volume(ndimage.binary_dilation(solid), inside.affine)
    centre = inside.affine[:3, :3] @ np.argwhere(solid).mean(0) + inside.affine[:3, 3]
    full = cropped(image, inside, CROP_MARGIN_MM)
    return Side(full, middle, binned(middle, COARSE_MM), Volume(solid, inside.affine), cells, centre)


def best_start(fixed: Side, moving: Side, guess: Matrix | None) -> Matrix:
    """The best of the starts after a climb at 4 mm."""
    by_centres = np.eye(4)
    by_centres[:3, 3] = moving.centre - fixed.centre
    starts = [np.eye(4), by_centres, *([guess] if guess is not None else [])]
    coarse = information(fixed.coarse, moving.coarse, fixed.cells, moving.cells, per_cell=1)
    climbs = [climb(coarse, start, fixed.centre) for start in starts]
    return max(climbs, key=lambda pair: pair[1])[0]


def refine(fixed: Side, moving: Side, start: Matrix) -> Matrix:
    """From a start that is right within some millimetres to the answer."""
    middle = information(fixed.middle, moving.middle, fixed.cells, moving.cells, per_cell=2)
    near, _ = climb(middle, start, fixed.centre)
    fine = patches(fixed.full, moving.full, fixed.solid, PATCHES)
    return climb(fine, near, fixed.centre)[0]


def angle_deg(matrix: Matrix) -> float:
    """The one angle by which a rigid movement turns, in degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
