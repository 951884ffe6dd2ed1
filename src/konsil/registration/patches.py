"""Agreement of small neighbourhoods: the mean squared correlation of T1w and FLAIR over patches of some millimetres.

Within a few millimetres there are two or three tissues, so the two contrasts are close to a straight line of each
other, rising or falling, whatever the coil does to the brightness of the region (after Avants et al., Medical Image
Analysis 2008, with the correlation squared because T1w and FLAIR contrasts are opposed). That is what makes it the
last step of the registration: mutual information compares brightness across the whole head and is pulled by the coil's
field.

Where the slices of the fixed image are thick, patches take whole slices, and the moving image is read as a mean over
the thickness: as the scanner would have seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.registration.interpolation import Floats, Reading, read
from konsil.registration.motion import Matrix

SEED = 7
THICK = 1.5  # an axis counts as slices if its voxels are this much longer than the shortest
STEP = 1.3  # between the points of a patch, in voxels: no whole number, so that points lie off the grid
PER_AXIS, PER_SLICES = 5, 3  # points of a patch along an axis, and across thick slices
SLAB_MM = 1.2  # between the planes over which a thick slice is read


@dataclass(frozen=True)
class Patches:
    """`points` (3, P * K; RAS mm of the fixed image): P patches of K points. `fixed` (P, K): mean 0, length 1."""

    points: Floats
    fixed: Floats
    moving: Volume
    slab: Sequence[Floats]  # offsets in mm in the fixed image over which the moving one is averaged

    def evaluate(self, movement: Matrix) -> tuple[float, Floats]:
        """Mean squared correlation (0 to 1) and its slope by each moved point (3, P * K), per mm."""
        reading = self.read(movement)
        moving, length = unit(reading.values.reshape(self.fixed.shape))
        r = (self.fixed * moving).sum(axis=1)
        slopes = (2 * r / length / len(r))[:, None] * (self.fixed - r[:, None] * moving)
        inverse = np.linalg.inv(self.moving.affine)[:3, :3]
        return float((r**2).mean()), (inverse.T @ reading.slopes) * slopes.reshape(-1)

    def correlations(self, movement: Matrix) -> npt.NDArray[np.float64]:
        """The squared correlation of every patch, (P,)."""
        moving, _ = unit(self.read(movement).values.reshape(self.fixed.shape))
        return np.asarray((self.fixed * moving).sum(axis=1) ** 2, dtype=np.float64)

    def read(self, movement: Matrix) -> Reading:
        """The moving image where the movement takes the points, as the fixed image's voxels would see it."""
        A = np.linalg.inv(self.moving.affine) @ movement
        index = A[:3, :3] @ self.points + A[:3, 3:]
        planes = [read(self.moving.data, index + (A[:3, :3] @ offset)[:, None]) for offset in self.slab]
        if len(planes) == 1:
            return planes[0]
        values, slopes = (np.mean([plane[k] for plane in planes], axis=0) for k in (0, 1))
        return Reading(values, slopes, np.all([plane.inside for plane in planes], axis=0))


def unit(values: Floats) -> tuple[Floats, Floats]:
    """Rows with mean 0 and length 1 (a flat row becomes 0), and the lengths they had; (P, K) and (P,)."""
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1)) + 1e-3
    return centred / length[:, None], length


def patches(fixed: Volume, moving: Volume, cells: Volume, count: int, step_mm: float | None = None) -> Patches:
    """Up to `count` patches centred at random in the true voxels of `cells`; `step_mm` between points of a patch.

    Without `step_mm` it is STEP voxels of the fixed image. Patches that leave the fixed image are dropped.
    """
    chance = np.random.default_rng(SEED)
    places = np.argwhere(cells.data)
    places = places[np.sort(chance.permutation(len(places))[:count])]
    centres = (cells.affine[:3, :3] @ (places + chance.random(places.shape) - 0.5).T + cells.affine[:3, 3:]).T
    inverse = np.linalg.inv(fixed.affine)
    centre_index = centres @ inverse[:3, :3].T + inverse[:3, 3]
    spacing = fixed.spacing_mm
    thick = spacing > THICK * spacing.min()
    centre_index = np.where(thick, np.rint(centre_index), centre_index)
    index = (centre_index[:, None] + lattice(spacing, thick, step_mm)[None]).reshape(-1, 3).T
    reading = read(fixed.data, index)
    per_patch = len(index.T) // max(1, len(places))
    whole = reading.inside.reshape(-1, per_patch).all(axis=1)
    points = fixed.affine[:3, :3] @ index[:, whole.repeat(per_patch)] + fixed.affine[:3, 3:]
    return Patches(points, unit(reading.values.reshape(-1, per_patch)[whole])[0], moving, slab_of(fixed, thick))


def lattice(
    spacing: npt.NDArray[np.float64], thick: npt.NDArray[np.bool_], step_mm: float | None
) -> npt.NDArray[np.float64]:
    """The points of one patch around its centre in voxels of the fixed image, (K, 3)."""
    step = STEP * spacing.min() if step_mm is None else step_mm
    axes = []
    for size, slices in zip(spacing, thick, strict=True):
        count, apart = (PER_SLICES, 1.0) if slices else (PER_AXIS, step / size)
        axes.append((np.arange(count) - (count - 1) / 2) * apart)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def slab_of(fixed: Volume, thick: npt.NDArray[np.bool_]) -> list[Floats]:
    """Offsets in mm (3,) that spread evenly over the thickness of a slice; one of zero where nothing is thick."""
    offsets: list[Floats] = [np.zeros(3)]
    for axis in np.flatnonzero(thick):
        count = int(np.ceil(fixed.spacing_mm[axis] / SLAB_MM))
        shares = (np.arange(count) + 0.5) / count - 0.5
        offsets = [offset + share * fixed.affine[:3, axis] for offset in offsets for share in shares]
    return offsets
