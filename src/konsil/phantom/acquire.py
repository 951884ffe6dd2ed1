"""The scanner: from tissue fractions to the signal of every voxel.

signal(x) = [sum over tissues of fraction * contrast] * texture, blurred by the point spread, sampled on the scanner's
grid where the patient lay at that moment, and multiplied by the receive field exp(b). Noise comes last, when the signal
is recorded (`volume.record`); artifacts are planted in between, because receivers are as noisy in a spoiled scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from konsil.phantom.anatomy import Anatomy
from konsil.phantom.atlas import Mask
from konsil.phantom.fields import Floats, Matrix, rotation, smooth_field
from konsil.phantom.profile import BRAIN_TISSUES, Profile, Sequence
from konsil.phantom.volume import Signal

TEXTURE, TEXTURE_STEP_MM = 0.03, 6.0
DAILY_CONTRAST = 0.03  # largest change of a tissue's signal from patient to patient
FWHM_PER_SD = 2.355


@dataclass(frozen=True)
class Grid:
    """Where a scanner samples: the shape and the affine (voxel to world, RAS mm) of an image."""

    shape: tuple[int, int, int]
    affine: Matrix


def scanner_grid(anatomy: Anatomy, sequence: Sequence, tilt_deg: float) -> Grid:
    """A grid that covers the head, centred on it, with the sequence's voxels and the scanner's tilt."""
    resolution = anatomy.resolution_mm
    shape_from = np.array(anatomy.maps["wm"].shape)
    voxel = np.array(sequence.voxel_mm) * resolution
    shape = (2 * np.ceil(shape_from * resolution / voxel / 2)).astype(int)
    centre = anatomy.affine @ np.append((shape_from - 1) / 2, 1)
    affine = np.eye(4)
    affine[:3, :3] = rotation([np.deg2rad(tilt_deg), 0, 0]) @ np.diag(voxel)
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def sample(values: Floats, anatomy: Anatomy, grid: Grid, position: Matrix) -> Floats:
    """Read anatomy values at the scanner's voxels; `position` (4x4, mm) maps scanner points to anatomy points."""
    M = np.linalg.inv(anatomy.affine) @ position @ grid.affine
    return np.asarray(
        ndi.affine_transform(values, M[:3, :3], M[:3, 3], output_shape=grid.shape, order=1), dtype=np.float32
    )


def sample_mask(values: Floats, anatomy: Anatomy, grid: Grid, position: Matrix) -> Mask:
    """The voxels of the scanner's grid of which at least half belong to a structure."""
    return sample(values, anatomy, grid, position) > 0.5


def signal(rng: np.random.Generator, anatomy: Anatomy, sequence: Sequence, head: Floats, blur_mm: float) -> Floats:
    """Noise-free signal on the patient's own grid."""
    image = head.copy()
    for tissue in BRAIN_TISSUES:
        level = sequence.contrast[tissue] * rng.uniform(1 - DAILY_CONTRAST, 1 + DAILY_CONTRAST)
        image += anatomy.maps[tissue] * np.float32(level)
    image *= 1 + TEXTURE * smooth_field(rng, image.shape, TEXTURE_STEP_MM / anatomy.resolution_mm)
    return np.asarray(ndi.gaussian_filter(image, blur_mm / FWHM_PER_SD), dtype=np.float32)


def acquire(rng: np.random.Generator, anatomy: Anatomy, profile: Profile, suffix: str, position: Matrix) -> Signal:
    """Scan the patient: `suffix` is T1w or FLAIR, `position` maps scanner points to anatomy points (RAS mm).

    Returns the signal before noise. `profile.blur_mm` holds at 1 mm and grows with the voxel.
    """
    sequence = profile.t1w if suffix == "T1w" else profile.flair
    grid = scanner_grid(anatomy, sequence, profile.tilt_deg)
    clean = signal(rng, anatomy, sequence, anatomy.maps[f"head_{suffix.lower()}"], profile.blur_mm)
    image = sample(clean, anatomy, grid, position)
    image *= np.exp(np.float32(profile.bias) * smooth_field(rng, grid.shape, max(grid.shape) / 2))
    return Signal(image, grid.affine, sequence.noise, sequence.scale)
