"""Lesion masks that were drawn outside DICOM and lie in the inbox as NIfTI.

A NIfTI file says where its voxels are but not whose they are. It is accepted for the case whose FLAIR has the same
voxels; if several patients were scanned with one protocol, the folder tree decides: the mask belongs to the FLAIR that
shares the longest way through the folders with it. If that does not settle it, nobody gets it.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from konsil.cohort.nifti import write_nifti
from konsil.dicom.archive import DAMAGED, open_entry
from konsil.dicom.geometry import FURTHEST_MM, Grid, same_grid
from konsil.dicom.inbox import split_name
from konsil.dicom.reading import BROKEN
from konsil.errors import BadInput

UNREADABLE = (*BROKEN, ImageFileError, HeaderDataError, WrapStructError, *DAMAGED)
NOBODY = "No FLAIR has the voxels of this mask."
SEVERAL = "Several FLAIRs have the voxels of this mask and lie equally near to it."


def owner(inbox: Path, mask: str, flairs: Mapping[str, tuple[Grid, str]]) -> str:
    """The case that a mask belongs to. `flairs`: case → grid of its FLAIR and the path of one of its files.

    Raises `BadInput` with a sentence if no case or more than one fits.
    """
    image = open_mask(inbox, mask)
    fitting = [case for case, (grid, _) in flairs.items() if same_grid(grid, image.shape, image.affine)]
    if not fitting:
        raise BadInput(NOBODY, hint="A lesion mask has to be drawn on the FLAIR's own grid")
    shared = {case: common_folders(mask, flairs[case][1]) for case in fitting}
    nearest = [case for case in fitting if shared[case] == max(shared.values())]
    if len(nearest) > 1:
        raise BadInput(SEVERAL, hint="Put each mask into the folder of its study")
    return nearest[0]


def open_mask(inbox: Path, name: str) -> Any:
    """Open a three-dimensional NIfTI image of the inbox, in an archive or not; raises `BadInput` otherwise."""
    try:
        path, inside = split_name(inbox, name)
        with np.errstate(all="ignore"):
            image: Any = nib.load(path) if not inside else nib.Nifti1Image.from_stream(unpacked(path, inside))
    except UNREADABLE as error:
        raise BadInput(
            "a lesion mask in the inbox cannot be read", expected="NIfTI", got=type(error).__name__
        ) from error
    if image.ndim != 3:
        raise BadInput("a lesion mask in the inbox is not a volume", expected="three dimensions", got=str(image.ndim))
    if not np.abs(image.affine).max() <= FURTHEST_MM:
        raise BadInput("a lesion mask in the inbox has no usable place in space")
    return image


def unpacked(archive: Path, inside: str) -> BinaryIO:
    """The bytes of a NIfTI file in an archive, as a stream without gzip."""
    stream = open_entry(archive, inside)
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if inside.lower().endswith(".gz") else stream


def common_folders(first: str, second: str) -> int:
    """How many folders two relative paths share from the inbox down."""
    pairs = zip(PurePosixPath(first).parts[:-1], PurePosixPath(second).parts[:-1], strict=False)
    count = 0
    for one, two in pairs:
        if one != two:
            break
        count += 1
    return count


def voxels(inbox: Path, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """The mask (i, j, k) as 0 and 1 (anything above 0.5) and its affine (RAS mm); nothing else of the file is kept."""
    image = open_mask(inbox, name)
    try:
        with np.errstate(all="ignore"):
            mask = np.asarray(np.asanyarray(image.dataobj) > 0.5, dtype=np.uint8)
    except UNREADABLE as error:
        raise BadInput(
            "a lesion mask in the inbox is damaged", expected="a whole file", got=type(error).__name__
        ) from error
    return mask, np.asarray(image.affine, dtype=np.float64)


def write_mask(mask: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64], path: Path) -> None:
    """Write a uint8 mask with a fresh header: no text of the original file survives."""
    image = nib.Nifti1Image(mask, affine)
    image.header.set_xyzt_units("mm")
    write_nifti(path, image.to_bytes())
