"""The drawn lesions: do they lie on the FLAIR, inside the brain, and how many are there.

A mask on another grid, mirrored, or of another patient teaches a network that lesions lie anywhere. Drawings are often
made in other programs, which is why this is asked of every case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from konsil.cohort.box import box_of
from konsil.cohort.volume import Volume
from konsil.errors import BadInput

Mask = npt.NDArray[np.bool_]

SMALLEST_MM3 = 3.0  # a lesion has at least this volume (Commowick et al., Scientific Reports 2018)


def grid_offset_mm(mask: Volume, image: Volume) -> float:
    """Largest distance between the same corner voxel of two grids, mm; 0 = the same grid."""
    corners = np.array(np.meshgrid(*[[0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    places = []
    for volume in (mask, image):
        index = corners * (np.array(volume.data.shape) - 1)
        places.append(index @ volume.affine[:3, :3].T + volume.affine[:3, 3])
    return float(np.linalg.norm(places[0] - places[1], axis=1).max())


def outside_percent(lesions: Mask, brain: Mask) -> float | None:
    """Share of the lesion voxels that lie outside the brain mask on the same grid, percent; None without lesions."""
    drawn = int(lesions.sum())
    return float(100 * (lesions & ~brain).sum() / drawn) if drawn else None


def lesion_ml(lesions: Mask, voxel_ml: float) -> float:
    """Volume of all lesions, mL."""
    return float(lesions.sum() * voxel_ml)


def count_lesions(lesions: Mask, voxel_ml: float) -> int:
    """Number of lesions of at least SMALLEST_MM3; voxels that touch by face, edge or corner belong together."""
    from scipy import ndimage

    if not lesions.any():
        return 0
    labels, number = ndimage.label(lesions[box_of(lesions)], structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=number + 1)[1:] * voxel_ml * 1000
    return int((sizes >= SMALLEST_MM3 - 1e-6).sum())


def read_lesions(path: Path) -> Volume:
    """The lesion mask of a case, 0 and 1. Unlike other images it may be empty: a patient without lesions is no error.

    Raises `BadInput` if it cannot be read or is no 3-D image.
    """
    from konsil.cohort.nifti import DAMAGED, open_nifti

    try:
        image = open_nifti(path)
        data = np.asarray(image.dataobj) > 0
    except DAMAGED as error:
        raise BadInput(
            "the lesion mask cannot be read", expected="a whole NIfTI file", got=type(error).__name__
        ) from error
    if data.ndim != 3:
        raise BadInput("the lesion mask is not one 3-D image", got=f"shape {data.shape}")
    return Volume(data, np.asarray(image.affine, dtype=np.float64))
