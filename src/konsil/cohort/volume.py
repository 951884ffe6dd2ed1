"""One 3-D image and its place in the patient.

Two frames meet here. NIfTI and nibabel use RAS: x grows to the patient's right, y to the front, z to the top. ITK and
DICOM use LPS, the first two turned around. Here all is RAS and indexed [x, y, z]; `konsil.cohort.grid` crosses over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.errors import BadInput, Missing

ORTHOGONAL = 1e-3  # largest cosine between two axes of a grid that still counts as a right angle (0.06 degrees)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """Voxels (X, Y, Z) and the 4 x 4 affine from voxel index to RAS millimetres."""

    data: Array
    affine: npt.NDArray[np.float64]

    @property
    def spacing_mm(self) -> npt.NDArray[np.float64]:
        """Voxel size in mm along each axis of the array, shape (3,)."""
        size: npt.NDArray[np.float64] = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return size

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)


def read_volume(path: Path, role: str) -> Volume:
    """Read a NIfTI as it lies on disk: int16 if stored so without scaling, else float32.

    A fourth axis of length 1 is dropped.

    `role` names the image in sentences ("the raw T1w"). Raises `Missing`, or `BadInput` for a file that is broken, not
    3-D, empty, not finite, or without a usable grid.
    """
    return read(path, role, as_stored)


def read_mask(path: Path, role: str) -> Volume:
    """Read a mask: bool, true above 0. Raises as `read_volume`."""
    return read(path, role, lambda image: np.asanyarray(image.dataobj) > 0)


def as_stored(image: Any) -> Array:
    """The voxels of nibabel's image as int16 if they are stored so without scaling, else as float32."""
    stored = image.get_data_dtype() == np.int16 and image.dataobj.slope == 1 and image.dataobj.inter == 0
    return np.asarray(image.dataobj, dtype=np.int16 if stored else np.float32)


def read(path: Path, role: str, voxels: Callable[[Any], Array]) -> Volume:
    """The checked volume of a NIfTI; `voxels` gives the array of nibabel's image."""
    from konsil.cohort.nifti import DAMAGED, open_nifti

    if not path.is_file():
        raise Missing(f"{role} is not there", expected=f"a file {path.name}")
    try:
        image = open_nifti(path)
        data = voxels(image)
    except DAMAGED as error:
        raise BadInput(
            f"{role} cannot be read", expected="a whole NIfTI file", got=type(error).__name__, hint="Convert it again"
        ) from error
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    volume = Volume(data, np.asarray(image.affine, dtype=np.float64))
    check(volume, role)
    return volume


def check(volume: Volume, role: str) -> None:
    """Refuse what is no 3-D image of something."""
    if volume.data.ndim != 3 or min(volume.data.shape) < 2:
        raise BadInput(
            f"{role} is not one 3-D image",
            expected="three axes with at least 2 voxels each",
            got=f"shape {volume.data.shape}",
        )
    if volume.data.dtype.kind == "f" and not np.isfinite(volume.data).all():
        raise BadInput(f"{role} holds values that are no numbers", expected="finite values in every voxel")
    if volume.data.min() == volume.data.max():
        raise BadInput(f"{role} is empty", expected="an image", got="the same value in every voxel")
    axes = volume.affine[:3, :3] / np.maximum(volume.spacing_mm, 1e-9)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=ORTHOGONAL):
        raise BadInput(
            f"{role} does not lie on a rectangular grid",
            expected="axes at right angles to each other (a gantry tilt or a broken header breaks this)",
        )


def write_volume(path: Path, volume: Volume) -> None:
    """Write a NIfTI, whole or not at all, in the dtype of the array; the same voxels give the same bytes."""
    import nibabel

    from konsil.cohort.nifti import write_nifti

    image = nibabel.Nifti1Image(np.asfortranarray(volume.data), volume.affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    write_nifti(path, image.to_bytes())
