"""One patient's head: the atlas, stretched, turned and folded at random, with its own ventricles.

The map from the patient's grid to the atlas is x_atlas = A x + s(x) + v(x): a small affine A, smooth random shifts s
of a few millimetres, and a pull v towards the ventricles that makes them larger, as atrophy does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from konsil.phantom.atlas import Atlas
from konsil.phantom.fields import Floats, Matrix, rotation, smooth_field
from konsil.phantom.profile import HEAD_TISSUES, Profile

STRETCH = (0.90, 1.00)  # the template is larger than most heads
TURN_DEG = 3.0
FOLD_SD_MM = 2.0  # of the smooth shifts
FOLD_STEP_MM = 36.0  # over which they vary
ATROPHY_MM = 3.0  # largest pull at the wall of the ventricles


@dataclass(frozen=True)
class Anatomy:
    """Maps on the patient's grid (float32, (i, j, k)); `affine` is the atlas's.

    `maps` holds wm, gm, csf, ventricles, brain (fractions), and head_t1w, head_flair (signal outside the brain).
    """

    maps: dict[str, Floats]
    affine: Matrix
    resolution_mm: float

    def replace_by_lesions(self, lesions: Floats) -> None:
        """Let lesions (fraction of each voxel) take the place of the tissue they lie in; becomes the map `lesion`."""
        for tissue in ("wm", "gm", "csf"):
            self.maps[tissue] *= 1 - lesions
        self.maps["lesion"] = lesions


def make_anatomy(rng: np.random.Generator, atlas: Atlas, profile: Profile) -> Anatomy:
    """Draw one patient's anatomy; the signal of the head outside the brain follows the scanner's contrast."""
    points = atlas_points(rng, atlas)
    sources = {name: atlas.maps[name] for name in ("wm", "gm", "csf", "ventricles", "brain")}
    for suffix, sequence in (("t1w", profile.t1w), ("flair", profile.flair)):
        parts = [atlas.maps[tissue] * np.float32(sequence.contrast[tissue]) for tissue in HEAD_TISSUES]
        sources[f"head_{suffix}"] = np.sum(parts, axis=0)
    maps = {name: ndi.map_coordinates(source, points, order=1) for name, source in sources.items()}
    return Anatomy(maps, atlas.affine, atlas.resolution_mm)


def atlas_points(rng: np.random.Generator, atlas: Atlas) -> Floats:
    """For every voxel of the patient the voxel coordinates in the atlas: float32 (3, i, j, k)."""
    shape = atlas.maps["wm"].shape
    centre = ((np.array(shape) - 1) / 2).astype(np.float32).reshape(3, 1)
    A = rotation(np.deg2rad(rng.uniform(-TURN_DEG, TURN_DEG, 3))) @ np.diag(1 / rng.uniform(*STRETCH, 3))
    grid = np.indices(shape, dtype=np.float32).reshape(3, -1)
    points: Floats = (A.astype(np.float32) @ (grid - centre) + centre).reshape(3, *shape)
    for axis in range(3):
        fold = smooth_field(rng, shape, FOLD_STEP_MM / atlas.resolution_mm)
        points[axis] += fold * np.float32(FOLD_SD_MM / atlas.resolution_mm)
    return points + ventricle_pull(atlas, points, rng.uniform(0, ATROPHY_MM))


def ventricle_pull(atlas: Atlas, points: Floats, strength_mm: float) -> Floats:
    """Shift towards the ventricles, in voxels, at the given atlas points; `strength_mm` where it is largest."""
    blurred = ndi.gaussian_filter(atlas.maps["ventricles"], 7 / atlas.resolution_mm)
    slopes = np.gradient(blurred)
    steepest = float(np.sqrt(np.sum(np.square(slopes), axis=0)).max()) + 1e-6
    scale = np.float32(strength_mm / atlas.resolution_mm / steepest)
    return np.stack([ndi.map_coordinates(slope, points, order=1) * scale for slope in slopes])
